package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"loadstar/models"
	"loadstar/scheduler/api/wire"
)

// Request gives a handler the request itself, for its body or its headers. It
// stands in an input struct, where huma fills it.
type Request struct {
	http *http.Request
}

// Resolve is called by huma before the handler.
func (r *Request) Resolve(ctx huma.Context) []error {
	r.http, _ = humago.Unwrap(ctx)
	return nil
}

// read is the whole body, at most limit bytes.
func (r *Request) read(limit models.Bytes) ([]byte, error) {
	if r.http.ContentLength > int64(limit) {
		return nil, tooLarge(limit)
	}
	var buf bytes.Buffer
	buf.Grow(int(min(max(0, r.http.ContentLength), 1<<20)))
	n, err := io.Copy(&buf, io.LimitReader(r.http.Body, int64(limit)+1))
	var slow net.Error
	switch {
	case n > int64(limit):
		return nil, tooLarge(limit)
	case errors.As(err, &slow) && slow.Timeout():
		return nil, wire.New(http.StatusRequestTimeout, "the body did not arrive in time")
	case err != nil:
		return nil, &models.FieldError{Problem: "the body did not arrive whole: " + err.Error()}
	}
	return buf.Bytes(), nil
}

func tooLarge(limit models.Bytes) error {
	return wire.New(http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %s: send it in several requests", limit))
}

// maxSmallBody bounds the bodies that are neither tasks nor samples.
const maxSmallBody = 8 << 20

// decode reads a JSON body into the struct that into points to. An empty body
// leaves it as it is.
func (r *Request) decode(limit models.Bytes, into any) error {
	data, err := r.read(limit)
	if err != nil {
		return err
	}
	return decodeObject(data, into)
}

// decodeObject reads one JSON object, field by field so that an error names the
// field; a field that the struct does not have is refused.
func decodeObject(data []byte, into any) error {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		var mismatch *json.UnmarshalTypeError
		if errors.As(err, &mismatch) {
			return models.Invalid("", "the body must be a JSON object")
		}
		return models.Invalid("", "the body is not valid JSON: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	value := reflect.ValueOf(into).Elem()
	fields := map[string][]int{}
	for _, f := range reflect.VisibleFields(value.Type()) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
			fields[name] = f.Index
		}
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		index, known := fields[name]
		if !known {
			return models.Invalid(name, "unknown field")
		}
		if err := decodeField(members[name], value.FieldByIndex(index).Addr().Interface()); err != nil {
			return models.Invalid(name, "%s", err)
		}
	}
	return nil
}

func decodeField(data json.RawMessage, into any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	var mismatch *json.UnmarshalTypeError
	if errors.As(err, &mismatch) {
		if mismatch.Field != "" {
			return fmt.Errorf("%s: a JSON %s does not fit here", mismatch.Field, mismatch.Value)
		}
		return fmt.Errorf("a JSON %s does not fit here", mismatch.Value)
	}
	if err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

// parseTime reads RFC 3339 or seconds since 1970; empty is the zero time.
func parseTime(field, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if s, err := strconv.ParseFloat(text, 64); err == nil && s >= 0 && s <= maxUnix {
		whole, part := math.Modf(s)
		return time.Unix(int64(whole), int64(part*1e9)).UTC(), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || t.Year() < 1 || t.Year() > 9999 {
		return time.Time{}, models.Invalid(field, "%q is not a time such as 2026-11-24T08:00:00Z or seconds since 1970", text)
	}
	return t, nil
}

// maxUnix is the last second of the year 9999: JSON has no later time.
const maxUnix = 253402300799

// maxStep is the longest step, in seconds: a year.
const maxStep = 366 * 24 * 3600

// checkStep refuses what is no step; 0 is "choose for me".
func checkStep(stepS float64) error {
	if stepS == 0 || stepS >= 1e-3 && stepS <= maxStep { // false for NaN too
		return nil
	}
	return models.Invalid("step_s", "%v is not a step of 0.001 to %d seconds", stepS, maxStep)
}

func stepDuration(stepS float64) time.Duration {
	return time.Duration(math.Round(stepS * float64(time.Second)))
}

// checkSpan refuses a stretch of time that ends before it begins.
func checkSpan(from, to time.Time) error {
	if !from.IsZero() && !to.IsZero() && to.Before(from) {
		return models.Invalid("to", "it is before from")
	}
	return nil
}

// parseSpan reads the ends of a stretch of time; either may be open.
func parseSpan(fromText, toText string) (from, to time.Time, err error) {
	if from, err = parseTime("from", fromText); err != nil {
		return from, to, err
	}
	if to, err = parseTime("to", toText); err != nil {
		return from, to, err
	}
	return from, to, checkSpan(from, to)
}

// checkFilter refuses a filter that selects by something that does not exist.
func checkFilter(f *models.TaskFilter) error {
	if f == nil {
		return nil
	}
	for i, s := range f.States {
		known, err := models.ParseState(string(s))
		if err != nil {
			return models.Invalid("state", "%s", strings.TrimPrefix(err.Error(), "state: "))
		}
		f.States[i] = known
	}
	if f.Pool != "" {
		if err := models.CheckPoolName("pool", f.Pool); err != nil {
			return err
		}
	}
	for k := range f.Labels {
		if k == "" {
			return models.Invalid("label", "a label without a name")
		}
	}
	return nil
}

// checkSelection refuses a selection that names nothing, or by two means: to act
// on everything must be said by a filter, not by leaving it out.
func checkSelection(sel *models.Selection) error {
	switch {
	case len(sel.IDs) == 0 && sel.Filter == nil:
		return models.Invalid("ids", "neither ids nor a filter is given")
	case len(sel.IDs) > 0 && sel.Filter != nil:
		return models.Invalid("filter", "ids are given too")
	case slices.Contains(sel.IDs, ""):
		return models.Invalid("ids", "one is empty")
	}
	return checkFilter(sel.Filter)
}
