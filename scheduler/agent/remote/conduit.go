package remote

import (
	"encoding/binary"
	"errors"
	"time"
)

// protocol is the version of what goes over the wire; both sides must have the same.
const protocol = 1

// A packet is one NATS message:
//
//	0       protocol
//	1       flags
//	2       seq: of a part of a message, from 1; 0 is no part (uvarint)
//	        ack: the last part received in order (uvarint)
//	        the part's bytes; those of a heartbeat where flagBeat is set
type packet struct {
	flags byte
	seq   uint64
	ack   uint64
	data  []byte
}

const (
	flagMore byte = 1 << iota // the message goes on in the next part
	flagBeat                  // a heartbeat, which is not numbered
	flagGone                  // the session is not known here: join again
	flagBye                   // the session ends
)

func appendPacket(b []byte, p *packet) []byte {
	b = append(b, protocol, p.flags)
	b = binary.AppendUvarint(b, p.seq)
	b = binary.AppendUvarint(b, p.ack)
	return append(b, p.data...)
}

var errPacket = errors.New("not a packet of this version")

func decodePacket(b []byte) (p packet, err error) {
	if len(b) < 4 || b[0] != protocol {
		return p, errPacket
	}
	p.flags = b[1]
	b = b[2:]
	for _, v := range []*uint64{&p.seq, &p.ack} {
		u, n := binary.Uvarint(b)
		if n <= 0 {
			return packet{}, errPacket
		}
		*v, b = u, b[n:]
	}
	p.data = b
	return p, nil
}

const (
	partBytes  = 256 << 10 // of a message in one packet; NATS takes 1 MiB
	window     = 32        // parts under way
	maxMessage = 16 << 20  // bytes; no message is meant to be nearly as large
	resendMin  = 500 * time.Millisecond
	resendMax  = 5 * time.Second
)

// conduit carries messages both ways over packets that may be dropped, doubled or
// out of order: each message arrives once, in order, as long as some packets do.
// It is for one goroutine, which calls flush after anything else.
type conduit struct {
	// Out.
	parts  []part // not acknowledged; the first has number acked + 1
	acked  uint64
	sent   int // of parts, how many were sent
	bytes  int // in parts
	sentAt time.Time
	wait   time.Duration // before they are sent again
	// In.
	seen    uint64 // the last part received in order
	partial []byte
	owed    bool // an acknowledgement is owed
}

type part struct {
	data []byte
	more bool
}

// put queues a message.
func (c *conduit) put(message []byte) {
	for {
		n := min(partBytes, len(message))
		c.parts = append(c.parts, part{data: message[:n], more: n < len(message)})
		c.bytes += n
		if message = message[n:]; len(message) == 0 {
			return
		}
	}
}

// take takes in a packet and hands over the message that it completes, if any.
func (c *conduit) take(p *packet, deliver func(message []byte)) {
	if p.ack > c.acked && p.ack <= c.acked+uint64(c.sent) { //nolint:gosec // not negative
		n := int(p.ack - c.acked) //nolint:gosec // at most window
		for _, done := range c.parts[:n] {
			c.bytes -= len(done.data)
		}
		c.parts = c.parts[n:]
		c.sent -= n
		c.acked = p.ack
		c.wait = 0
		c.sentAt = time.Time{}
	}
	if p.seq == 0 {
		return
	}
	c.owed = true
	if p.seq != c.seen+1 {
		return // there already, or one before it is missing
	}
	c.seen = p.seq
	if p.flags&flagMore != 0 || len(c.partial) > 0 {
		if len(c.partial)+len(p.data) > maxMessage {
			c.partial = nil // the peer is mad; what is left of it makes no sense to anybody
			return
		}
		c.partial = append(c.partial, p.data...)
		if p.flags&flagMore != 0 {
			return
		}
		message := c.partial
		c.partial = nil
		deliver(message)
		return
	}
	deliver(p.data)
}

// flush sends what may go now: parts within the window, those again that were not
// acknowledged in time, and an acknowledgement where one is owed.
func (c *conduit) flush(now time.Time, send func(p *packet)) {
	if c.sent > 0 && !c.sentAt.IsZero() && now.Sub(c.sentAt) >= c.wait {
		c.sent = 0
		c.wait = min(2*c.wait, resendMax)
		c.sentAt = time.Time{}
	}
	for c.sent < min(window, len(c.parts)) {
		q := &c.parts[c.sent]
		p := packet{seq: c.acked + uint64(c.sent) + 1, ack: c.seen, data: q.data} //nolint:gosec // not negative
		if q.more {
			p.flags = flagMore
		}
		send(&p)
		c.sent++
		c.owed = false
	}
	if c.sent > 0 && c.sentAt.IsZero() {
		c.sentAt = now
		c.wait = max(c.wait, resendMin)
	}
	if c.owed {
		c.owed = false
		send(&packet{ack: c.seen})
	}
}

// due is the time until something has to be sent again; ok is false where nothing is.
func (c *conduit) due(now time.Time) (d time.Duration, ok bool) {
	if c.sent == 0 {
		return 0, false
	}
	return max(0, c.wait-now.Sub(c.sentAt)), true
}

// idle reports whether everything that was put has arrived.
func (c *conduit) idle() bool { return len(c.parts) == 0 }
