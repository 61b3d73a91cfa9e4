package journal

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"loadstar/models"
)

// Archive is a side log of which each frame can be read by itself.
type Archive struct{ log *Log }

// Archive opens the archive, making it where it is missing. Its bounds may be
// others than before; what is beyond them goes.
func (j *Journal) Archive(ctx context.Context, name string, opts LogOptions) (*Archive, error) {
	g, err := j.Log(ctx, name, opts)
	if err != nil {
		return nil, err
	}
	return &Archive{log: g}, nil
}

// Append makes a frame durable before it returns, and says under which number it
// can be read. After an error the frame may be there or not; nobody has its number.
func (a *Archive) Append(ctx context.Context, frame []byte) (number uint64, err error) {
	g := a.log
	if len(frame) > maxPayload {
		return 0, fmt.Errorf("journal: a frame of %d bytes is more than %d", len(frame), maxPayload)
	}
	if err := g.journal.checkSpace(len(frame), false); err != nil {
		return 0, err
	}
	data, _ := appendFrame(make([]byte, 0, headerSize+len(frame)), kindLog, 0, 0, frame)
	err = g.journal.links.with(ctx, func(ctx context.Context, l *link) error {
		ctx, cancel := context.WithTimeout(ctx, g.journal.cfg.AckTimeout)
		defer cancel()
		number, err = l.publish(ctx, g.subject, data, 0, false)
		return err
	})
	if err != nil {
		_, told := refusal(err)
		return 0, fmt.Errorf("journal: archive: %w", told)
	}
	return number, nil
}

// Read is the frame of a number. The error wraps models.ErrNotFound where it is
// past the archive's bounds, and is a *CorruptError where it is damaged or missing.
func (a *Archive) Read(ctx context.Context, number uint64) (frame []byte, err error) {
	g := a.log
	bad := &CorruptError{Stream: g.stream, Seq: number}
	err = g.journal.links.with(ctx, func(ctx context.Context, l *link) error {
		ctx, cancel := context.WithTimeout(ctx, g.journal.cfg.AckTimeout)
		defer cancel()
		s, err := l.js.Stream(ctx, g.stream)
		if err != nil {
			return fmt.Errorf("journal: archive: %w", err)
		}
		msg, err := s.GetMsg(ctx, number)
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			if number < s.CachedInfo().State.FirstSeq {
				return fmt.Errorf("journal: archive: frame %d is past the archive's bounds: %w", number, models.ErrNotFound)
			}
			bad.Why = "it is missing"
			return bad
		case err != nil:
			return fmt.Errorf("journal: archive: read frame %d: %w", number, err)
		}
		h, payload, err := decodeFrame(msg.Data)
		if err == nil && h.kind != kindLog {
			err = errors.New("it is of another stream")
		}
		if err != nil {
			bad.Why = err.Error()
			return bad
		}
		frame = payload
		return nil
	})
	return frame, err
}

// First is the smallest number that can be read; one more than the last where there
// is none.
func (a *Archive) First(ctx context.Context) (number uint64, err error) {
	g := a.log
	err = g.journal.links.with(ctx, func(ctx context.Context, l *link) error {
		ctx, cancel := context.WithTimeout(ctx, g.journal.cfg.AckTimeout)
		defer cancel()
		s, err := l.js.Stream(ctx, g.stream)
		if err != nil {
			return fmt.Errorf("journal: archive: %w", err)
		}
		state := s.CachedInfo().State
		number = state.FirstSeq
		if state.Msgs == 0 {
			number = state.LastSeq + 1
		}
		return nil
	})
	return number, err
}
