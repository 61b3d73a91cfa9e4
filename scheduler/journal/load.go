package journal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Load hands over the newest whole snapshot's chunks, if there is one, then every
// frame after it, in order, and makes the journal ready for Append. It returns a
// *GapError or *CorruptError where anything acknowledged is missing or damaged;
// then no frame was changed on disk, and what was handed over must not be used.
// The data is valid during the call only.
func (j *Journal) Load(ctx context.Context, snapshot, frame func(data []byte) error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	err := j.links.with(ctx, func(ctx context.Context, l *link) error {
		m, err := newestManifest(ctx, l)
		if err != nil {
			return err
		}
		if err := m.chunks(ctx, l, snapshot); err != nil {
			return err
		}
		end, err := j.replay(ctx, l, m, frame)
		if err != nil {
			return err
		}
		j.seq, j.sum = end.seq, end.sum
		j.tidy(ctx, l, m)
		return nil
	})
	if err != nil {
		return err
	}
	j.loaded, j.unsettled = true, nil
	if j.mark != nil {
		if err := j.mark.write(j.seq, j.sum); err != nil {
			j.log.Warn("the journal's mark could not be written", "error", err)
		}
	}
	return nil
}

// position is a place in the chain: a frame's sequence and sum.
type position struct {
	seq uint64
	sum uint32
	at  time.Time // when it was written; zero where unknown
}

// replay verifies and hands over the frames after the snapshot. One frame is held
// back until it is known that no void strikes it out.
func (j *Journal) replay(ctx context.Context, l *link, m manifest, frame func([]byte) error) (position, error) {
	pos := position{seq: m.Covered, sum: m.Chain, at: m.at}
	state, err := j.bounds(ctx, l, m)
	if err != nil {
		return pos, err
	}
	var held []byte
	hold := false
	release := func() error {
		if !hold {
			return nil
		}
		hold = false
		return frame(held)
	}
	err = read(ctx, l, journalStream, "", pos.seq+1, state.LastSeq, func(msg message) error {
		if msg.seq != pos.seq+1 {
			return &GapError{From: pos.seq + 1, To: msg.seq - 1, Before: pos.at, After: msg.at, Why: "not in the stream any more"}
		}
		h, payload, err := decodeFrame(msg.data)
		switch {
		case err != nil:
			return &CorruptError{Stream: journalStream, Seq: msg.seq, Last: state.LastSeq, Why: err.Error()}
		case h.seq != msg.seq:
			return &CorruptError{Stream: journalStream, Seq: msg.seq, Last: state.LastSeq, Why: fmt.Sprintf("it holds frame %d", h.seq)}
		case h.prev != pos.sum:
			return &CorruptError{Stream: journalStream, Seq: msg.seq, Last: state.LastSeq, Why: "it does not follow the frame before it (the chain of checksums is broken)"}
		}
		pos = position{seq: msg.seq, sum: h.sum, at: msg.at}
		switch h.kind {
		case kindVoid:
			hold = false
			return nil
		case kindFrame:
			if err := release(); err != nil {
				return err
			}
			held, hold = append(held[:0], payload...), true
			return nil
		case kindChunk, kindManifest, kindLog:
		}
		return &CorruptError{Stream: journalStream, Seq: msg.seq, Last: state.LastSeq, Why: "it is of another stream"}
	})
	if err != nil {
		return pos, err
	}
	if pos.seq < state.LastSeq {
		return pos, &GapError{From: pos.seq + 1, To: state.LastSeq, Before: pos.at, Why: "not handed out by the stream"}
	}
	return pos, release()
}

