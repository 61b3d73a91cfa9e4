package telemetry

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"loadstar/models"
)

// MinBytes is the least that a file may be bounded to.
const MinBytes = 64 << 10

// Config configures a Sink.
type Config struct {
	// File is where the lines go. It is made, or appended to. One of File, Publish and
	// OTLP is needed.
	File string
	// Publish sends lines as one message of at most 64 KiB, as to a NATS subject. It
	// must not wait for anybody.
	Publish func(lines []byte) error
	// OTLP is where spans go, in JSON over HTTP, as in http://localhost:4318/v1/traces.
	OTLP string
	// MaxBytes bounds File: before it grows beyond that it becomes File.1, in the
	// place of the one before. At least MinBytes. Default: 64 MiB.
	MaxBytes models.Bytes
	// Buffer is how many steps may wait to be written, rounded up to whole
	// thousands. Default: 256000 (about 20 MB).
	Buffer int
	// Logger takes what could not be written. Default: none.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.MaxBytes == 0 {
		c.MaxBytes = 64 << 20
	}
	if c.Buffer == 0 {
		c.Buffer = 256_000
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate checks the configuration; the error is a *models.FieldError.
func (c *Config) Validate() error {
	switch {
	case c.File == "" && c.Publish == nil && c.OTLP == "":
		return models.Invalid("telemetry_file", "it is empty")
	case c.OTLP != "" && !isHTTP(c.OTLP):
		return models.Invalid("telemetry", "%q is not an http or https address", c.OTLP)
	case c.MaxBytes != 0 && c.MaxBytes < MinBytes:
		return models.Invalid("telemetry_max_bytes", "%d is less than %d", int64(c.MaxBytes), MinBytes)
	case c.Buffer < 0:
		return models.Invalid("telemetry_buffer", "%d is negative", c.Buffer)
	}
	return nil
}

// portion is how many steps wait in one place of the channel.
const portion = 1000

// target is what steps go to.
type target interface {
	append(b []byte, s *models.TaskStep) []byte
	// send sends everything that was appended to b, or none of it.
	send(b []byte) error
	// most is how many bytes are gathered before they are sent.
	most() int
	name() string
	close() error
}

// Sink writes steps to a file, or sends them on.
type Sink struct {
	cfg     Config
	steps   chan []models.TaskStep
	used    chan []models.TaskStep // to be filled again
	written atomic.Uint64
	dropped atomic.Uint64
	ran     atomic.Bool

	// Of the goroutine of Run.
	to     target
	lines  []byte // not yet in the file
	count  uint64 // lines in it
	told   uint64 // dropped steps that were logged
	failed bool   // the last write failed, and that was logged
}

// New opens what steps go to. Nothing is written before Run, which must be called:
// it closes that.
func New(cfg Config) (*Sink, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	const spare = 16
	s := &Sink{cfg: cfg, used: make(chan []models.TaskStep, spare), steps: make(chan []models.TaskStep, (cfg.Buffer+portion-1)/portion)}
	var err error
	switch {
	case cfg.OTLP != "":
		s.to = newOTLP(cfg.OTLP)
	case cfg.Publish != nil:
		s.to = &subject{publish: cfg.Publish}
	default:
		s.to, err = openFile(cfg.File, cfg.MaxBytes)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Offer hands over steps to be written. It never waits and keeps no reference to
// the slice: where too much waits already, steps are dropped and counted.
func (s *Sink) Offer(steps []models.TaskStep) {
	for len(steps) > 0 {
		n := min(portion, len(steps))
		select {
		case s.steps <- append(s.empty(), steps[:n]...):
		default:
			s.dropped.Add(uint64(n))
		}
		steps = steps[n:]
	}
}

// empty is a slice that was written out before, where there is one.
func (s *Sink) empty() []models.TaskStep {
	select {
	case used := <-s.used:
		return used
	default:
		return make([]models.TaskStep, 0, portion)
	}
}

// Written is how many steps are in the file, Dropped how many never will be.
func (s *Sink) Written() uint64 { return s.written.Load() }

// Dropped is how many steps were lost: too many waited, or the disk refused them.
func (s *Sink) Dropped() uint64 { return s.dropped.Load() }

// Run writes until ctx ends, then what still waits, and closes the file. It runs once.
func (s *Sink) Run(ctx context.Context) error {
	if s.ran.Swap(true) {
		return errors.New("the telemetry has already run")
	}
	defer func() { _ = s.to.close() }()
	check := time.NewTicker(5 * time.Second)
	defer check.Stop()
	for {
		select {
		case batch := <-s.steps:
			s.write(batch)
		case <-check.C:
			s.tell()
		case <-ctx.Done():
			for {
				select {
				case batch := <-s.steps:
					s.write(batch)
					continue
				default:
				}
				s.tell()
				return nil
			}
		}
	}
}

func (s *Sink) write(batch []models.TaskStep) {
	most := s.to.most()
	for i := range batch {
		s.lines = s.to.append(s.lines, &batch[i])
		s.count++
		if len(s.lines) >= most {
			s.flush()
		}
	}
	select {
	case s.used <- batch[:0]:
	default:
	}
	if len(s.steps) == 0 {
		s.flush()
	}
}

// flush sends what is gathered, whole, or drops it.
func (s *Sink) flush() {
	if s.count == 0 {
		return
	}
	if err := s.to.send(s.lines); err == nil {
		s.written.Add(s.count)
		s.failed = false
	} else {
		s.dropped.Add(s.count)
		s.told += s.count // the error stands for them
		if !s.failed {
			s.failed = true
			s.cfg.Logger.Warn("telemetry cannot be written and is dropped until it can", "to", s.to.name(), "err", err)
		}
	}
	s.lines, s.count = s.lines[:0], 0
}

// tell logs what was dropped since it last did.
func (s *Sink) tell() {
	if n := s.dropped.Load(); n > s.told {
		s.cfg.Logger.Warn("telemetry was dropped: more came than could be written", "steps", n-s.told, "in_all", n)
		s.told = n
	}
}
