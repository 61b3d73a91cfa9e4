package worker

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// maxPacked is the largest output, in bytes, that shares a file with others.
const maxPacked = 4 << 10

// packs keeps the output of attempts that print little and are soon done. A file
// each would cost more than running them does: to create one takes hundreds of
// microseconds, to append to one that is open takes five. A pack is a text file of
// records, one behind the other:
//
//	@ "TASK" ATTEMPT UNIXTIME SIZE\n
//	SIZE bytes of output\n
//
// Packs are dropped whole. A record that a crash cut off is skipped; a program
// never appends to packs of an earlier run. All fields belong to the LogStore's lock.
type packs struct {
	dir   string
	index map[packKey]packRef
	file  *os.File // the pack that is written to; nil before the first record
	head  keptLog  // of file, as it will be put on the books
	next  uint32
}

type packKey struct {
	id      [12]byte // of the SHA-256 of the task's id
	attempt int32
}

type packRef struct {
	pack uint32
	at   uint32 // offset of the output in the pack
	size uint32
}

func packKeyOf(taskID string, attempt int) packKey {
	k := packKey{attempt: int32(attempt)} //nolint:gosec // attempts are counted from 1 to some thousands
	hash := sha256.Sum256([]byte(taskID))
	copy(k.id[:], hash[:])
	return k
}

func (p *packs) path(n uint32) string {
	return filepath.Join(p.dir, fmt.Sprintf("%08d.pack", n))
}

// open reads the index of all packs; what it finds goes on the books.
func (p *packs) open() (kept []keptLog, err error) {
	p.index = map[packKey]packRef{}
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return nil, err
	}
	names, err := filepath.Glob(filepath.Join(p.dir, "*.pack"))
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	for _, name := range names {
		n, err := strconv.ParseUint(strings.TrimSuffix(filepath.Base(name), ".pack"), 10, 32)
		if err != nil {
			continue // not ours
		}
		k, err := p.read(uint32(n))
		if err != nil {
			return nil, err
		}
		kept = append(kept, k)
		p.next = uint32(n) + 1
	}
	return kept, nil
}

// read indexes one pack, up to where it is whole.
func (p *packs) read(n uint32) (keptLog, error) {
	k := keptLog{pack: true, number: n}
	f, err := os.Open(p.path(n))
	if err != nil {
		return k, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return k, err
	}
	k.bytes, k.at = info.Size(), info.ModTime().Unix()
	r := bufio.NewReader(f)
	var at int64
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return k, nil //nolint:nilerr // the end, or a record cut off
		}
		rec, ok := parsePackHeader(line)
		at += int64(len(line))
		if !ok || at+rec.size >= info.Size() {
			return k, nil
		}
		if _, err := r.Discard(int(rec.size) + 1); err != nil {
			return k, nil //nolint:nilerr // cut off
		}
		p.index[packKeyOf(rec.task, rec.attempt)] = packRef{pack: n, at: uint32(at), size: uint32(rec.size)} //nolint:gosec // below maxPacked, in a pack below 4 GiB
		at += rec.size + 1
		k.attempts++
		k.at = rec.unix
	}
}

type packHeader struct {
	task       string
	attempt    int
	unix, size int64
}

// parsePackHeader reads a record's first line; ok is false where it is none.
func parsePackHeader(line string) (h packHeader, ok bool) {
	rest, ok := strings.CutPrefix(line, "@ ")
	if !ok {
		return h, false
	}
	quoted, err := strconv.QuotedPrefix(rest)
	if err != nil {
		return h, false
	}
	if h.task, err = strconv.Unquote(quoted); err != nil {
		return h, false
	}
	fields := strings.Fields(rest[len(quoted):])
	if len(fields) != 3 {
		return h, false
	}
	attempt, err1 := strconv.ParseInt(fields[0], 10, 32)
	unix, err2 := strconv.ParseInt(fields[1], 10, 64)
	size, err3 := strconv.ParseInt(fields[2], 10, 64)
	if errors.Join(err1, err2, err3) != nil || size < 0 || size > maxPacked {
		return h, false
	}
	h.attempt, h.unix, h.size = int(attempt), unix, size
	return h, true
}

// add appends a record.
func (p *packs) add(taskID string, attempt int, unix int64, output []byte) error {
	if p.file == nil {
		f, err := os.OpenFile(p.path(p.next), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return err
		}
		p.file, p.head = f, keptLog{pack: true, number: p.next, began: unix}
		p.next++
	}
	var rec bytes.Buffer
	fmt.Fprintf(&rec, "@ %q %d %d %d\n", taskID, attempt, unix, len(output))
	at := p.head.bytes + int64(rec.Len())
	rec.Write(output)
	rec.WriteByte('\n')
	n, err := p.file.Write(rec.Bytes())
	p.head.bytes += int64(n)
	p.head.at = unix
	if err != nil {
		return err
	}
	p.head.attempts++
	p.index[packKeyOf(taskID, attempt)] = packRef{pack: p.head.number, at: uint32(at), size: uint32(len(output))} //nolint:gosec // packs are far below 4 GiB
	return nil
}

// close ends the pack that is written to and gives its entry for the books.
func (p *packs) close() keptLog {
	p.file.Close()
	p.file = nil
	return p.head
}

// segment is where an attempt's output stands, if it stands in a pack.
func (p *packs) segment(taskID string, attempt int) (segment, bool) {
	ref, ok := p.index[packKeyOf(taskID, attempt)]
	return segment{path: p.path(ref.pack), at: int64(ref.at), size: int64(ref.size)}, ok
}

// drop removes a whole pack.
func (p *packs) drop(n uint32) error {
	for k, ref := range p.index {
		if ref.pack == n {
			delete(p.index, k)
		}
	}
	if err := os.Remove(p.path(n)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// pack keeps a short output, and begins a new pack where the present one is large
// or old enough, so that dropping one never drops much.
func (s *LogStore) pack(w *LogWriter, output []byte) {
	const part = 8 // a pack is at most this part of any bound
	now := s.cfg.Clock().Unix()
	before := s.packs.head
	if s.packs.file == nil {
		before = keptLog{}
	}
	err := s.packs.add(w.taskID, w.attempt, now, output)
	if err != nil {
		s.cfg.Logger.Warn("output is not kept", "task", w.taskID, "err", err)
	}
	if s.packs.file == nil {
		return
	}
	h := s.packs.head
	s.total += h.bytes - before.bytes
	s.count += h.attempts - before.attempts
	full := h.bytes >= min(4<<20, s.cfg.MaxTotalBytes/part) || h.attempts >= cmp.Or(s.cfg.MaxAttempts/part, 1) ||
		s.cfg.MaxAge > 0 && now-h.began >= int64(s.cfg.MaxAge.Seconds())/part
	if full || err != nil {
		s.kept = append(s.kept, s.packs.close())
	}
}
