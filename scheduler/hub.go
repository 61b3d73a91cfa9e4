package scheduler

import (
	"context"
	"fmt"
	"sync"

	"loadstar/models"
)

// hub hands events to those who watch. It never waits for them.
type hub struct {
	mu     sync.Mutex
	seq    uint64
	subs   map[*subscriber]struct{}
	closed bool
}

type subscriber struct {
	events chan models.Event
	lost   int
	stop   func() bool
}

func (h *hub) subscribe(ctx context.Context, buffer int) <-chan models.Event {
	sub := &subscriber{events: make(chan models.Event, max(1, buffer))}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || ctx.Err() != nil {
		close(sub.events)
		return sub.events
	}
	if h.subs == nil {
		h.subs = map[*subscriber]struct{}{}
	}
	h.subs[sub] = struct{}{}
	sub.stop = context.AfterFunc(ctx, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.drop(sub)
	})
	return sub.events
}

func (h *hub) drop(sub *subscriber) {
	if _, there := h.subs[sub]; there {
		delete(h.subs, sub)
		close(sub.events)
	}
}

func (h *hub) publish(events []models.Event) {
	if len(events) == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.subs) == 0 {
		h.seq += uint64(len(events))
		return
	}
	for i := range events {
		h.seq++
		events[i].Seq = h.seq
		for sub := range h.subs {
			sub.offer(&events[i])
		}
	}
}

func (s *subscriber) offer(e *models.Event) {
	if s.lost > 0 {
		told := models.Event{Seq: e.Seq, At: e.At, Kind: models.EventTrouble, Message: fmt.Sprintf("%d events were lost: they were read too slowly", s.lost)}
		select {
		case s.events <- told:
			s.lost = 0
		default:
			s.lost++
			return
		}
	}
	select {
	case s.events <- *e:
	default:
		s.lost++
	}
}

func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for sub := range h.subs {
		sub.stop()
		h.drop(sub)
	}
}
