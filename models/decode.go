package models

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// DecodeTasks reads task documents: one JSON object, an array of them, or one
// after another (NDJSON). source names where they come from in an error. Every
// document is validated, and an unknown field is refused: the error is a
// *FieldError with the line on which the document begins. Nothing is returned
// beside an error.
func DecodeTasks(data []byte, source string) ([]TaskSpec, error) {
	return decodeTasks(data, source, true)
}

// decodeTasks is DecodeTasks; without fast, every document is read field by field.
func decodeTasks(data []byte, source string, fast bool) ([]TaskSpec, error) {
	d := taskDecoder{data: data, source: source, fields: specFields(), fast: fast}
	trimmed := bytes.TrimLeft(data, " \t\r\n\ufeff")
	if len(trimmed) == 0 {
		return nil, &FieldError{Source: source, Problem: "no task document in it"}
	}
	if fast {
		q := quick{b: trimmed, fields: d.fields}
		if specs, ok := q.tasks(); ok {
			return specs, nil
		}
	}
	d.json = json.NewDecoder(bytes.NewReader(trimmed))
	d.base = len(data) - len(trimmed)
	if trimmed[0] == '[' {
		return d.array()
	}
	return d.stream()
}

type taskDecoder struct {
	data   []byte
	base   int // offset of json's first byte in data
	source string
	json   *json.Decoder
	fields map[string]specField
	fast   bool
	raw    json.RawMessage // the document under way; its memory serves the next one too
}

// specField is a field of TaskSpec.
type specField struct {
	index  int
	bit    uint64 // its own
	nested bool   // an object with fields of its own
}

// specFields are the fields of TaskSpec by their names in JSON.
func specFields() map[string]specField {
	t := reflect.TypeFor[TaskSpec]()
	fields := make(map[string]specField, t.NumField())
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		own := f.Type
		if own.Kind() != reflect.Pointer {
			own = reflect.PointerTo(own)
		}
		fields[name] = specField{
			index: i, bit: 1 << i,
			nested: own.Elem().Kind() == reflect.Struct && !own.Implements(reflect.TypeFor[json.Unmarshaler]()),
		}
	}
	return fields
}

func (d *taskDecoder) array() ([]TaskSpec, error) {
	if _, err := d.json.Token(); err != nil {
		return nil, d.syntax(err)
	}
	tasks := []TaskSpec{}
	for d.json.More() {
		t, err := d.one()
		if err != nil {
			return nil, err
		}
		tasks = append(tasks, t)
	}
	if _, err := d.json.Token(); err != nil {
		return nil, d.syntax(err)
	}
	if d.json.More() {
		return nil, d.fail(d.json.InputOffset(), "", "", "something follows the array")
	}
	return tasks, nil
}

func (d *taskDecoder) stream() ([]TaskSpec, error) {
	tasks := []TaskSpec{}
	for d.json.More() {
		t, err := d.one()
		if err != nil {
			return nil, err
		}
		tasks = append(tasks, t)
	}
	return tasks, nil
}

func (d *taskDecoder) one() (TaskSpec, error) {
	start := d.json.InputOffset()
	if err := d.json.Decode(&d.raw); err != nil {
		return TaskSpec{}, d.syntax(err)
	}
	raw := d.raw
	start = max(start, d.json.InputOffset()-int64(len(raw))) // past the comma and white space
	if len(raw) > MaxTaskBytes {
		return TaskSpec{}, d.fail(start, "", "", fmt.Sprintf("the document has %d bytes, more than %d", len(raw), MaxTaskBytes))
	}
	spec, ok := d.whole(raw)
	if !ok {
		var err error
		if spec, err = d.byField(raw, start); err != nil {
			return TaskSpec{}, err
		}
	}
	if string(spec.Input) == "null" {
		spec.Input = nil
	}
	if spec.HTTP != nil && string(spec.HTTP.Body) == "null" {
		spec.HTTP.Body = nil
	}
	if err := spec.Validate(); err != nil {
		var fe *FieldError
		if errors.As(err, &fe) {
			return TaskSpec{}, d.fail(start, spec.TaskID, fe.Field, fe.Problem)
		}
		return TaskSpec{}, err
	}
	return spec, nil
}