// bounds checks that the stream begins and ends where it must.
func (j *Journal) bounds(ctx context.Context, l *link, m manifest) (jetstream.StreamState, error) {
	stream, err := l.js.Stream(ctx, journalStream)
	if err != nil {
		return jetstream.StreamState{}, fmt.Errorf("journal: %w", err)
	}
	state := stream.CachedInfo().State
	if state.Msgs > 0 && state.FirstSeq > m.Covered+1 || state.Msgs == 0 && state.LastSeq > m.Covered {
		to := state.FirstSeq - 1
		why := "the stream begins later"
		if m.seq == 0 {
			why += ", and no whole snapshot covers that"
		}
		return state, &GapError{From: m.Covered + 1, To: to, Before: m.at, After: state.FirstTime, Why: why}
	}
	if j.mark != nil {
		acked, _, ok, err := readMark(j.markPath())
		if err != nil {
			return state, err
		}
		if last := max(state.LastSeq, m.Covered); ok && acked > last {
			return state, &GapError{From: last + 1, To: acked, Before: state.LastTime, Why: "acknowledged, but the stream ends earlier"}
		}
	}
	if state.LastSeq < m.Covered { // a stream that forgot where it was when it was emptied
		if err := stream.Purge(ctx, jetstream.WithPurgeSequence(m.Covered+1)); err != nil {
			return state, fmt.Errorf("journal: set the stream's sequence: %w", err)
		}
		if stream, err = l.js.Stream(ctx, journalStream); err != nil {
			return state, fmt.Errorf("journal: %w", err)
		}
		if state = stream.CachedInfo().State; state.LastSeq != m.Covered {
			return state, &GapError{From: state.LastSeq + 1, To: m.Covered, Before: m.at, Why: "the stream has lost its sequence"}
		}
	}
	return state, nil
}

// message is one message as stored. data is valid during the call only.
type message struct {
	seq  uint64
	at   time.Time
	data []byte
}

// How a stream is read: so much is asked for at a time, and a stream that is
// silent for so long is asked for the next message by its sequence.
const (
	readBytes  = 8 << 20
	readSilent = 5 * time.Second
)

// read hands over the messages of a stream from one sequence to another, both
// inclusive, in order, of one subject where it is not empty. Messages that the
// stream does not have are left out; the caller counts.
func read(ctx context.Context, l *link, stream, subject string, from, to uint64, fn func(message) error) error {
	for from <= to {
		next, err := readSome(ctx, l, stream, subject, from, to, fn)
		if err != nil || next > to {
			return err
		}
		if next == from && subject == "" { // silence: is the message there at all?
			s, err := l.js.Stream(ctx, stream)
			if err != nil {
				return fmt.Errorf("journal: read %s: %w", stream, err)
			}
			msg, err := s.GetMsg(ctx, next)
			switch {
			case errors.Is(err, jetstream.ErrMsgNotFound):
				return nil
			case err != nil:
				return fmt.Errorf("journal: read message %d of %s: %w", next, stream, err)
			}
			if err := fn(message{seq: msg.Sequence, at: msg.Time, data: msg.Data}); err != nil {
				return err
			}
			next++
		} else if next == from {
			return nil
		}
		from = next
	}
	return nil
}

// readSome reads until the last message or silence; next is the sequence to go on from.
func readSome(ctx context.Context, l *link, stream, subject string, from, to uint64, fn func(message) error) (next uint64, err error) {
	next = from
	consumer, err := l.js.CreateConsumer(ctx, stream, jetstream.ConsumerConfig{
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       from,
		AckPolicy:         jetstream.AckNonePolicy,
		FilterSubject:     subject,
		MemoryStorage:     true,
		Replicas:          1,
		InactiveThreshold: time.Minute,
	})
	if err != nil {
		return next, fmt.Errorf("journal: read %s: %w", stream, err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readSilent)
		defer cancel()
		_ = l.js.DeleteConsumer(ctx, stream, consumer.CachedInfo().Name) // it goes by itself after a minute
	}()
	if consumer.CachedInfo().NumPending == 0 {
		return to + 1, nil
	}
	batch, err := consumer.Messages(jetstream.PullMaxBytes(readBytes))
	if err != nil {
		return next, fmt.Errorf("journal: read %s: %w", stream, err)
	}
	defer batch.Stop()
	for next <= to {
		msg, err := batch.Next(jetstream.NextMaxWait(readSilent))
		if err != nil {
			if ctx.Err() != nil {
				return next, ctx.Err()
			}
			return next, nil //nolint:nilerr // silence; the caller looks into it
		}
		meta, err := msg.Metadata()
		if err != nil {
			return next, fmt.Errorf("journal: read %s: %w", stream, err)
		}
		if err := fn(message{seq: meta.Sequence.Stream, at: meta.Timestamp, data: msg.Data()}); err != nil {
			return next, err
		}
		next = meta.Sequence.Stream + 1
		if meta.NumPending == 0 {
			return to + 1, nil
		}
		if err := ctx.Err(); err != nil {
			return next, err
		}
	}
	return next, nil
}
