package telemetry

// subject takes lines as messages; each holds some lines, whole.
type subject struct {
	encoder
	publish func(lines []byte) error
}

func (s *subject) name() string            { return "its subject" }
func (s *subject) most() int               { return 32 << 10 } // a line is far shorter than what is left to 64 KiB
func (s *subject) send(lines []byte) error { return s.publish(lines) }
func (s *subject) close() error            { return nil }
