package ingest

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"loadstar/models"
)

// What bounds a file, and so the memory: larger ones are refused.
const (
	MaxRows     = 10_000_000
	maxRowBytes = 1 << 20
)

// Table is a series read from a file, on a regular grid.
type Table struct {
	Points     []models.Point // ascending, one a step at most, at multiples of the step from the first
	StepS      float64        // the most frequent distance of two stamps, seconds
	Gaps       []models.Gap   // stretches without values
	Missing    int            // steps in the gaps
	Rows       int            // rows read
	OffGrid    int            // rows whose stamp was moved to the grid
	Duplicates int            // rows that fell on a step that had a value; the last one counts
	Unordered  int            // rows that came earlier than the one before
}

// Step is StepS as a duration.
func (t *Table) Step() time.Duration { return time.Duration(t.StepS * float64(time.Second)) }

// ReadCSV reads `timestamp,value[,more columns]` with RFC 3339 or unix times (in
// seconds or milliseconds), with or without a header. An error is a
// *models.FieldError with the line in name.
func ReadCSV(r io.Reader, name string) (Table, error) {
	rows := newRows(r, name)
	var points []models.Point
	var t Table
	err := rows.each([]string{"timestamp", "value"}, nil, func(line int, cells []string) error {
		at, err := parseTime(cells[0])
		if err != nil {
			return rows.fail(line, "timestamp", err.Error())
		}
		v, err := parseValue(cells[1])
		if err != nil {
			return rows.fail(line, "value", err.Error())
		}
		if n := len(points); n > 0 && at.Before(points[n-1].At) {
			t.Unordered++
		}
		points = append(points, models.Point{At: at, Value: v})
		return nil
	})
	if err != nil {
		return Table{}, err
	}
	if len(points) < 2 {
		return Table{}, &models.FieldError{Source: name, Problem: "a series needs two rows at least"}
	}
	t.Rows = len(points)
	slices.SortStableFunc(points, func(a, b models.Point) int { return a.At.Compare(b.At) })
	const longest = 200 * 365 * 24 * time.Hour // differences must fit a time.Duration
	if span := points[len(points)-1].At.Sub(points[0].At); span > longest {
		return Table{}, &models.FieldError{Source: name, Field: "timestamp", Problem: "the rows span more than 200 years"}
	}
	if t.StepS = modalStep(points); t.StepS <= 0 {
		return Table{}, &models.FieldError{Source: name, Field: "timestamp", Problem: "all rows have the same time"}
	}
	t.snap(points)
	return t, nil
}

// modalStep is the most frequent distance between neighbours, seconds; of equally
// frequent ones the smallest.
func modalStep(points []models.Point) float64 {
	const enough = 1 << 20 // distances are enough to know, and bound the memory
	count := map[time.Duration]int{}
	for i := 1; i < min(len(points), enough); i++ {
		if d := points[i].At.Sub(points[i-1].At); d > 0 {
			count[d]++
		}
	}
	var best time.Duration
	for d, n := range count {
		if n > count[best] || n == count[best] && d < best {
			best = d
		}
	}
	return best.Seconds()
}

// snap moves the sorted points onto the grid through the first one, following a
// clock that drifts by less than half a step from one point to the next.
func (t *Table) snap(points []models.Point) {
	step := t.Step()
	first := points[0].At
	drift := time.Duration(0) // of the stamps against the grid
	last := -1
	for i, p := range points {
		off := p.At.Sub(first) - drift
		k := int(math.Round(off.Seconds() / t.StepS))
		residue := off - time.Duration(k)*step
		if i > 0 && residue.Abs() > 0 {
			t.OffGrid++
			drift += residue
		}
		at := first.Add(time.Duration(k) * step)
		switch {
		case k <= last:
			t.Duplicates++
			t.Points[len(t.Points)-1].Value = p.Value
			continue
		case last >= 0 && k > last+1:
			t.Gaps = append(t.Gaps, models.Gap{From: first.Add(time.Duration(last+1) * step), To: at})
			t.Missing += k - last - 1
		}
		t.Points = append(t.Points, models.Point{At: at, Value: p.Value})
		last = k
	}
}

