package journal

import (
	"context"
	"fmt"
	"time"
)

// StreamReport is one stream as Check found it.
type StreamReport struct {
	Name     string    `json:"name"`
	Messages uint64    `json:"messages"`
	Bytes    uint64    `json:"bytes"`
	First    uint64    `json:"first"`
	Last     uint64    `json:"last"`
	From     time.Time `json:"from"` // the first message's time
	To       time.Time `json:"to"`   // the last message's time
}

// Report is what Check found.
type Report struct {
	Streams  []StreamReport `json:"streams"`
	Covered  uint64         `json:"covered"`         // the last frame that the snapshot covers, 0 where there is none
	Chunks   int            `json:"chunks"`          // of the snapshot
	Frames   int            `json:"frames"`          // verified after it
	Problem  string         `json:"problem"`         // the first that was found; empty where all is well
	FreeDisk uint64         `json:"free_disk_bytes"` // 0 where unknown
}

// Check reads everything and verifies it as Load does. Damage is told in the
// report; the error is for what kept it from looking.
func (j *Journal) Check(ctx context.Context) (Report, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var r Report
	r.FreeDisk, _, _ = freeSpace(j.cfg.Dir)
	err := j.links.with(ctx, func(ctx context.Context, l *link) error {
		streams := l.js.ListStreams(ctx)
		for info := range streams.Info() {
			r.Streams = append(r.Streams, StreamReport{
				Name: info.Config.Name, Messages: info.State.Msgs, Bytes: info.State.Bytes,
				First: info.State.FirstSeq, Last: info.State.LastSeq, From: info.State.FirstTime, To: info.State.LastTime,
			})
		}
		if err := streams.Err(); err != nil {
			return fmt.Errorf("journal: list streams: %w", err)
		}
		m, err := newestManifest(ctx, l)
		if err == nil {
			r.Covered, r.Chunks = m.Covered, m.Count
			err = m.chunks(ctx, l, func([]byte) error { return nil })
		}
		if err == nil {
			_, err = j.replay(ctx, l, m, func([]byte) error { r.Frames++; return nil })
		}
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			r.Problem = err.Error()
		}
		return nil
	})
	return r, err
}
