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
	d := taskDecoder{data: data, source: source, fields: specFields()}
	trimmed := bytes.TrimLeft(data, " \t\r\n\ufeff")
	if len(trimmed) == 0 {
		return nil, &FieldError{Source: source, Problem: "no task document in it"}
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
	fields map[string]int
}

// specFields maps a JSON name to the index of its field in TaskSpec.
func specFields() map[string]int {
	t := reflect.TypeFor[TaskSpec]()
	fields := make(map[string]int, t.NumField())
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		fields[name] = i
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
	var raw json.RawMessage
	if err := d.json.Decode(&raw); err != nil {
		return TaskSpec{}, d.syntax(err)
	}
	start = max(start, d.json.InputOffset()-int64(len(raw))) // past the comma and white space
	if len(raw) > MaxTaskBytes {
		return TaskSpec{}, d.fail(start, "", "", fmt.Sprintf("the document has %d bytes, more than %d", len(raw), MaxTaskBytes))
	}
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
		i, known := d.fields[name]
		if !known {
			return TaskSpec{}, d.fail(start, id, name, "unknown field")
		}
		if err := decodeField(text, value.Field(i).Addr().Interface()); err != nil {
			return TaskSpec{}, d.fail(start, id, name, err.Error())
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
			return TaskSpec{}, d.fail(start, id, fe.Field, fe.Problem)
		}
		return TaskSpec{}, err
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
