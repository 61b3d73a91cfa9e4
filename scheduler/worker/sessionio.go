package worker

// readOutput hands on the worker's standard output, line by line. It waits while
// the session is busy, and so does the worker.
func (s *session) readOutput() {
	const longestGarbage = 1 << 10
	r := newLineReader(s.stdout, MaxLine)
	for {
		line, tooLong, err := r.next()
		if err != nil {
			return
		}
		if len(line) == 0 && !tooLong {
			continue
		}
		h := heard{tooLong: tooLong}
		m, err := decodeMessage(line)
		if err != nil || tooLong {
			h.garbage = printable(line, longestGarbage)
		} else {
			h.message = m
		}
		s.lines <- h
	}
}

// readErrors keeps the worker's standard error: in the pool's log, and in that of
// the attempt that runs.
func (s *session) readErrors() {
	const longest = 4 << 10
	r := newLineReader(s.stderr, longest)
	for {
		line, _, err := r.next()
		if err != nil {
			return
		}
		if len(line) == 0 {
			continue
		}
		text := printable(line, longest)
		s.log.Line(s.cfg.ID, text)
		s.tail.task(text)
		if len(text) > 300 {
			text = text[:300] + "…"
		}
		s.tail.set(text)
	}
}
