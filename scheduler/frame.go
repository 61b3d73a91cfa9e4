package scheduler

import (
	"encoding/binary"
	"fmt"
)

// A frame is one entry of the journal:
//
//	version  1 byte, 1
//	flags    1 byte; bit 0: the group goes on in the next frame
//	number   uvarint, one more than the frame's before
//	base     varint, Unix ns that the records' times count from
//	records  to the end
//
// Records that must be accepted together may be longer than one frame; the frames
// of such a group are applied when its last one is there, or not at all.
//
// A frame whose write failed counts as never written, and the next one takes its
// number. Should the failed one be in the log after all (its acknowledgement was
// lost, say), the number stands there twice, and replay drops the former: so one
// frame is always held back until its successor shows that it holds.
const (
	frameVersion   = 1
	flagContinues  = 1
	frameOverhead  = 2 + 2*binary.MaxVarintLen64
	targetFrame    = 100 << 10
	largestPayload = MaxFrame - frameOverhead
)

func appendFrameHeader(b []byte, number uint64, base int64, continues bool) []byte {
	flags := byte(0)
	if continues {
		flags |= flagContinues
	}
	b = append(b, frameVersion, flags)
	b = binary.AppendUvarint(b, number)
	return binary.AppendVarint(b, base)
}

type frameHeader struct {
	number    uint64
	base      int64
	continues bool
}

// splitFrame reads a frame's header and returns its records' bytes.
func splitFrame(frame []byte) (h frameHeader, records []byte, err error) {
	d := decoder{b: frame}
	if v := d.byte(); d.err == nil && v != frameVersion {
		d.fail("format %d is not known; it was written by a newer version", v)
	}
	h.continues = d.byte()&flagContinues != 0
	h.number, h.base = d.uvarint(), d.varint()
	return h, d.b, d.err
}

// batch gathers the records of one commit and cuts them into frames.
type batch struct {
	base    int64
	bytes   []byte
	ends    []int // where a frame may be cut
	frames  [][]byte
	largest int // bytes of records in a frame; 0 is largestPayload
}

func (b *batch) reset(base int64) {
	b.base, b.bytes, b.ends = base, b.bytes[:0], b.ends[:0]
	if cap(b.bytes) > 4*MaxFrame { // after one huge submission
		b.bytes = nil
	}
}

func (b *batch) add(r *Record) {
	b.bytes = appendRecord(b.bytes, r, b.base)
	b.ends = append(b.ends, len(b.bytes))
}

// cut returns the frames, numbered from number. They are valid until the next call.
func (b *batch) cut(number uint64) [][]byte {
	b.frames = b.frames[:0]
	largest := b.largest
	if largest == 0 {
		largest = largestPayload
	}
	for from, i := 0, 0; from < len(b.bytes); {
		to := b.ends[i] // a record is always smaller than a frame
		for i++; i < len(b.ends) && b.ends[i]-from <= largest; i++ {
			to = b.ends[i]
		}
		frame := make([]byte, 0, frameOverhead+to-from)
		frame = appendFrameHeader(frame, number+uint64(len(b.frames)), b.base, to < len(b.bytes))
		b.frames = append(b.frames, append(frame, b.bytes[from:to]...))
		from = to
	}
	return b.frames
}

// replayer applies frames as they come from the journal.
type replayer struct {
	apply func(r *Record) error
	next  uint64   // the number that follows what was applied and is held
	held  [][]byte // a group whose end, or whose successor, has not been seen
	first uint64   // the number of held[0]
	whole bool     // held ends a group
	count int      // records applied
	bytes int      // of the frames applied
}

// frame takes the next frame of the log; it keeps no reference to it.
func (p *replayer) frame(data []byte) error {
	h, _, err := splitFrame(data)
	if err != nil {
		return fmt.Errorf("frame after %d: %w", p.next, err)
	}
	switch {
	case h.number == p.next:
		if p.whole {
			if err := p.flush(); err != nil {
				return err
			}
		}
	case h.number < p.next && len(p.held) > 0 && h.number >= p.first: // the writer gave up those from here on
		p.held = p.held[:h.number-p.first]
	default:
		return fmt.Errorf("frame %d follows where frame %d is expected: %d are missing or out of order", h.number, p.next, int64(h.number-p.next))
	}
	if len(p.held) == 0 {
		p.first = h.number
	}
	p.held = append(p.held, append([]byte(nil), data...))
	p.next, p.whole = h.number+1, !h.continues
	return nil
}

// end applies what is held where it is whole; a group without its end was never
// acknowledged and is dropped. It returns the number for the next frame and how
// many frames were dropped.
func (p *replayer) end() (next uint64, dropped int, err error) {
	if p.whole {
		return p.next, 0, p.flush()
	}
	if dropped = len(p.held); dropped > 0 {
		p.next, p.held = p.first, nil
	}
	return p.next, dropped, nil
}

func (p *replayer) flush() error {
	for i, frame := range p.held {
		h, rest, err := splitFrame(frame)
		if err != nil {
			return err
		}
		var r Record
		for len(rest) > 0 {
			n, err := decodeRecord(rest, h.base, &r)
			if err == nil {
				err = p.apply(&r)
			}
			if err != nil {
				return fmt.Errorf("frame %d, record %d: %w", p.first+uint64(i), p.count, err)
			}
			rest = rest[n:]
			p.count++
		}
		p.bytes += len(frame)
	}
	p.held, p.whole = p.held[:0], false
	return nil
}