// String tells what was done to the file, for a person.
func (t *Table) String() string {
	parts := []string{fmt.Sprintf("%d rows, one every %s", t.Rows, t.Step())}
	for _, part := range []struct {
		n    int
		what string
	}{{t.Missing, "steps missing"}, {t.OffGrid, "stamps moved to the grid"}, {t.Duplicates, "duplicates"}, {t.Unordered, "out of order"}} {
		if part.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.n, part.what))
		}
	}
	return strings.Join(parts, ", ")
}

func parseTime(text string) (time.Time, error) {
	text = strings.TrimSpace(text)
	if v, err := strconv.ParseFloat(text, 64); err == nil {
		const lastSecond = 1e11 // beyond it, the number counts milliseconds
		if v > lastSecond {
			v /= 1000
		}
		if math.IsNaN(v) || v < 0 || v > lastSecond {
			return time.Time{}, fmt.Errorf("%q is not a unix time", text)
		}
		return time.UnixMilli(int64(math.Round(v * 1000))).UTC(), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05", "2006-01-02T15:04:05"} {
		if at, err := time.Parse(layout, text); err == nil {
			return at.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not an RFC 3339 or unix time", text)
}

func parseValue(text string) (float64, error) {
	v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, fmt.Errorf("%q is not a finite number", text)
	}
	return v, nil
}

// rows reads a CSV file line by line.
type rows struct {
	csv   *csv.Reader
	bound *boundedReader
	name  string
}

func newRows(r io.Reader, name string) *rows {
	bound := &boundedReader{r: r}
	c := csv.NewReader(bound)
	c.ReuseRecord = true
	c.FieldsPerRecord = -1
	c.TrimLeadingSpace = true
	c.Comment = '#'
	return &rows{csv: c, bound: bound, name: name}
}

// boundedReader refuses a row (a quote that is never closed, say) before it fills
// the memory.
type boundedReader struct {
	r     io.Reader
	since int // bytes read since the row before
}

var errLongRow = fmt.Errorf("a row has more than %d bytes", maxRowBytes)

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.since > maxRowBytes {
		return 0, errLongRow
	}
	n, err := b.r.Read(p)
	b.since += n
	return n, err
}

func (r *rows) fail(line int, field, problem string) error {
	return &models.FieldError{Source: r.name, Line: line, Field: field, Problem: problem}
}

// each calls row for every row but a header, whose first cell is not a number or
// time; header is called for that, where it is not nil. columns are those that
// every row has to have.
func (r *rows) each(columns []string, header func(cells []string) error, row func(line int, cells []string) error) error {
	line := 0
	for n := 0; ; n++ {
		r.bound.since = 0
		cells, err := r.csv.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		var syntax *csv.ParseError
		if errors.Is(err, errLongRow) {
			return r.fail(line+1, "", err.Error())
		}
		if errors.As(err, &syntax) {
			return r.fail(syntax.Line, "", "not CSV: "+syntax.Err.Error())
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", r.name, err)
		}
		line, _ = r.csv.FieldPos(0)
		if n == 0 {
			cells[0] = strings.TrimPrefix(cells[0], "\ufeff")
			if strings.EqualFold(cells[0], columns[0]) || isHeader(cells) {
				if header != nil {
					if err := header(cells); err != nil {
						return err
					}
				}
				continue
			}
		}
		if n > MaxRows {
			return r.fail(line, "", fmt.Sprintf("more than %d rows", MaxRows))
		}
		if len(cells) < len(columns) {
			return r.fail(line, columns[len(cells)], fmt.Sprintf("the row has %d of the columns %s", len(cells), strings.Join(columns, ",")))
		}
		if err := row(line, cells); err != nil {
			return err
		}
	}
}

// isHeader reports whether a first row holds names, not values.
func isHeader(cells []string) bool {
	for _, c := range cells {
		if c == "" || strings.ContainsAny(c[:1], "0123456789+-.") {
			return false
		}
	}
	return true
}
