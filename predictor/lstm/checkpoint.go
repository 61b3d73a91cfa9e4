package lstm

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"
)

// A checkpoint is a safetensors file: the length of a JSON header as a
// little-endian uint64, the header, and the tensors' bytes.
//
//	header  {"__metadata__": {"format": "loadstar.lstm", "version": "1",
//	                          "model": "…JSON of checkpointModel…", "sha256": "…"},
//	         "cell.weight": {"dtype": "F32", "shape": [44, 128], "data_offsets": [0, 22528]}, …}
//	tensors cell.weight head.weight skip.weight future.weight   the weights
//	        resume.NAME                                         the weights that training goes on from
//	        adam.first.NAME adam.second.NAME                    the optimiser's running means
//	        calibration                                         horizon × 2
//
// in this order, little-endian float32, without gaps. sha256 is over the JSON of
// the model and then the tensors' bytes.
const (
	checkpointFormat  = "loadstar.lstm"
	checkpointVersion = "1"

	// MaxCheckpointBytes is the largest file that Load reads.
	MaxCheckpointBytes = 64 << 20
	maxHeaderBytes     = 1 << 20
)

// ErrDamaged is wrapped by every error about what a checkpoint holds.
var ErrDamaged = errors.New("damaged checkpoint")

type checkpointModel struct {
	Config   Config    `json:"config"`
	Scaler   scaler    `json:"scaler"`
	From     time.Time `json:"from"`
	Split    time.Time `json:"split"`
	To       time.Time `json:"to"`
	Points   int       `json:"points"`
	Epochs   int       `json:"epochs"`
	Steps    int       `json:"steps"` // of the optimiser
	Loss     float64   `json:"loss"`
	Baseline float64   `json:"baseline"`
	DataHash string    `json:"data_hash"`
}

