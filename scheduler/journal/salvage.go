package journal

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/minio/highwayhash"
)

// Damage is one thing that is wrong with a journal's files.
type Damage struct {
	Stream string    `json:"stream"`
	File   string    `json:"file,omitempty"`
	Offset int64     `json:"offset,omitempty"` // of the damaged record in File
	From   uint64    `json:"from,omitempty"`   // the frames that are lost, both inclusive; 0 where none is
	To     uint64    `json:"to,omitempty"`
	Before time.Time `json:"before,omitzero"` // when the frame before them was written; zero where unknown
	After  time.Time `json:"after,omitzero"`  // when the frame behind them was written; zero where unknown
	What   string    `json:"what"`
}

func (d *Damage) String() string {
	where := ""
	if d.File != "" {
		where = fmt.Sprintf(" (%s at byte %d)", d.File, d.Offset)
	}
	if d.From == 0 {
		return fmt.Sprintf("%s%s: %s", d.Stream, where, d.What)
	}
	return fmt.Sprintf("%s%s: frames %d to %d are lost (%d of them), recorded %s: %s", d.Stream, where, d.From, d.To, d.To-d.From+1, between(d.Before, d.After), d.What)
}

// Remains is what can be read of a journal's files.
type Remains struct {
	// Damage is what is wrong, in the order of the files.
	Damage []Damage
	// Chunks are those of the snapshot, in order; Whole says that none is missing.
	Chunks [][]byte
	Whole  bool
	// Frames are those behind the snapshot, in order.
	Frames []RemainingFrame
	// Lost is how many acknowledged frames are known to be missing.
	Lost uint64
	// Aside is what is wrong in the other streams. It keeps nothing from starting:
	// what is damaged there is left out.
	Aside []Damage
}

// RemainingFrame is a frame that can be read.
type RemainingFrame struct {
	Seq  uint64
	At   time.Time // when it was written; zero where unknown
	Gap  bool      // frames before it are missing
	Data []byte
}

// Salvage reads all that can be read of the journal in a folder that no process has
// in use, and changes nothing. It goes by the files alone: each frame has a
// checksum of its own, so what stands behind a damaged place is found again. What
// stands behind a broken chain is another history, and is left out.
func Salvage(dir string) (*Remains, error) {
	acked, _, ok, err := readMark(filepath.Join(dir, "acked"))
	if err != nil {
		return nil, err
	}
	if !ok {
		acked = 0
	}
	r := &Remains{}
	streams := filepath.Join(dir, "jetstream", "$G", "streams")
	snapshots, err := r.collect(filepath.Join(streams, snapshotStream), snapshotStream, 0)
	if err != nil {
		return nil, err
	}
	covered, chain := r.snapshot(snapshots)
	frames, err := r.collect(filepath.Join(streams, journalStream), journalStream, acked)
	if err != nil {
		return nil, err
	}
	r.follow(frames, covered, chain, acked)
	return r, r.aside(streams)
}

// aside looks through the streams that are neither frames nor snapshots.
func (r *Remains) aside(streams string) error {
	all, err := os.ReadDir(streams)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("journal: %w", err)
	}
	for _, s := range all {
		if s.Name() == journalStream || s.Name() == snapshotStream {
			continue
		}
		var side Remains
		if _, err := side.collect(filepath.Join(streams, s.Name()), s.Name(), 0); err != nil {
			return err
		}
		r.Aside = append(r.Aside, side.Damage...)
	}
	return nil
}

// found is a message of ours that was read from a block file.
type found struct {
	header
	at         time.Time
	generation uint64 // snapshots: of the chunk
	payload    []byte
}

// collect reads the block files of a stream.
func (r *Remains) collect(dir, stream string, acked uint64) ([]found, error) {
	files, err := filepath.Glob(filepath.Join(dir, "msgs", "*.blk"))
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	slices.SortFunc(files, func(a, b string) int { return cmp.Compare(blockIndex(a), blockIndex(b)) })
	if _, err := os.Stat(filepath.Join(dir, "meta.inf")); errors.Is(err, fs.ErrNotExist) && len(files) > 0 {
		r.Damage = append(r.Damage, Damage{Stream: stream, File: dir, What: "the stream's description is missing; its blocks are there"})
	}
	var all []found
	for i, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("journal: read block: %w", err)
		}
		all = r.block(all, data, file, stream, acked, i == len(files)-1)
	}
	return all, nil
}

// block reads one block file; behind a damaged place it goes on with the next frame
// that is whole.
func (r *Remains) block(all []found, data []byte, file, stream string, acked uint64, last bool) []found {
	key := sha256.Sum256(fmt.Appendf(nil, "%s-%d", stream, blockIndex(file)))
	hash, err := highwayhash.NewDigest64(key[:])
	if err != nil {
		return all // cannot be: the key has its length
	}
	for at := 0; at < len(data); {
		_, tomb, message, size, why := record(data[at:], hash)
		if why == "" {
			if !tomb {
				if h, payload, err := decodeFrame(message); err == nil {
					all = append(all, foundAt(data, at, h, payload))
				} else {
					r.Damage = append(r.Damage, Damage{Stream: stream, File: file, Offset: int64(at), What: err.Error()})
				}
			}
			at += size
			continue
		}
		next := -1
		for p := range wholeFrames(data[at:]) {
			next = at + p
			break
		}
		if next < 0 {
			if !last || len(all) == 0 || all[len(all)-1].seq < acked { // else a last write that was torn and never acknowledged
				r.Damage = append(r.Damage, Damage{Stream: stream, File: file, Offset: int64(at), What: why})
			}
			break
		}
		r.Damage = append(r.Damage, Damage{Stream: stream, File: file, Offset: int64(at), What: why})
		n := frameSize(data[next:])
		h, payload, err := decodeFrame(data[next : next+n])
		if err == nil {
			all = append(all, foundAt(data, recordBefore(data, next), h, payload))
		}
		at = next + n + recordHash
	}
	return all
}

