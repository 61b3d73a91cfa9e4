package scheduler

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"loadstar/models"
)

// A task's document is kept, in the journal and in memory, as
//
//	version   1 byte, 1
//	task_id   text
//	priority  1 byte
//	present   uvarint, a bit for each of the fields below that is there
//	fields    those, in the order of their bits
//
// Texts are a uvarint length and the bytes; a list is its length and its texts; a
// map the same, keys in order, each before its value. Equal documents give equal
// bytes. Reading one back costs next to nothing: its texts stay where they are.
//
// Documents of older journals are JSON, which begins with '{'.
const specVersion = 1

// The bits of present. They are on disk: never reuse one.
const (
	hasDescription = 1 << iota
	hasDependencies
	hasOnDependencyFailure
	hasAssignedTo
	hasPool // where it is not the default one
	hasCapabilities
	hasAffinity
	hasRun
	hasHTTP // as JSON
	hasInput
	hasEnv
	hasDir
	hasStdin
	hasTimeout
	hasRetries
	hasBackoff
	hasNotBefore
	hasDeadline
	hasResources
	hasLabels
	hasWishes // what of the affinity is not near
	hasItems
	hasShard
	hasMaxFailures
	specBits = iota
)

// specFlags says which fields of a document are there.
func specFlags(s *models.TaskSpec) (flags uint64) {
	for i, there := range [specBits]bool{
		s.Description != "", len(s.Dependencies) > 0, s.OnDependencyFailure != "", s.AssignedTo != "", s.Pool != models.DefaultPool,
		len(s.Capabilities) > 0, s.Affinity != nil, len(s.Run) > 0, s.HTTP != nil, len(s.Input) > 0, len(s.Env) > 0, s.Dir != "",
		s.Stdin != "", s.Timeout != 0, s.Retries != 0, s.Backoff != 0, s.NotBefore != nil, s.Deadline != nil, s.Resources != nil, len(s.Labels) > 0,
		s.Affinity != nil && (len(s.Affinity.Capabilities) > 0 || s.Affinity.Label != "" || s.Affinity.Data != "" || s.Affinity.AntiAffinity != ""),
		s.Items != nil, s.Shard != 0, s.MaxFailures != 0,
	} {
		if there {
			flags |= 1 << i
		}
	}
	return flags
}

// appendSpec writes a valid document behind b. The error is a *models.FieldError:
// what is JSON in the document must be that.
func appendSpec(b []byte, s *models.TaskSpec) ([]byte, error) {
	flags := specFlags(s)
	has := func(bit uint64) bool { return flags&bit != 0 }
	text := func(bit uint64, v string) {
		if has(bit) {
			b = appendText(b, v)
		}
	}
	number := func(bit uint64, v int64) {
		if has(bit) {
			b = binary.AppendVarint(b, v)
		}
	}
	b = appendText(append(b, specVersion), s.TaskID)
	b = binary.AppendUvarint(append(b, byte(s.Priority)), flags)
	text(hasDescription, s.Description)
	if has(hasDependencies) {
		b = appendTexts(b, s.Dependencies)
	}
	text(hasOnDependencyFailure, s.OnDependencyFailure)
	text(hasAssignedTo, s.AssignedTo)
	text(hasPool, s.Pool)
	if has(hasCapabilities) {
		b = appendTexts(b, s.Capabilities)
	}
	if has(hasAffinity) {
		b = appendText(b, s.Affinity.Near)
	}
	if has(hasRun) {
		b = appendTexts(b, s.Run)
	}
	if has(hasHTTP) {
		request, err := json.Marshal(s.HTTP)
		if err != nil {
			return nil, &models.FieldError{TaskID: s.TaskID, Field: "http", Problem: err.Error()}
		}
		b = appendBytes(b, request)
	}
	if has(hasInput) {
		var compact bytes.Buffer
		if err := json.Compact(&compact, s.Input); err != nil {
			return nil, &models.FieldError{TaskID: s.TaskID, Field: "input", Problem: err.Error()}
		}
		b = appendBytes(b, compact.Bytes())
	}
	if has(hasEnv) {
		b = appendMap(b, s.Env)
	}
	text(hasDir, s.Dir)
	text(hasStdin, s.Stdin)
	number(hasTimeout, int64(s.Timeout))
	number(hasRetries, int64(s.Retries))
	number(hasBackoff, int64(s.Backoff))
	for _, m := range [...]struct {
		name string
		at   *time.Time
	}{{"not_before", s.NotBefore}, {"deadline", s.Deadline}} {
		if m.at == nil {
			continue
		}
		if y := m.at.Year(); y < 0 || y > 9999 { // it could not be shown
			return nil, &models.FieldError{TaskID: s.TaskID, Field: m.name, Problem: fmt.Sprintf("the year %d is not between 0 and 9999", y)}
		}
		b = appendMoment(b, *m.at)
	}
	if has(hasResources) {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(s.Resources.CPU))
		b = binary.AppendVarint(b, int64(s.Resources.Memory))
	}
	if has(hasLabels) {
		b = appendMap(b, s.Labels)
	}
	if has(hasWishes) {
		a := s.Affinity
		b = appendTexts(b, a.Capabilities)
		b = appendText(appendText(appendText(b, a.Label), a.Data), a.AntiAffinity)
	}
	if has(hasItems) {
		b = appendItems(b, s.Items)
	}
	number(hasShard, int64(s.Shard))
	number(hasMaxFailures, int64(s.MaxFailures))
	return b, nil
}