// whole reads a document into its struct in one go. ok is false where it does not
// know how, or where something is wrong with it: byField tells what.
func (d *taskDecoder) whole(raw []byte) (spec TaskSpec, ok bool) {
	if !d.fast {
		return spec, false
	}
	nested, ok := d.exact(raw)
	if !ok {
		return spec, false
	}
	spec = NewTaskSpec()
	if !nested { // every name is known by now
		return spec, json.Unmarshal(raw, &spec) == nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	return spec, dec.Decode(&spec) == nil
}

// exact reports whether a valid JSON value is an object whose members are fields
// of a task, each by its exact name and once: encoding/json would take other cases
// for the same name, and mix what stands twice. nested says that a member is an
// object with fields of its own.
func (d *taskDecoder) exact(raw []byte) (nested, ok bool) {
	if len(raw) == 0 || raw[0] != '{' {
		return false, false
	}
	seen := uint64(0)
	depth, name := 0, true // whether the next string is a member's name
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case ',':
			name = depth == 1
		case ':':
			name = false
		case '"':
			end := i + 1
			for raw[end] != '"' {
				if raw[end] == '\\' {
					end++
				}
				end++
			}
			if depth == 1 && name {
				field, known := d.fields[string(raw[i+1:end])] // an escaped name is not known: byField reads it
				if !known || field.bit == 0 || seen&field.bit != 0 {
					return false, false
				}
				seen |= field.bit
				nested = nested || field.nested
			}
			i = end
		}
	}
	return nested, true
}

// byField reads a document member by member, so that an error can name the one
// that is wrong.
func (d *taskDecoder) byField(raw []byte, start int64) (TaskSpec, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil || members == nil {
		return TaskSpec{}, d.fail(start, "", "", "a task must be a JSON object")
	}
	spec := NewTaskSpec()
	var id string
	_ = json.Unmarshal(members["task_id"], &id) // only to name the task in an error
	value := reflect.ValueOf(&spec).Elem()
	for _, name := range slices.Sorted(maps.Keys(members)) { // in order, so that equal input gives an equal error
		text := members[name]
		field, known := d.fields[name]
		if !known {
			return TaskSpec{}, d.fail(start, id, name, "unknown field")
		}
		if err := decodeField(text, value.Field(field.index).Addr().Interface()); err != nil {
			return TaskSpec{}, d.fail(start, id, name, err.Error())
		}
	}
	return spec, nil
}

func decodeField(text json.RawMessage, into any) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	var mismatch *json.UnmarshalTypeError
	if errors.As(err, &mismatch) && mismatch.Field != "" {
		return fmt.Errorf("%s: a JSON %s does not fit here (%s expected)", mismatch.Field, mismatch.Value, jsonKind(mismatch.Type))
	}
	if errors.As(err, &mismatch) {
		return fmt.Errorf("a JSON %s does not fit here (%s expected)", mismatch.Value, jsonKind(mismatch.Type))
	}
	if err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

func jsonKind(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Int, reflect.Int64:
		return "an integer"
	case reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "an array of strings"
	case reflect.Map, reflect.Struct:
		return "an object"
	default:
		return t.String()
	}
}

func (d *taskDecoder) syntax(err error) error {
	offset := d.json.InputOffset()
	problem := "not valid JSON: " + strings.TrimPrefix(err.Error(), "json: ")
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		offset = int64(len(d.data) - d.base)
		problem = "not valid JSON: it ends in the middle of a document"
	}
	return d.fail(offset, "", "", problem)
}

func (d *taskDecoder) fail(offset int64, id, field, problem string) error {
	end := min(max(0, d.base+int(offset)), len(d.data))
	line := 1 + bytes.Count(d.data[:end], []byte("\n"))
	return &FieldError{Source: d.source, Line: line, TaskID: id, Field: field, Problem: problem}
}
