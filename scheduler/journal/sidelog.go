package journal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"loadstar/models"
)

// LogOptions bounds a side log.
type LogOptions struct {
	// MaxAge is how long a frame is kept; 0 is for ever.
	MaxAge time.Duration
	// MaxBytes is what all frames may take, the oldest go first; 0 is no bound.
	MaxBytes int64
}

// Log is a side log: durable as the journal is, but bounded, and a damaged frame
// is left out of a replay rather than refusing the rest.
type Log struct {
	journal *Journal
	stream  string
	subject string
}

// Log opens a side log, making it where it is missing; a name is letters, digits,
// '-' and '_'.
func (j *Journal) Log(ctx context.Context, name string, opts LogOptions) (*Log, error) {
	if err := models.CheckPoolName("log", name); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	if opts.MaxAge < 0 || opts.MaxBytes < 0 {
		return nil, fmt.Errorf("journal: log %s: a bound is negative", name)
	}
	lg := &Log{journal: j, stream: "LOADSTAR_LOG_" + name, subject: "loadstar.log." + name}
	err := j.links.with(ctx, func(ctx context.Context, l *link) error {
		_, err := l.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
			Name:        lg.stream,
			Description: "Loadstar: side log " + name,
			Subjects:    []string{lg.subject},
			Storage:     jetstream.FileStorage,
			Retention:   jetstream.LimitsPolicy,
			Discard:     jetstream.DiscardOld,
			MaxAge:      opts.MaxAge,
			MaxBytes:    boundOr(opts.MaxBytes),
			Replicas:    j.cfg.Replicas,
			Duplicates:  duplicates(opts.MaxAge),
			AllowDirect: true,
		})
		return err
	})
	if err != nil {
		_, told := refusal(err)
		return nil, fmt.Errorf("journal: open log %s: %w", name, told)
	}
	return lg, nil
}

// duplicates is the window in which JetStream looks for repeated message ids, of
// which we send none; it may not be longer than the age.
func duplicates(age time.Duration) time.Duration {
	if age > 0 && age < time.Second {
		return age
	}
	return time.Second
}

// Append makes a frame durable before it returns; a frame is at most
// scheduler.MaxFrame bytes. After an error the frame may be there or not.
func (g *Log) Append(ctx context.Context, frame []byte) error {
	if len(frame) > maxPayload {
		return fmt.Errorf("journal: a frame of %d bytes is more than %d", len(frame), maxPayload)
	}
	if err := g.journal.checkSpace(len(frame), false); err != nil {
		return err
	}
	data, _ := appendFrame(make([]byte, 0, headerSize+len(frame)), kindLog, 0, 0, frame)
	if err := g.journal.publish(ctx, g.subject, data, 0, false); err != nil {
		_, told := refusal(err)
		return fmt.Errorf("journal: log: %w", told)
	}
	return nil
}

// Replay hands over every frame that is kept, oldest first, with the time of its
// Append. The frame is valid during the call only. fn may not append to this journal.
func (g *Log) Replay(ctx context.Context, fn func(at time.Time, frame []byte) error) error {
	damaged := 0
	err := g.journal.links.with(ctx, func(ctx context.Context, l *link) error {
		s, err := l.js.Stream(ctx, g.stream)
		if err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		state := s.CachedInfo().State
		if state.Msgs == 0 {
			return nil
		}
		return read(ctx, l, g.stream, "", state.FirstSeq, state.LastSeq, func(msg message) error {
			h, payload, err := decodeFrame(msg.data)
			if err != nil || h.kind != kindLog {
				damaged++
				return nil //nolint:nilerr // counted, and said below
			}
			return fn(msg.at, payload)
		})
	})
	if damaged > 0 {
		g.journal.log.Warn("frames of a side log are damaged and were left out", "log", g.stream, "frames", damaged)
	}
	if errors.Is(err, context.Canceled) || err == nil {
		return err
	}
	return fmt.Errorf("journal: replay log: %w", err)
}
