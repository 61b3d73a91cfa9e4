package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
)

// The mark tells a torn tail from a lost one. It is the sequence and sum of the
// last acknowledged frame, written after each acknowledgement and not synced: a
// killed process leaves it exact, a lost power supply leaves it somewhat old, and
// it is never ahead of what was acknowledged. A journal that ends before it has
// lost acknowledged frames.
//
//	0 magic "LSJM"   4 sum u32   8 seq u64   16 CRC32C u32 of bytes 0 to 15
const (
	markMagic = "LSJM"
	markSize  = 20
)

type mark struct{ file *os.File }

func openMark(path string) (*mark, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("journal mark: %w", err)
	}
	return &mark{file: f}, nil
}

func (m *mark) write(seq uint64, sum uint32) error {
	buf := make([]byte, 0, markSize)
	buf = append(buf, markMagic...)
	buf = binary.LittleEndian.AppendUint32(buf, sum)
	buf = binary.LittleEndian.AppendUint64(buf, seq)
	buf = binary.LittleEndian.AppendUint32(buf, crc32.Checksum(buf, castagnoli))
	_, err := m.file.WriteAt(buf, 0)
	return err
}

// readMark is the mark in a file; ok is false where there is none that can be read.
func readMark(path string) (seq uint64, sum uint32, ok bool, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, 0, false, nil
	}
	if err != nil {
		return 0, 0, false, fmt.Errorf("journal mark: %w", err)
	}
	defer func() { _ = f.Close() }()
	buf, err := io.ReadAll(io.LimitReader(f, markSize+1))
	if err != nil {
		return 0, 0, false, fmt.Errorf("journal mark: %w", err)
	}
	seq, sum, ok = decodeMark(buf)
	return seq, sum, ok, nil
}

func decodeMark(buf []byte) (seq uint64, sum uint32, ok bool) {
	if len(buf) != markSize || string(buf[:4]) != markMagic ||
		binary.LittleEndian.Uint32(buf[16:]) != crc32.Checksum(buf[:16], castagnoli) {
		return 0, 0, false
	}
	return binary.LittleEndian.Uint64(buf[8:]), binary.LittleEndian.Uint32(buf[4:]), true
}

func (m *mark) close() error { return m.file.Close() }
