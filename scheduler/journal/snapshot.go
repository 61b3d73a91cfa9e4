package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// manifest closes a snapshot: without it the chunks do not count. It is the JSON
// payload of a manifest message.
type manifest struct {
	Generation uint64 `json:"generation"` // the first chunk's sequence, or the manifest's own where there is none
	Count      int    `json:"count"`      // chunks
	Bytes      int64  `json:"bytes"`      // of payload
	Sum        uint32 `json:"sum"`        // of the last chunk; it stands for all of them
	Covered    uint64 `json:"covered"`    // the last frame that the snapshot covers
	Chain      uint32 `json:"chain"`      // that frame's sum, which the next one continues

	seq uint64    // its own, 0 where there is no snapshot
	at  time.Time // when it was written
}

// Snapshot stores a whole snapshot that covers all frames appended so far, and
// then forgets those frames and the snapshot before. It is atomic: after a crash
// on the way the one before it counts. Each chunk is at most scheduler.MaxFrame
// bytes. Append waits meanwhile.
func (j *Journal) Snapshot(ctx context.Context, chunks [][]byte) error {
	for i, c := range chunks {
		if len(c) > maxPayload {
			return fmt.Errorf("journal: chunk %d of %d bytes is more than %d", i, len(c), maxPayload)
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.loaded {
		return ErrNotLoaded
	}
	if err := j.settle(ctx); err != nil {
		return err
	}
	m, err := j.storeSnapshot(ctx, chunks)
	if err != nil {
		return err
	}
	return j.links.with(ctx, func(ctx context.Context, l *link) error {
		j.tidy(ctx, l, m)
		return nil
	})
}

func (j *Journal) storeSnapshot(ctx context.Context, chunks [][]byte) (manifest, error) {
	var last uint64
	err := j.links.with(ctx, func(ctx context.Context, l *link) error {
		s, err := l.js.Stream(ctx, snapshotStream)
		if err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		last = s.CachedInfo().State.LastSeq
		return nil
	})
	if err != nil {
		return manifest{}, err
	}
	m := manifest{Generation: last + 1, Count: len(chunks), Covered: j.seq, Chain: j.sum}
	subject := chunkSubjects + "." + strconv.FormatUint(m.Generation, 10)
	for i, c := range chunks {
		if err := j.storePart(ctx, subject, kindChunk, uint64(i), m.Sum, c, last); err != nil { //nolint:gosec // an index
			j.dropGeneration(ctx, subject)
			return m, fmt.Errorf("journal: snapshot: %w", err)
		}
		m.Sum = sumOf(j.buf)
		m.Bytes += int64(len(c))
		last++
	}
	text, err := json.Marshal(m)
	if err != nil {
		return m, fmt.Errorf("journal: snapshot: %w", err)
	}
	if err := j.storePart(ctx, manifestSubject, kindManifest, uint64(len(chunks)), m.Sum, text, last); err != nil {
		// It may be there all the same, and then it counts: the chunks stay.
		return m, fmt.Errorf("journal: snapshot: %w", err)
	}
	m.seq = last + 1
	return m, nil
}

func (j *Journal) storePart(ctx context.Context, subject string, k kind, index uint64, prev uint32, payload []byte, last uint64) error {
	if err := j.checkSpace(len(payload), false); err != nil {
		return err
	}
	j.buf, _ = appendFrame(j.buf[:0], k, index, prev, payload)
	if err := j.publish(ctx, subject, j.buf, last, true); err != nil {
		_, told := refusal(err)
		return told
	}
	if j.afterPart != nil {
		j.afterPart(int(index) + 1) //nolint:gosec // an index
	}
	return nil
}

// dropGeneration gives the space of an unfinished snapshot back.
func (j *Journal) dropGeneration(ctx context.Context, subject string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), j.cfg.AckTimeout)
	defer cancel()
	err := j.links.with(ctx, func(ctx context.Context, l *link) error {
		s, err := l.js.Stream(ctx, snapshotStream)
		if err != nil {
			return err
		}
		return s.Purge(ctx, jetstream.WithPurgeSubject(subject))
	})
	if err != nil {
		j.log.Warn("an unfinished snapshot could not be removed; the next one will remove it", "error", err)
	}
}

// newestManifest is the snapshot that counts; its seq is 0 where there is none.
func newestManifest(ctx context.Context, l *link) (manifest, error) {
	s, err := l.js.Stream(ctx, snapshotStream)
	if err != nil {
		return manifest{}, fmt.Errorf("journal: %w", err)
	}
	msg, err := s.GetLastMsgForSubject(ctx, manifestSubject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return manifest{}, nil
	}
	if err != nil {
		return manifest{}, fmt.Errorf("journal: read the snapshot's manifest: %w", err)
	}
	var m manifest
	bad := &CorruptError{Stream: snapshotStream, Seq: msg.Sequence}
	h, payload, err := decodeFrame(msg.Data)
	if err != nil {
		bad.Why = err.Error()
		return m, bad
	}
	if err := json.Unmarshal(payload, &m); err != nil {
		bad.Why = err.Error()
		return m, bad
	}
	m.seq, m.at = msg.Sequence, msg.Time
	if h.kind != kindManifest || h.prev != m.Sum || m.Count < 0 || m.Generation == 0 || m.Generation+uint64(m.Count) != m.seq {
		bad.Why = "it is not the manifest of the chunks before it"
		return m, bad
	}
	return m, nil
}

// chunks verifies the snapshot and hands its chunks over.
func (m manifest) chunks(ctx context.Context, l *link, fn func([]byte) error) error {
	if m.Count == 0 {
		return nil
	}
	var sum uint32
	var bytes int64
	next := m.Generation
	err := read(ctx, l, snapshotStream, "", m.Generation, m.seq-1, func(msg message) error {
		if msg.seq != next {
			return &CorruptError{Stream: snapshotStream, Seq: next, Why: "it is missing"}
		}
		h, payload, err := decodeFrame(msg.data)
		switch {
		case err != nil:
			return &CorruptError{Stream: snapshotStream, Seq: next, Why: err.Error()}
		case h.kind != kindChunk || h.seq != next-m.Generation || h.prev != sum:
			return &CorruptError{Stream: snapshotStream, Seq: next, Why: "it does not follow the chunk before it"}
		}
		sum, bytes, next = h.sum, bytes+int64(len(payload)), next+1
		return fn(payload)
	})
	if err != nil {
		return err
	}
	if next != m.seq || sum != m.Sum || bytes != m.Bytes {
		return &CorruptError{Stream: snapshotStream, Seq: next, Why: fmt.Sprintf("the snapshot has %d chunks of %d", next-m.Generation, m.Count)}
	}
	return nil
}

// tidy forgets what the snapshot has taken the place of. What cannot be removed
// now is removed next time: it takes up space and changes nothing.
func (j *Journal) tidy(ctx context.Context, l *link, m manifest) {
	if m.seq == 0 {
		return
	}
	for _, p := range []struct {
		stream string
		before uint64 // every message before it goes
	}{{snapshotStream, m.Generation}, {journalStream, m.Covered + 1}} {
		s, err := l.js.Stream(ctx, p.stream)
		if err == nil {
			state := s.CachedInfo().State
			if state.Msgs == 0 || state.FirstSeq >= p.before {
				continue
			}
			err = s.Purge(ctx, jetstream.WithPurgeSequence(p.before))
		}
		if err != nil {
			j.log.Warn("what the snapshot covers could not be removed; the next one will remove it", "stream", p.stream, "error", err)
		}
	}
}