func appendTexts(b []byte, list []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, s := range list {
		b = appendText(b, s)
	}
	return b
}

func appendMap(b []byte, m map[string]string) []byte {
	b = binary.AppendUvarint(b, uint64(len(m)))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		b = appendText(appendText(b, k), m[k])
	}
	return b
}

// appendMoment writes a time with its offset from UTC, in s, ns and s.
func appendMoment(b []byte, t time.Time) []byte {
	_, offset := t.Zone()
	b = binary.AppendVarint(b, t.Unix())
	b = binary.AppendUvarint(b, uint64(t.Nanosecond())) //nolint:gosec // not negative
	return binary.AppendVarint(b, int64(offset))
}

// readSpec reads a document into s. Its texts are parts of body. It takes nothing
// on trust; an error wraps errRecord.
func readSpec(body string, s *models.TaskSpec) error {
	d := specReader{s: body}
	return d.spec(s)
}

// skimSpec reads what of a document the core goes by as it takes it in, and passes
// over the rest: what is run, and the labels. A million of them would be garbage at once.
func skimSpec(body string, s *models.TaskSpec) error {
	d := specReader{s: body, skim: true}
	return d.spec(s)
}

func (d *specReader) spec(s *models.TaskSpec) error {
	if v := d.byte(); v != specVersion {
		d.fail("a task's document has format %d", v)
	}
	*s = models.TaskSpec{TaskID: d.text(), Priority: models.Priority(d.byte()), Pool: models.DefaultPool}
	flags := d.uvarint()
	if flags >= 1<<specBits {
		d.fail("a task's document has fields that are not known; it was written by a newer version")
	}
	has := func(bit uint64) bool { return flags&bit != 0 && !d.bad }
	text := func(bit uint64, into *string) {
		if has(bit) {
			*into = d.text()
		}
	}
	text(hasDescription, &s.Description)
	if has(hasDependencies) {
		s.Dependencies = d.texts()
	}
	text(hasOnDependencyFailure, &s.OnDependencyFailure)
	text(hasAssignedTo, &s.AssignedTo)
	text(hasPool, &s.Pool)
	if has(hasCapabilities) {
		s.Capabilities = d.texts()
	}
	if has(hasAffinity) {
		s.Affinity = &models.Affinity{Near: d.text()}
	}
	if has(hasRun) {
		s.Run = d.skimmedTexts()
	}
	if has(hasHTTP) {
		s.HTTP = new(models.HTTPRequest)
		if request := d.text(); d.skim {
			s.HTTP = nil
		} else if err := json.Unmarshal([]byte(request), s.HTTP); err != nil {
			d.fail("a task's request: %v", err)
		}
	}
	if has(hasInput) {
		if input := d.text(); !d.skim {
			s.Input = json.RawMessage(input)
		}
	}
	if has(hasEnv) {
		s.Env = d.skimmedPairs()
	}
	text(hasDir, &s.Dir)
	text(hasStdin, &s.Stdin)
	if has(hasTimeout) {
		s.Timeout = models.Duration(d.varint())
	}
	if has(hasRetries) {
		s.Retries = int(d.varint())
	}
	if has(hasBackoff) {
		s.Backoff = models.Duration(d.varint())
	}
	if has(hasNotBefore) {
		s.NotBefore = d.moment()
	}
	if has(hasDeadline) {
		s.Deadline = d.moment()
	}
	if has(hasResources) {
		s.Resources = &models.Resources{CPU: d.float(), Memory: models.Bytes(d.varint())}
	}
	if has(hasLabels) {
		s.Labels = d.skimmedPairs()
	}
	if has(hasWishes) {
		if s.Affinity == nil {
			d.fail("a task's document has wishes without an affinity")
		} else {
			a := s.Affinity
			a.Capabilities, a.Label, a.Data, a.AntiAffinity = d.texts(), d.text(), d.text(), d.text()
		}
	}
	if has(hasItems) {
		s.Items = d.items()
	}
	if has(hasShard) {
		s.Shard = models.ShardSize(d.varint())
	}
	if has(hasMaxFailures) {
		s.MaxFailures = int(d.varint())
	}
	if len(d.s) > 0 {
		d.fail("%d bytes follow a task's document", len(d.s))
	}
	return d.err
}

