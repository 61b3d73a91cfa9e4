package telemetry

import (
	"errors"
	"fmt"
	"io"
	"os"

	"loadstar/models"
)

// file takes lines into a file that is bounded.
type file struct {
	encoder
	path string
	max  models.Bytes
	f    *os.File
	size int64
}

func openFile(path string, most models.Bytes) (*file, error) {
	s := &file{path: path, max: most}
	return s, s.open()
}

func (s *file) name() string { return s.path }

// most is large, as a write of the system's costs less a byte the more it has.
func (s *file) most() int { return int(min(256<<10, s.max/4)) }

// send brings the lines into the file, whole, or none of them.
func (s *file) send(lines []byte) error {
	if err := s.rotate(int64(len(lines))); err != nil {
		return err
	}
	n, err := s.f.Write(lines)
	if err != nil {
		if n > 0 {
			err = errors.Join(err, s.f.Truncate(s.size)) // no half a line
		}
		return err
	}
	s.size += int64(n)
	return nil
}

func (s *file) close() error { return s.f.Close() }

// rotate makes room for more bytes.
func (s *file) rotate(more int64) error {
	if s.size == 0 || s.size+more <= int64(s.max) {
		return nil
	}
	if err := os.Rename(s.path, s.path+".1"); err != nil {
		return fmt.Errorf("rotate the telemetry: %w", err)
	}
	old := s.f
	if err := s.open(); err != nil {
		return errors.Join(err, os.Rename(s.path+".1", s.path))
	}
	return old.Close()
}

// open opens the file to go on behind what is in it; a line that a crash has torn
// is ended.
func (s *file) open() error {
	f, err := os.OpenFile(s.path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
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
	s.f, s.size = f, size
	return nil
}
