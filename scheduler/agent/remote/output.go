package remote

import (
	"context"
	"time"

	"loadstar/scheduler"
)

const (
	// outputAhead is how many bytes may be under way before more output is taken in,
	// so that reports never wait long behind it.
	outputAhead = 1 << 20
	// outputWait is how long a result waits for the rest of its attempt's output.
	outputWait = 2 * time.Second
	pieceBytes = 32 << 10
)

// pump copies one attempt's output to the daemon.
type pump struct {
	lastPart uint64 // number of the part with which all of it is sent; 0 before
}

// piece is a piece of output on its way to the goroutine of Run.
type piece struct {
	attempt *tracked
	pump    *pump
	output  output
}

// waiting is a result that waits for its attempt's output.
type waiting struct {
	attempt *tracked
	until   time.Time
}

// copyOutput begins to copy an attempt's output, from its first byte on.
func (m *Member) copyOutput(h scheduler.Held, t *tracked) {
	t.pump = &pump{}
	v, p := m.visit, t.pump
	go m.pump(v.ctx, v.pieces, piece{attempt: t, pump: p, output: output{TaskID: h.TaskID, Attempt: t.attempt}}) // ends with the session
}

func (m *Member) pump(ctx context.Context, pieces chan<- piece, next piece) {
	put := func(data []byte, end bool) bool {
		next.output.Data, next.output.End = data, end
		select {
		case pieces <- next:
			return true
		case <-ctx.Done():
			return false
		}
	}
	r, err := m.cfg.Logs.Follow(ctx, next.output.TaskID, next.output.Attempt)
	if err != nil { // nothing is kept of it
		put(nil, true)
		return
	}
	defer func() { _ = r.Close() }()
	for {
		buf := make([]byte, pieceBytes)
		n, err := r.Read(buf)
		if n > 0 && !put(buf[:n], false) {
			return
		}
		if err == nil {
			continue
		}
		if ctx.Err() == nil { // io.EOF, or the disk's; there is no more
			put(nil, true)
		}
		return
	}
}

// piece sends a piece of output.
func (m *Member) piece(p piece) {
	v := m.visit
	if p.attempt.pump != p.pump {
		return
	}
	if err := encodeBatches(kindOutput, []output{p.output}, v.link.put); err != nil {
		m.log.Error("output was not sent", "err", err)
	}
	if p.output.End {
		p.pump.lastPart = v.link.acked + uint64(len(v.link.parts)) //nolint:gosec // a length
	}
}

// tellFinished sends a result once the attempt's output is sent, or soon in any case.
func (m *Member) tellFinished(t *tracked) {
	if t.pump != nil && t.pump.lastPart == 0 {
		m.visit.waiting = append(m.visit.waiting, waiting{attempt: t, until: time.Now().Add(outputWait)})
		return
	}
	m.outs = append(m.outs, scheduler.Report{Finished: t.finished})
}
