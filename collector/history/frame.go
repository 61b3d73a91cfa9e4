package history

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/bits"
	"time"
)

// A frame holds new values of one tier. All integers are unsigned varints
// (encoding/binary) where nothing else is said.
//
//	version   1 byte, 1
//	kind      1 byte: 1 values, 2 rewind
//	step      of the tier, in milliseconds
//	values:   base         index (unix time / step) that offsets count from
//	          series       how many follow, each:
//	            name       length in bytes (1 to 200), then the bytes
//	            offset     of the first step from base, 0 to 4095
//	            count      of steps, 1 to 4096 - offset
//	            mode       1 byte: bits 0-3 the packing, bit 4 set where a bitmap follows
//	            bitmap     ceil(count/8) bytes, bit i%8 of byte i/8 set where step i has a value;
//	                       without it all have
//	            values     float32, by packing:
//	                         0 one, 4 bytes little-endian: all are equal to it
//	                         1 4 bytes little-endian each
//	                         2 each xored with the one before (0 before the first), bits
//	                           reversed, as a varint: small for what repeats and for small integers
//	rewind:   at           unix nanoseconds: every step that ends later is forgotten
//	checksum  CRC-32C of all bytes before it, 4 bytes little-endian
//
// A value costs 1 to 4 bytes (the packing is whichever is smallest), a series of
// a frame some 25 bytes more: a minute of 40 series that never repeat is 10.6 KB,
// 4.4 bytes a sample.
const (
	frameVersion = 1
	kindValues   = 1
	kindRewind   = 2

	packConstant = 0
	packRaw      = 1
	packXor      = 2
	packMask     = 0x0f
	withBitmap   = 0x10

	maxStepMS = uint64(math.MaxInt64 / int64(time.Millisecond))

	frameSteps  = 4096      // steps of one frame
	frameTarget = 256 << 10 // bytes at which a frame is closed
)

// frame is a decoded frame.
type frame struct {
	kind   byte
	stepMS uint64
	at     int64 // of a rewind
	runs   []run
}

// run is a stretch of one series' values, absent ones included.
type run struct {
	name   string
	first  int64 // index of values[0]
	values []float32
}

var (
	errDamaged = errors.New("the frame is damaged")
	errVersion = errors.New("the frame is of another version")
)

func (f *frame) header(buf []byte) []byte {
	return binary.AppendUvarint(append(buf, frameVersion, f.kind), f.stepMS)
}

func seal(buf []byte) []byte {
	return binary.LittleEndian.AppendUint32(buf, crc32.Checksum(buf, crc32.MakeTable(crc32.Castagnoli)))
}

// encodeRewind is a whole rewind frame.
func encodeRewind(stepMS uint64, at int64) []byte {
	f := frame{kind: kindRewind, stepMS: stepMS}
	return seal(binary.AppendUvarint(f.header(nil), uint64(at)))
}

// encodeValues is a whole frame; every run lies within [base, base+frameSteps).
func encodeValues(stepMS uint64, base int64, runs [][]byte) []byte {
	f := frame{kind: kindValues, stepMS: stepMS}
	buf := binary.AppendUvarint(f.header(nil), uint64(base))
	buf = binary.AppendUvarint(buf, uint64(len(runs)))
	for _, r := range runs {
		buf = append(buf, r...)
	}
	return seal(buf)
}

// encodeRun packs one series of a frame. It is nil where there is no value.
func encodeRun(r run, base int64) []byte {
	var (
		bitmap  = make([]byte, (len(r.values)+7)/8)
		present = make([]uint32, 0, len(r.values))
		xor     []byte
		before  uint32
		equal   = true
	)
	for i, v := range r.values {
		if isAbsent(v) {
			continue
		}
		b := math.Float32bits(v)
		bitmap[i/8] |= 1 << (i % 8)
		xor = binary.AppendUvarint(xor, uint64(bits.Reverse32(b^before)))
		equal = equal && (len(present) == 0 || b == before)
		present, before = append(present, b), b
	}
	if len(present) == 0 {
		return nil
	}
	buf := binary.AppendUvarint(nil, uint64(len(r.name)))
	buf = append(buf, r.name...)
	buf = binary.AppendUvarint(buf, uint64(r.first-base))
	buf = binary.AppendUvarint(buf, uint64(len(r.values)))
	mode := byte(packRaw)
	switch {
	case equal:
		mode = packConstant
	case len(xor) < 4*len(present):
		mode = packXor
	}
	if len(present) < len(r.values) {
		buf = append(append(buf, mode|withBitmap), bitmap...)
	} else {
		buf = append(buf, mode)
	}
	switch mode {
	case packConstant:
		return binary.LittleEndian.AppendUint32(buf, before)
	case packXor:
		return append(buf, xor...)
	}
	for _, b := range present {
		buf = binary.LittleEndian.AppendUint32(buf, b)
	}
	return buf
}

