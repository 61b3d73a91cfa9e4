package predictor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"time"

	"loadstar/predictor/baseline"
)

// A frame of the side log holds the forecasts that were issued between two
// flushes. All integers are little endian or uvarints.
//
//	frame    0xF7, version 1, record..., crc32c (4 bytes) of all before it
//	record   series length, series, issued at (unix ms, 8 bytes), step (ms),
//	         horizon, number of models, champion (its index, 1 byte), model...
//	model    name length, name, low and high (float64), 3*horizon uint16:
//	         all P10, then all P50, then all P90; a quantile is
//	         low + (high-low) * v/65535
//
// The rounding, 1/65535 of the forecast's range, is done once, before the
// forecast is shown or scored, so that what is kept is what was said.
const (
	frameMagic   = 0xF7
	frameVersion = 1
	maxHorizon   = 512
	maxModels    = 16
	maxName      = 255
	maxFrame     = 1 << 20
	modelHeader  = 16 // bytes of low and high
)

// ErrFrame is what every error about a damaged frame wraps.
var ErrFrame = errors.New("damaged forecast frame")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// issue is the forecasts of one group made at one moment.
type issue struct {
	at       int64 // unix ms
	horizon  int
	champion int // index into models
	models   []packed
	used     [][]float32 // by model, see baseline.Conformal; nil once all values are in, and after a restart
	raw      []packed    // by model, before its spread was corrected; nil like used
}

// packed is one model's forecast as a record holds it: low, high, quantiles.
type packed struct {
	name string
	data []byte
}

// size is about what the issue takes in RAM.
func (i *issue) size() int {
	n := 64
	for _, m := range i.models {
		n += 40 + len(m.data)
	}
	return n
}

// pack rounds a settled forecast into its kept form.
func pack(name string, q baseline.Quantiles) packed {
	h := len(q.P50)
	low, high := math.Inf(1), math.Inf(-1)
	for i := range h {
		low, high = min(low, q.P10[i]), max(high, q.P90[i])
	}
	data := make([]byte, modelHeader, modelHeader+6*h)
	binary.LittleEndian.PutUint64(data, math.Float64bits(low))
	binary.LittleEndian.PutUint64(data[8:], math.Float64bits(high))
	for _, level := range [][]float64{q.P10, q.P50, q.P90} {
		for _, v := range level {
			u := 0.0
			if high > low {
				u = math.Round((v - low) / (high - low) * 65535)
			}
			data = binary.LittleEndian.AppendUint16(data, uint16(u))
		}
	}
	return packed{name: name, data: data}
}

func (p packed) horizon() int { return (len(p.data) - modelHeader) / 6 }

// at is the three quantiles of index i, which must be below the horizon.
func (p packed) at(i int) (p10, p50, p90 float64) {
	low := math.Float64frombits(binary.LittleEndian.Uint64(p.data))
	scale := (math.Float64frombits(binary.LittleEndian.Uint64(p.data[8:])) - low) / 65535
	q := p.data[modelHeader:]
	h := len(q) / 6
	get := func(k int) float64 { return low + scale*float64(binary.LittleEndian.Uint16(q[2*(k*h+i):])) }
	return get(0), get(1), get(2)
}

func (p packed) three(i int) [3]float64 {
	p10, p50, p90 := p.at(i)
	return [3]float64{p10, p50, p90}
}

func (p packed) unpack() baseline.Quantiles {
	q := baseline.NewQuantiles(p.horizon())
	for i := range q.P50 {
		q.P10[i], q.P50[i], q.P90[i] = p.at(i)
	}
	return q
}

func newFrame() []byte { return []byte{frameMagic, frameVersion} }

func appendRecord(frame []byte, series string, stepMS int64, i *issue) []byte {
	frame = appendString(frame, series)
	frame = binary.LittleEndian.AppendUint64(frame, uint64(i.at))
	frame = binary.AppendUvarint(frame, uint64(stepMS))
	frame = binary.AppendUvarint(frame, uint64(i.horizon))
	frame = binary.AppendUvarint(frame, uint64(len(i.models)))
	frame = append(frame, byte(i.champion))
	for _, m := range i.models {
		frame = appendString(frame, m.name)
		frame = append(frame, m.data...)
	}
	return frame
}

