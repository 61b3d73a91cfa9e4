package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/minio/highwayhash"
)

// A block file of nats-server's file store is records one after another, integers
// little-endian (nats-server 2.15, server/filestore.go):
//
//	 0  length  u32  of the whole record; bit 31 set where it has headers
//	 4  seq     u64  bit 63: erased; bit 62: a tombstone, without a message
//	12  time    i64  Unix nanoseconds
//	20  slen    u16  bytes of subject
//	22  subject, [u32 and headers], message, 8 bytes of HighwayHash of bytes 4 to 19,
//	    the subject, the headers and the message, keyed by stream and block
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
		bad := s.block(data, blockIndex(file))
		if bad == nil {
			continue
		}
		bad.Stream, bad.File = s.stream, file
		later := s.name(bad, data[bad.Offset:])
		if i == len(files)-1 && bad.Seq > s.acked && !later {
			return fmt.Sprintf("message %d, %d bytes (%s)", bad.Seq, int64(len(data))-bad.Offset, bad.Why), nil
		}
		if s.stream == journalStream {
			bad.Last = max(s.acked, bad.Seq)
		}
		return "", bad
	}
	return "", nil
}

// name finds the damaged record's sequence, and whether a whole frame stands
// after it: then it was not the last write. A torn write keeps its beginning, so
// what stands where the record's own message begins is not a later one.
func (s *scan) name(bad *CorruptError, data []byte) (later bool) {
	own := messageStart(data)
	var first uint64 // the first whole frame's sequence, 0 for none
	for at := range wholeFrames(data) {
		h, _, err := decodeFrame(data[at : at+frameSize(data[at:])])
		if err == nil && first == 0 && s.stream == journalStream {
			first = h.seq
		}
		if at != own {
			later = true
			break
		}
	}
	switch {
	case s.last > 0:
		bad.Seq = s.last + 1
	case first > 0 && (first < bad.Seq || bad.Seq == 0):
		bad.Seq = first
	}
	bad.Seq = max(bad.Seq, 1)
	return later
}

func blockIndex(file string) uint64 {
	n, err := strconv.ParseUint(strings.TrimSuffix(filepath.Base(file), ".blk"), 10, 32)
	if err != nil {
		return 0
	}
	return n
}

// block walks one block's records up to the first that is damaged.
func (s *scan) block(data []byte, index uint64) *CorruptError {
	key := sha256.Sum256(fmt.Appendf(nil, "%s-%d", s.stream, index))
	hash, err := highwayhash.NewDigest64(key[:])
	if err != nil {
		return &CorruptError{Seq: s.last + 1, Why: err.Error()} // cannot be: the key has its length
	}
	for at := 0; at < len(data); {
		seq, tomb, message, size, why := record(data[at:], hash)
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
			return &CorruptError{Seq: seq, Offset: int64(at), Why: why} // name looks for a better sequence
		}
		s.last = max(s.last, seq) // a tombstone keeps the sequence of what was purged
		at += size
	}
	return nil
}

// record takes the first record apart; why is not empty where it is damaged. tomb
// is true for a record without a message of ours.
func record(data []byte, hash *highwayhash.Digest64) (seq uint64, tomb bool, message []byte, size int, why string) {
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
	if !hashed(data[:size], hasHeaders, hash) {
		return seq &^ (tombBit | erasedBit), false, nil, size, "its checksum does not match"
	}
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

// hashed checks nats-server's own checksum of a record.
func hashed(data []byte, hasHeaders bool, hash *highwayhash.Digest64) bool {
	end := len(data) - recordHash
	subject := recordHead + int(binary.LittleEndian.Uint16(data[20:]))
	rest := subject
	if hasHeaders {
		rest += 4
	}
	if rest > end {
		return false
	}
	hash.Reset()
	for _, part := range [][]byte{data[4:20], data[recordHead:subject], data[rest:end]} {
		_, _ = hash.Write(part) // never fails
	}
	return bytes.Equal(hash.Sum(nil), data[end:])
}

// messageStart is where the first record's message begins, as its header says.
func messageStart(data []byte) int {
	if len(data) < recordHead {
		return -1
	}
	start := recordHead + int(binary.LittleEndian.Uint16(data[20:]))
	if binary.LittleEndian.Uint32(data)&headersBit == 0 {
		return start
	}
	if len(data) < start+4 {
		return -1
	}
	return start + 4 + int(binary.LittleEndian.Uint32(data[start:]))
}

// frameSize is the size of the frame that data begins with, as its header says;
// 0 where data does not hold it.
func frameSize(data []byte) int {
	if len(data) < headerSize {
		return 0
	}
	size := uint64(headerSize) + uint64(binary.LittleEndian.Uint32(data[16:]))
	if size > uint64(len(data)) {
		return 0
	}
	return int(size) //nolint:gosec // at most len(data)
}

// wholeFrames are the places at which whole frames begin.
func wholeFrames(data []byte) iter.Seq[int] {
	return func(yield func(int) bool) {
		for at := 0; ; at++ {
			i := bytes.Index(data[at:], []byte(frameMagic))
			if i < 0 {
				return
			}
			at += i
			size := frameSize(data[at:])
			if size == 0 {
				continue
			}
			if _, _, err := decodeFrame(data[at : at+size]); err == nil && !yield(at) {
				return
			}
		}
	}
}