// decodeFrame reads a frame. Whatever the bytes, it does not panic, and asks for
// no more memory than a small multiple of their number.
func decodeFrame(data []byte) (*frame, error) {
	if len(data) < 7 {
		return nil, fmt.Errorf("%w: %d bytes", errDamaged, len(data))
	}
	body, sum := data[:len(data)-4], binary.LittleEndian.Uint32(data[len(data)-4:])
	if crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)) != sum {
		return nil, fmt.Errorf("%w: its checksum differs", errDamaged)
	}
	if body[0] != frameVersion || (body[1] != kindValues && body[1] != kindRewind) {
		return nil, fmt.Errorf("%w: version %d, kind %d", errVersion, body[0], body[1])
	}
	d := &frameReader{rest: body[2:]}
	f := &frame{kind: body[1], stepMS: d.uvarint(maxStepMS)}
	if f.stepMS == 0 {
		d.bad = true
	}
	if f.kind == kindRewind {
		f.at = int64(d.uvarint(math.MaxInt64))
	} else {
		d.runs(f)
	}
	if d.bad || len(d.rest) > 0 {
		return nil, fmt.Errorf("%w: its content does not hold together", errDamaged)
	}
	return f, nil
}

// frameReader takes a frame's body apart; after the first mistake bad is set and
// everything reads as zero.
type frameReader struct {
	rest   []byte
	values int // decoded so far
	bad    bool
}

func (d *frameReader) uvarint(limit uint64) uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 || v > limit {
		d.bad, d.rest = true, nil
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *frameReader) bytes(n int) []byte {
	if n > len(d.rest) {
		d.bad, d.rest = true, nil
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *frameReader) runs(f *frame) {
	// An index times its step has to stay a time that can be said.
	limit := maxStepMS / max(f.stepMS, 1)
	if limit <= frameSteps {
		d.bad = true
		return
	}
	base := int64(d.uvarint(limit - frameSteps))
	for n := d.uvarint(uint64(len(d.rest))); n > 0 && !d.bad; n-- {
		r := run{name: string(d.bytes(int(d.uvarint(maxName))))}
		offset := d.uvarint(frameSteps - 1)
		count := int(d.uvarint(frameSteps - offset))
		r.first = base + int64(offset)
		if d.bad || checkName(r.name) != nil || count == 0 {
			d.bad = true
			return
		}
		// A constant run is short however many steps it says, so what all runs come
		// to is bounded too: by the most that our own frames hold.
		if d.values += count; d.values > frameSteps*maxRuns {
			d.bad = true
			return
		}
		r.values = d.run(count)
		f.runs = append(f.runs, r)
	}
}

// maxRuns bounds the series of one frame.
const maxRuns = 256

func (d *frameReader) run(count int) []float32 {
	head := d.bytes(1)
	if d.bad {
		return nil
	}
	var bitmap []byte
	if head[0]&withBitmap != 0 {
		bitmap = d.bytes((count + 7) / 8)
	}
	if d.bad || head[0]&^(packMask|withBitmap) != 0 {
		d.bad = true
		return nil
	}
	next := d.packing(head[0] & packMask)
	values := make([]float32, count)
	for i := range values {
		if bitmap != nil && bitmap[i/8]&(1<<(i%8)) == 0 {
			values[i] = absent()
			continue
		}
		values[i] = math.Float32frombits(next())
		if d.bad || !finite(values[i]) {
			d.bad = true
			return nil
		}
	}
	return values
}

// packing is the reader of a run's values, one after another.
func (d *frameReader) packing(mode byte) func() uint32 {
	fixed := func() uint32 {
		if b := d.bytes(4); b != nil {
			return binary.LittleEndian.Uint32(b)
		}
		return 0
	}
	var before uint32
	switch mode {
	case packConstant:
		before = fixed()
		return func() uint32 { return before }
	case packRaw:
		return fixed
	case packXor:
		return func() uint32 {
			before ^= bits.Reverse32(uint32(d.uvarint(math.MaxUint32)))
			return before
		}
	}
	d.bad = true
	return func() uint32 { return 0 }
}