func sealFrame(frame []byte) []byte {
	return binary.LittleEndian.AppendUint32(frame, crc32.Checksum(frame, castagnoli))
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// readFrame calls fn for each record of a frame. Whatever the bytes are, it
// returns an error or hands over finite, ordered quantiles; it keeps none of frame.
func readFrame(frame []byte, fn func(series string, step time.Duration, i *issue)) error {
	if len(frame) < 6 || len(frame) > maxFrame || frame[0] != frameMagic {
		return fmt.Errorf("%w: %d bytes", ErrFrame, len(frame))
	}
	if frame[1] != frameVersion {
		return fmt.Errorf("%w: version %d, want %d", ErrFrame, frame[1], frameVersion)
	}
	body, sum := frame[:len(frame)-4], binary.LittleEndian.Uint32(frame[len(frame)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return fmt.Errorf("%w: checksum", ErrFrame)
	}
	r := reader{b: body[2:]}
	names := map[string]string{} // one copy of each name a frame
	for len(r.b) > 0 {
		series, step, i, err := r.record(names)
		if err != nil {
			return err
		}
		fn(series, step, i)
	}
	return nil
}

type reader struct{ b []byte }

func (r *reader) record(names map[string]string) (string, time.Duration, *issue, error) {
	bad := func(what string) (string, time.Duration, *issue, error) {
		return "", 0, nil, fmt.Errorf("%w: %s", ErrFrame, what)
	}
	series, ok := r.text(names)
	if !ok || series == "" {
		return bad("series")
	}
	at, ok := r.take(8)
	if !ok {
		return bad("issue time")
	}
	i := &issue{at: int64(binary.LittleEndian.Uint64(at))}
	step, ok := r.uvarint(uint64(math.MaxInt64 / int64(time.Millisecond)))
	if !ok || step == 0 {
		return bad("step")
	}
	h, ok := r.uvarint(maxHorizon)
	if !ok || h == 0 {
		return bad("horizon")
	}
	n, ok := r.uvarint(maxModels)
	if !ok || n == 0 {
		return bad("number of models")
	}
	champion, ok := r.take(1)
	if !ok || uint64(champion[0]) >= n {
		return bad("champion")
	}
	i.horizon, i.champion = int(h), int(champion[0])
	for range n {
		name, ok := r.text(names)
		if !ok || name == "" {
			return bad("model")
		}
		data, ok := r.take(modelHeader + 6*i.horizon)
		if !ok {
			return bad("quantiles")
		}
		p := packed{name: name, data: append([]byte(nil), data...)}
		if !p.sound() {
			return bad("quantiles of " + name)
		}
		i.models = append(i.models, p)
	}
	return series, time.Duration(step) * time.Millisecond, i, nil
}

// sound says whether all quantiles are finite and in order.
func (p packed) sound() bool {
	low := math.Float64frombits(binary.LittleEndian.Uint64(p.data))
	high := math.Float64frombits(binary.LittleEndian.Uint64(p.data[8:]))
	if !(low <= high) || math.IsInf(low, 0) || math.IsInf(high-low, 0) {
		return false
	}
	for i := range p.horizon() {
		if a, b, c := p.at(i); !(a <= b && b <= c) || math.IsInf(c, 0) {
			return false
		}
	}
	return true
}

func (r *reader) take(n int) ([]byte, bool) {
	if n > len(r.b) {
		return nil, false
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out, true
}

func (r *reader) uvarint(most uint64) (uint64, bool) {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > most {
		return 0, false
	}
	r.b = r.b[n:]
	return v, true
}

func (r *reader) text(names map[string]string) (string, bool) {
	n, ok := r.uvarint(maxName)
	if !ok {
		return "", false
	}
	b, ok := r.take(int(n))
	if !ok {
		return "", false
	}
	if s, ok := names[string(b)]; ok {
		return s, true
	}
	s := string(b)
	names[s] = s
	return s, true
}
