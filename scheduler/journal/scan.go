package journal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A block file of nats-server's file store is records one after another, integers
// little-endian (nats-server 2.15, server/filestore.go):
//
//	 0  length  u32  of the whole record; bit 31 set where it has headers
//	 4  seq     u64  bit 63: erased; bit 62: a tombstone, without a message
//	12  time    i64  Unix nanoseconds
//	20  slen    u16  bytes of subject
//	22  subject, [u32 and headers], message, 8 bytes of HighwayHash
//
// nats-server cuts its last block at the first damage that it sees as it opens, so
// the files are read here first, and nothing is opened while they hold damage.
const (
	recordHead = 22
	recordHash = 8
	headersBit = 1 << 31
	erasedBit  = 1 << 63
	tombBit    = 1 << 62
	// maxRecord is more than any record of ours.
	maxRecord = 2 << 20
)

// scanAll reads through the files of the journal and the snapshots.
func (j *Journal) scanAll() error {
	acked, _, ok, err := readMark(j.markPath())
	if err != nil {
		return err
	}
	if !ok {
		acked = 0
	}
	for _, stream := range []string{journalStream, snapshotStream} {
		s := scan{stream: stream}
		if stream == journalStream {
			s.acked = acked
		}
		torn, err := s.dir(j.streamDir(stream))
		if err != nil {
			return err
		}
		if torn != "" {
			j.log.Warn("the last write of the journal was torn by a crash and was never acknowledged: it is cut off", "stream", stream, "what", torn)
		}
	}
	return nil
}

// scan reads one stream's block files.
type scan struct {
	stream string
	acked  uint64 // the highest acknowledged sequence that is known of
	last   uint64 // the last whole record's sequence
}

// dir returns what is torn at the end, empty for nothing, or a *CorruptError.
func (s *scan) dir(dir string) (torn string, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "msgs", "*.blk"))
	if err != nil {
		return "", fmt.Errorf("journal: %w", err)
	}
	slices.SortFunc(files, func(a, b string) int { return int(blockIndex(a)) - int(blockIndex(b)) })
	for i, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("journal: read block: %w", err)
		}
		bad := s.block(data)
		if bad == nil {
			continue
		}
		bad.Stream, bad.File = s.stream, file
		isLast := i == len(files)-1
		if isLast && bad.Seq > s.acked && !hasFrame(data[bad.Offset:], bad.Seq) {
			return fmt.Sprintf("message %d, %d bytes (%s)", bad.Seq, int64(len(data))-bad.Offset, bad.Why), nil
		}
		if s.stream == journalStream {
			bad.Last = max(s.acked, bad.Seq)
		}
		return "", bad
	}
	return "", nil
}

func blockIndex(file string) uint64 {
	n, err := strconv.ParseUint(strings.TrimSuffix(filepath.Base(file), ".blk"), 10, 32)
	if err != nil {
		return 0
	}
	return n
}

// block walks one block's records up to the first that is damaged.
func (s *scan) block(data []byte) *CorruptError {
	for at := 0; at < len(data); {
		seq, tomb, message, size, why := record(data[at:])
		if why == "" && !tomb {
			var h header
			var err error
			if h, _, err = decodeFrame(message); err != nil {
				why = err.Error()
			} else if s.stream == journalStream && h.seq != seq {
				why = fmt.Sprintf("it holds frame %d", h.seq)
			}
		}
		if why != "" {
			if s.last > 0 || seq > 1<<48 {
				seq = s.last + 1 // the damaged record's own word counts only where there is no better
			}
			return &CorruptError{Seq: max(seq, 1), Offset: int64(at), Why: why}
		}
		s.last = max(s.last, seq) // a tombstone keeps the sequence of what was purged
		at += size
	}
	return nil
}

// record takes the first record apart; why is not empty where it is damaged. tomb
// is true for a record without a message of ours.
func record(data []byte) (seq uint64, tomb bool, message []byte, size int, why string) {
	if len(data) < recordHead+recordHash {
		return 0, false, nil, 0, "it ends within its header"
	}
	length := binary.LittleEndian.Uint32(data)
	hasHeaders := length&headersBit != 0
	length &^= headersBit
	seq = binary.LittleEndian.Uint64(data[4:])
	start := recordHead + int(binary.LittleEndian.Uint16(data[20:]))
	switch {
	case length < recordHead+recordHash || length > maxRecord:
		return seq, false, nil, 0, fmt.Sprintf("its length of %d makes no sense", length)
	case int64(length) > int64(len(data)):
		return seq, false, nil, 0, fmt.Sprintf("it has %d bytes of %d", len(data), length)
	}
	size = int(length)
	if seq&(tombBit|erasedBit) != 0 || seq == 0 {
		return seq &^ (tombBit | erasedBit), true, nil, size, ""
	}
	if hasHeaders {
		if start+4 > size-recordHash {
			return seq, false, nil, size, "its headers do not fit into it"
		}
		start += 4 + int(binary.LittleEndian.Uint32(data[start:]))
	}
	if start < 0 || start > size-recordHash {
		return seq, false, nil, size, "its subject does not fit into it"
	}
	return seq, false, data[start : size-recordHash], size, ""
}

// hasFrame reports whether a whole frame after seq stands somewhere in data: then
// what is before it was not the last write.
func hasFrame(data []byte, seq uint64) bool {
	for {
		i := bytes.Index(data, []byte(frameMagic))
		if i < 0 {
			return false
		}
		data = data[i:]
		if len(data) >= headerSize {
			size := uint64(headerSize) + uint64(binary.LittleEndian.Uint32(data[16:]))
			if size <= uint64(len(data)) {
				if h, _, err := decodeFrame(data[:size]); err == nil && (h.kind != kindFrame || h.seq > seq) {
					return true
				}
			}
		}
		data = data[1:]
	}
}