// storedSpec skims a document of the journal. body is what is to be kept of it:
// the document itself, or where it is JSON, that in the present form.
func storedSpec(stored string, s *models.TaskSpec) (body string, err error) {
	if stored == "" || stored[0] != '{' {
		return stored, skimSpec(stored, s)
	}
	if err := json.Unmarshal([]byte(stored), s); err != nil {
		return "", fmt.Errorf("%w: a task's document: %v", errRecord, err) //nolint:errorlint // only its text matters
	}
	b, err := appendSpec(nil, s)
	if err != nil {
		return "", fmt.Errorf("%w: a task's document: %v", errRecord, err) //nolint:errorlint // only its text matters
	}
	return string(b), nil
}

// specID is a document's id, as a part of it.
func specID(body string) string {
	d := specReader{s: body}
	d.byte()
	return d.text()
}

// specHas reports whether a document has a field.
func specHas(body string, bit uint64) bool {
	d := specReader{s: body}
	d.byte()
	d.text()
	d.byte()
	return d.uvarint()&bit != 0
}

// specReader reads fields off the front of s. After its first error it gives zeros.
type specReader struct {
	s    string
	err  error
	bad  bool
	skim bool // see skimSpec
}

func (d *specReader) fail(format string, args ...any) {
	if !d.bad {
		d.bad = true
		d.err = fmt.Errorf("%w: "+format, append([]any{errRecord}, args...)...)
	}
	d.s = ""
}

func (d *specReader) take(n uint64) string {
	if n > uint64(len(d.s)) {
		d.fail("a task's document is cut off")
		return ""
	}
	v := d.s[:n]
	d.s = d.s[n:]
	return v
}

func (d *specReader) byte() byte {
	if v := d.take(1); v != "" {
		return v[0]
	}
	return 0
}

// uvarint is binary.Uvarint on a string.
func (d *specReader) uvarint() (v uint64) {
	for i := 0; i < len(d.s) && i < binary.MaxVarintLen64; i++ {
		b := d.s[i]
		if i == binary.MaxVarintLen64-1 && b > 1 {
			break
		}
		if v |= uint64(b&0x7f) << (7 * i); b < 0x80 {
			d.s = d.s[i+1:]
			return v
		}
	}
	d.fail("a number in a task's document is cut off")
	return 0
}

func (d *specReader) varint() int64 {
	u := d.uvarint()
	return int64(u>>1) ^ -int64(u&1) //nolint:gosec // zigzag
}

func (d *specReader) text() string { return d.take(d.uvarint()) }

func (d *specReader) float() float64 {
	if v := d.take(8); v != "" {
		return math.Float64frombits(binary.LittleEndian.Uint64([]byte(v)))
	}
	return 0
}

// count is the length of a list; a damaged one cannot ask for more than there is.
func (d *specReader) count() int {
	n := d.uvarint()
	if n > uint64(len(d.s)) {
		d.fail("%d texts of a task's document are missing", n)
		return 0
	}
	return int(n) //nolint:gosec // bounded just above
}

func (d *specReader) texts() []string {
	out := make([]string, d.count())
	for i := range out {
		out[i] = d.text()
	}
	return out
}

func (d *specReader) skimmedTexts() []string {
	if !d.skim {
		return d.texts()
	}
	for range d.count() {
		d.text()
	}
	return nil
}

func (d *specReader) skimmedPairs() map[string]string {
	if !d.skim {
		return d.pairs()
	}
	for range d.count() {
		d.text()
		d.text()
	}
	return nil
}

// pairs reads a map.
func (d *specReader) pairs() map[string]string {
	n := d.count()
	out := make(map[string]string, min(n, 64))
	for range n {
		k := d.text()
		out[k] = d.text()
	}
	return out
}

func (d *specReader) moment() *time.Time {
	s, ns, offset := d.varint(), d.uvarint(), d.varint()
	if ns > 999_999_999 || offset <= -24*3600 || offset >= 24*3600 {
		d.fail("a time in a task's document is out of range")
		return nil
	}
	t := time.Unix(s, int64(ns)).UTC() //nolint:gosec // bounded just above
	if offset != 0 {
		t = t.In(time.FixedZone("", int(offset)))
	}
	return &t
}

// appendItems writes a range as its step, which is not 0, its ends; a list as 0, its
// length and its packed texts.
func appendItems(b []byte, it *models.Items) []byte {
	if from, to, step, ok := it.Range(); ok {
		return binary.AppendVarint(binary.AppendVarint(binary.AppendVarint(b, step), from), to)
	}
	b = binary.AppendUvarint(binary.AppendVarint(b, 0), uint64(it.Len())) //nolint:gosec // not negative
	return appendText(b, it.Packed())
}

func (d *specReader) items() *models.Items {
	if step := d.varint(); step != 0 {
		from, to := d.varint(), d.varint()
		it, err := models.NewRange(from, to, step)
		if err != nil {
			d.fail("the items of a task's document: %v", err)
		}
		return &it
	}
	n := d.count()
	it, ok := models.PackedItems(d.text(), n)
	if !ok {
		d.fail("the items of a task's document are damaged")
	}
	return &it
}
