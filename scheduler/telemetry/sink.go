package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"loadstar/models"
)

// MinBytes is the least that a file may be bounded to.
const MinBytes = 64 << 10

// Config configures a Sink.
type Config struct {
	// File is where the lines go; needed. It is made, or appended to.
	File string
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
	case c.File == "":
		return models.Invalid("telemetry_file", "it is empty")
	case c.MaxBytes != 0 && c.MaxBytes < MinBytes:
		return models.Invalid("telemetry_max_bytes", "%d is less than %d", int64(c.MaxBytes), MinBytes)
	case c.Buffer < 0:
		return models.Invalid("telemetry_buffer", "%d is negative", c.Buffer)
	}
	return nil
}

// portion is how many steps wait in one place of the channel.
const portion = 1000

// Sink writes steps to a file.
type Sink struct {
	cfg     Config
	steps   chan []models.TaskStep
	used    chan []models.TaskStep // to be filled again
	written atomic.Uint64
	dropped atomic.Uint64
	ran     atomic.Bool

	// Of the goroutine of Run.
	file    *os.File
	size    int64
	encoder encoder
	lines   []byte // not yet in the file
	count   uint64 // lines in it
	told    uint64 // dropped steps that were logged
	failed  bool   // the last write failed, and that was logged
}

// New opens the file. Nothing is written before Run, which must be called: it
// closes the file.
func New(cfg Config) (*Sink, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	const spare = 16
	s := &Sink{cfg: cfg, used: make(chan []models.TaskStep, spare), steps: make(chan []models.TaskStep, (cfg.Buffer+portion-1)/portion)}
	if err := s.open(); err != nil {
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
	defer func() { _ = s.file.Close() }()
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

// flushAt is how many bytes are gathered while more steps wait: a write of the
// system's costs less a byte the more it has.
func (s *Sink) flushAt() int { return int(min(256<<10, s.cfg.MaxBytes/4)) }

func (s *Sink) write(batch []models.TaskStep) {
	most := s.flushAt()
	for i := range batch {
		s.lines = s.encoder.append(s.lines, &batch[i])
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

// flush brings the gathered lines into the file, whole, or drops them.
func (s *Sink) flush() {
	if s.count == 0 {
		return
	}
	err := s.rotate(int64(len(s.lines)))
	if err == nil {
		var n int
		if n, err = s.file.Write(s.lines); err != nil && n > 0 {
			err = errors.Join(err, s.file.Truncate(s.size)) // no half a line
		}
	}
	if err == nil {
		s.size += int64(len(s.lines))
		s.written.Add(s.count)
		s.failed = false
	} else {
		s.dropped.Add(s.count)
		s.told += s.count // the error stands for them
		if !s.failed {
			s.failed = true
			s.cfg.Logger.Warn("telemetry cannot be written and is dropped until it can", "file", s.cfg.File, "err", err)
		}
	}
	s.lines, s.count = s.lines[:0], 0
}

// rotate makes room for more bytes.
func (s *Sink) rotate(more int64) error {
	if s.size == 0 || s.size+more <= int64(s.cfg.MaxBytes) {
		return nil
	}
	if err := os.Rename(s.cfg.File, s.cfg.File+".1"); err != nil {
		return fmt.Errorf("rotate the telemetry: %w", err)
	}
	old := s.file
	if err := s.open(); err != nil {
		return errors.Join(err, os.Rename(s.cfg.File+".1", s.cfg.File))
	}
	return old.Close()
}

// open opens the file to go on behind what is in it; a line that a crash has torn
// is ended.
func (s *Sink) open() error {
	f, err := os.OpenFile(s.cfg.File, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("telemetry file: %w", err)
	}
	size, err := f.Seek(0, io.SeekEnd)
	last := []byte{'\n'}
	if err == nil && size > 0 {
		_, err = f.ReadAt(last, size-1)
	}
	if err == nil && last[0] != '\n' {
		var n int
		n, err = f.WriteString("\n")
		size += int64(n)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("telemetry file: %w", err), f.Close())
	}
	s.file, s.size = f, size
	return nil
}

// tell logs what was dropped since it last did.
func (s *Sink) tell() {
	if n := s.dropped.Load(); n > s.told {
		s.cfg.Logger.Warn("telemetry was dropped: more came than could be written", "steps", n-s.told, "in_all", n)
		s.told = n
	}
}