type tensorHeader struct {
	Dtype   string   `json:"dtype"`
	Shape   []int    `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

// namedTensor is a tensor's place in the file.
type namedTensor struct {
	name string
	rows int
	cols int
	data []float32
}

// tensors lists what a checkpoint of the model holds, in file order.
func (m *Model) tensors() []namedTensor {
	shapes, names := m.d.shapes(), tensorNames()
	var out []namedTensor
	add := func(prefix string, data [][]float32) {
		for i, t := range data {
			out = append(out, namedTensor{prefix + names[i], shapes[i][0], shapes[i][1], t})
		}
	}
	w := m.w.tensors()
	add("", w[:])
	w = m.resume.tensors()
	add("resume.", w[:])
	add("adam.first.", m.adam.first)
	add("adam.second.", m.adam.second)
	flat := make([]float32, 0, 2*len(m.stretch))
	for _, s := range m.stretch {
		flat = append(flat, s[0], s[1])
	}
	return append(out, namedTensor{"calibration", len(m.stretch), 2, flat})
}

// Save writes the model to path: a temporary file beside it, synced, renamed, and
// the folder synced. The file at path is the old one or the new one at any moment.
func (m *Model) Save(path string) error {
	data, err := m.encode()
	if err != nil {
		return fmt.Errorf("lstm: saving %s: %w", path, err)
	}
	if err := renameio.WriteFile(path, data, 0o600, renameio.WithTempDir(filepath.Dir(path))); err != nil {
		return fmt.Errorf("lstm: saving %s: %w", path, err)
	}
	if err := syncFolder(filepath.Dir(path)); err != nil {
		return fmt.Errorf("lstm: saving %s: %w", path, err)
	}
	return nil
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

func (m *Model) encode() ([]byte, error) {
	var body bytes.Buffer
	header := map[string]any{}
	for _, t := range m.tensors() {
		if !allFinite(t.data) {
			return nil, fmt.Errorf("%s is %w", t.name, ErrNotFinite)
		}
		from := int64(body.Len())
		if err := binary.Write(&body, binary.LittleEndian, t.data); err != nil {
			return nil, err
		}
		header[t.name] = tensorHeader{"F32", []int{t.rows, t.cols}, [2]int64{from, int64(body.Len())}}
	}
	model, err := json.Marshal(checkpointModel{
		Config: m.info.Config, Scaler: m.s, From: m.info.From, Split: m.info.Split, To: m.info.To, Points: m.info.Points, Epochs: m.info.Epochs,
		Steps: m.adam.steps, Loss: m.info.Loss, Baseline: m.info.Baseline, DataHash: m.info.DataHash,
	})
	if err != nil {
		return nil, err
	}
	header["__metadata__"] = map[string]string{
		"format": checkpointFormat, "version": checkpointVersion, "model": string(model), "sha256": digest(model, body.Bytes()),
	}
	text, err := json.Marshal(header)
	if err != nil {
		return nil, err
	}
	for len(text)%8 != 0 { // tensors start aligned, as the format asks
		text = append(text, ' ')
	}
	out := binary.LittleEndian.AppendUint64(make([]byte, 0, 8+len(text)+body.Len()), uint64(len(text)))
	return append(append(out, text...), body.Bytes()...), nil
}

func digest(model, body []byte) string {
	h := sha256.New()
	_, _ = h.Write(model) // a hash never fails
	_, _ = h.Write(body)
	return hex.EncodeToString(h.Sum(nil))
}

// Load reads a model written by Save. A damaged, oversized or non-finite file is
// refused with an error that wraps ErrDamaged and says what is wrong with it.
func Load(path string) (*Model, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("lstm: loading: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxCheckpointBytes+1))
	if err != nil {
		return nil, fmt.Errorf("lstm: loading %s: %w", path, err)
	}
	m, err := decode(data)
	if err != nil {
		return nil, fmt.Errorf("lstm: loading %s: %w", path, err)
	}
	return m, nil
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
}

func decode(data []byte) (*Model, error) {
	if len(data) > MaxCheckpointBytes {
		return nil, damaged("more than %d bytes", MaxCheckpointBytes)
	}
	if len(data) < 8 {
		return nil, damaged("only %d bytes", len(data))
	}
	size := binary.LittleEndian.Uint64(data)
	if size > maxHeaderBytes || size > uint64(len(data)-8) {
		return nil, damaged("a header of %d bytes in a file of %d", size, len(data))
	}
	header, meta, err := decodeHeader(data[8 : 8+size])
	if err != nil {
		return nil, err
	}
	body := data[8+size:]
	var cm checkpointModel
	dec := json.NewDecoder(bytes.NewReader([]byte(meta["model"])))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&cm); err != nil {
		return nil, damaged("the model's description: %v", err)
	}
	if got := digest([]byte(meta["model"]), body); got != meta["sha256"] {
		return nil, damaged("the checksum does not match")
	}
	if err := cm.validate(); err != nil {
		return nil, err
	}
	return cm.build(header, body)
}

func decodeHeader(text []byte) (map[string]tensorHeader, map[string]string, error) {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, nil, damaged("the header is not JSON: %v", err)
	}
	var meta map[string]string
	if err := json.Unmarshal(raw["__metadata__"], &meta); err != nil {
		return nil, nil, damaged("no metadata in the header")
	}
	delete(raw, "__metadata__")
	if meta["format"] != checkpointFormat {
		return nil, nil, damaged("the format is %.40q, not %q", meta["format"], checkpointFormat)
	}
	if meta["version"] != checkpointVersion {
		return nil, nil, damaged("version %.40q, this program reads %s", meta["version"], checkpointVersion)
	}
	header := make(map[string]tensorHeader, len(raw))
	for name, r := range raw {
		var t tensorHeader
		if err := json.Unmarshal(r, &t); err != nil {
			return nil, nil, damaged("tensor %.40q: %v", name, err)
		}
		header[name] = t
	}
	return header, meta, nil
}

// validate checks what the description says; JSON has no NaN.
func (c *checkpointModel) validate() error {
	if err := c.Config.Validate(); err != nil {
		return damaged("%v", err)
	}
	if c.Config != c.Config.Defaults() {
		return damaged("the configuration has empty fields")
	}
	s := c.Scaler
	switch {
	case !(s.Unit > 0), !(s.Width >= 0), !(s.Residual > 0 && s.Residual < 1e6), !(s.Top >= s.Bottom):
		return damaged("the scaler is out of range: %+v", s)
	case s.Season < 0 || s.Season > 1<<22 || s.Step <= 0 || s.Step > 366*24*time.Hour:
		return damaged("the season is %d steps of %s", s.Season, s.Step)
	case c.Points < 0 || c.Epochs < 0 || c.Steps < 0:
		return damaged("a count is negative")
	}
	return nil
}

func (c *checkpointModel) build(header map[string]tensorHeader, body []byte) (*Model, error) {
	d := newDims(c.Config)
	need := 0
	for _, s := range d.shapes() {
		need += 4 * 4 * s[0] * s[1] // weights, resume, two of the optimiser's; four bytes each
	}
	if need += 4 * 2 * d.horizon; need != len(body) { // before anything is allocated
		return nil, damaged("%d bytes of tensors, not %d", len(body), need)
	}
	w := newWeights(d)
	a := newAdam(tensorSizes(w), c.Config.LearningRate, c.Config.ClipNorm, c.Config.WeightDecay)
	a.steps = c.Steps
	m := newModel(Info{
		Config: c.Config, Season: c.Scaler.Season, Step: c.Scaler.Step, From: c.From, Split: c.Split, To: c.To, Points: c.Points,
		Epochs: c.Epochs, Batches: c.Steps, Loss: c.Loss, Baseline: c.Baseline, DataHash: c.DataHash, Weights: w.count(),
	}, c.Scaler, w, newWeights(d), a)
	tensors := m.tensors()
	if len(header) != len(tensors) {
		return nil, damaged("%d tensors, not %d", len(header), len(tensors))
	}
	at := int64(0)
	for _, t := range tensors {
		h, ok := header[t.name]
		end := at + int64(4*len(t.data))
		if !ok || h.Dtype != "F32" || len(h.Shape) != 2 || h.Shape[0] != t.rows || h.Shape[1] != t.cols || h.Offsets != [2]int64{at, end} {
			return nil, damaged("tensor %s is missing, or not %d × %d float32 at %d", t.name, t.rows, t.cols, at)
		}
		for i := range t.data {
			t.data[i] = math.Float32frombits(binary.LittleEndian.Uint32(body[at+int64(4*i):]))
		}
		if !allFinite(t.data) {
			return nil, damaged("tensor %s is %v", t.name, ErrNotFinite)
		}
		at = end
	}
	flat := tensors[len(tensors)-1].data
	for i := range m.stretch {
		m.stretch[i] = [2]float32{flat[2*i], flat[2*i+1]}
		if flat[2*i] < 0 || flat[2*i+1] < 0 || flat[2*i] > 100 || flat[2*i+1] > 100 {
			return nil, damaged("the calibration of step %d is %v", i+1, m.stretch[i])
		}
	}
	for _, second := range a.second {
		for _, v := range second {
			if v < 0 {
				return nil, damaged("the optimiser's mean square is negative")
			}
		}
	}
	return m, nil
}