// subjectWindow is how far before a message its subject can begin: nats-server's
// headers of a publish stand between them.
const subjectWindow = 512

// recordBefore is where the record of a message of ours begins, as far as its
// subject can still be read; -1 where it cannot.
func recordBefore(data []byte, begin int) int {
	from := max(0, begin-subjectWindow)
	for _, subject := range []string{journalSubject, chunkSubjects + ".", manifestSubject} {
		if i := bytes.LastIndex(data[from:begin], []byte(subject)); i >= 0 && from+i >= recordHead {
			return from + i - recordHead
		}
	}
	return -1
}

// foundAt adds what nats-server's record says, which begins at an offset, or -1
// where that is not known.
func foundAt(data []byte, at int, h header, payload []byte) found {
	f := found{header: h, payload: payload}
	if at < 0 {
		return f
	}
	f.at = time.Unix(0, int64(binary.LittleEndian.Uint64(data[at+12:]))).UTC() //nolint:gosec // as it was written
	subject := data[at+recordHead : min(len(data), at+recordHead+int(binary.LittleEndian.Uint16(data[at+20:])))]
	if text, ok := bytes.CutPrefix(subject, []byte(chunkSubjects+".")); ok {
		f.generation, _ = strconv.ParseUint(string(text), 10, 64)
	}
	return f
}

// snapshot chooses the newest snapshot that was finished, and of it all chunks that
// can be read; where no manifest can be read, the chunks of the newest generation.
func (r *Remains) snapshot(all []found) (covered uint64, chain uint32) {
	var m manifest
	var newest uint64
	for i := range all {
		f := &all[i]
		newest = max(newest, f.generation)
		var got manifest
		if f.kind == kindManifest && json.Unmarshal(f.payload, &got) == nil && got.Generation >= m.Generation {
			m = got
		}
	}
	r.Whole = true
	generation := m.Generation
	if generation == 0 {
		if newest == 0 {
			return 0, 0 // there never was one
		}
		r.Whole, generation = false, newest
		r.Damage = append(r.Damage, Damage{Stream: snapshotStream, What: "no manifest can be read"})
	}
	chunks := map[uint64]*found{}
	for i := range all {
		if f := &all[i]; f.kind == kindChunk && f.generation == generation {
			chunks[f.seq] = f
		}
	}
	count := uint64(max(0, m.Count)) //nolint:gosec // not negative
	for n := range chunks {
		if m.Generation == 0 {
			count = max(count, n+1)
		}
	}
	missing := 0
	for n := range min(count, uint64(len(all))+1) {
		f := chunks[n]
		if f == nil {
			missing++
			continue
		}
		r.Chunks = append(r.Chunks, f.payload)
	}
	if missing > 0 {
		r.Whole = false
		r.Damage = append(r.Damage, Damage{Stream: snapshotStream, What: fmt.Sprintf("%d of the snapshot's %d chunks cannot be read: the tasks in them are lost, unless a later frame names them", missing, count)})
	}
	return m.Covered, m.Chain
}

// follow orders the frames behind the snapshot, up to where the chain is broken.
func (r *Remains) follow(all []found, covered uint64, chain uint32, acked uint64) {
	slices.SortStableFunc(all, func(a, b found) int { return cmp.Compare(a.seq, b.seq) })
	next, sum, known := covered+1, chain, covered > 0 || r.Chunks == nil
	if !known && len(all) > 0 { // where the snapshot ends is not known: frames that it covers are found out by their number
		next = all[0].seq
	}
	var before time.Time
	highest := covered
	for i := range all {
		f := &all[i]
		if f.seq < next || f.kind != kindFrame && f.kind != kindVoid {
			continue
		}
		gap := f.seq > next
		if gap {
			r.Damage = append(r.Damage, Damage{Stream: journalStream, From: next, To: f.seq - 1, Before: before, After: f.at, What: "they cannot be read"})
			r.Lost += f.seq - next
		} else if known && f.prev != sum {
			last := max(acked, all[len(all)-1].seq)
			r.Damage = append(r.Damage, Damage{Stream: journalStream, From: f.seq, To: last, Before: before, What: fmt.Sprintf("frame %d does not follow the one before it (the chain of checksums is broken), so what stands there is of another history", f.seq)})
			r.Lost += last - f.seq + 1
			return
		}
		next, sum, known, before, highest = f.seq+1, f.sum, true, f.at, f.seq
		if f.kind == kindVoid {
			if n := len(r.Frames); n > 0 && !gap && r.Frames[n-1].Seq == f.seq-1 {
				r.Frames = r.Frames[:n-1] // it strikes that one out
			}
			continue
		}
		r.Frames = append(r.Frames, RemainingFrame{Seq: f.seq, At: f.at, Gap: gap, Data: f.payload})
	}
	if acked > highest {
		r.Damage = append(r.Damage, Damage{Stream: journalStream, From: highest + 1, To: acked, Before: before, What: "acknowledged, but the stream ends earlier"})
		r.Lost += acked - highest
	}
}
