package export

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"time"

	"loadstar/models"
)

// Columns are those of the forecast CSV, in order.
func Columns() []string {
	return []string{
		"series", "issued_at", "target_at", "step_s", "horizon", "model", "champion",
		"p10", "p50", "p90", "actual", "abs_error", "ape",
	}
}

// Rows lays current forecasts out as rows: one a series, target and model, in
// the order given. What will come of them is not known.
func Rows(current []models.SeriesForecast) []models.ForecastRow {
	rows := []models.ForecastRow{}
	for _, s := range current {
		for _, f := range s.Forecasts {
			for i := range min(len(f.P10), len(f.P50), len(f.P90)) {
				rows = append(rows, models.ForecastRow{
					Series: f.Series, IssuedAt: f.IssuedAt, TargetAt: f.TargetAt(i), StepS: f.StepS, Horizon: i + 1,
					Model: f.Model, Champion: f.Champion, P10: f.P10[i], P50: f.P50[i], P90: f.P90[i],
				})
			}
		}
	}
	return rows
}

// WriteCSV writes the header and a line a row.
func WriteCSV(w io.Writer, rows []models.ForecastRow) error {
	c := csv.NewWriter(w)
	if err := c.Write(Columns()); err != nil {
		return fmt.Errorf("write forecast csv: %w", err)
	}
	line := make([]string, len(Columns()))
	for i := range rows {
		r := &rows[i]
		line = append(line[:0], r.Series, stamp(r.IssuedAt), stamp(r.TargetAt), number(r.StepS),
			strconv.Itoa(r.Horizon), r.Model, strconv.FormatBool(r.Champion),
			number(r.P10), number(r.P50), number(r.P90), known(r.Actual), known(r.AbsError), known(r.APE))
		if err := c.Write(line); err != nil {
			return fmt.Errorf("write forecast csv: %w", err)
		}
	}
	c.Flush()
	if err := c.Error(); err != nil {
		return fmt.Errorf("write forecast csv: %w", err)
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
func number(v float64) string  { return strconv.FormatFloat(v, 'g', -1, 64) }
func known(v *float64) string {
	if v == nil {
		return ""
	}
	return number(*v)
}

// WriteJSON writes one array of rows.
func WriteJSON(w io.Writer, rows []models.ForecastRow) error {
	if rows == nil {
		rows = []models.ForecastRow{}
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	if err := e.Encode(rows); err != nil {
		return fmt.Errorf("write forecast json: %w", err)
	}
	return nil
}

// ReadCSV reads what WriteCSV wrote. An error names the line and the column.
func ReadCSV(r io.Reader) ([]models.ForecastRow, error) {
	c := csv.NewReader(r)
	c.ReuseRecord = true
	head, err := c.Read()
	if err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("forecast csv: it is empty")
		}
		return nil, fmt.Errorf("forecast csv: %w", err)
	}
	if !slices.Equal(head, Columns()) {
		return nil, fmt.Errorf("forecast csv: line 1: the header is not %v", Columns())
	}
	rows := []models.ForecastRow{}
	for {
		line, err := c.Read()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return nil, fmt.Errorf("forecast csv: %w", err)
		}
		row, column, err := parse(line)
		if err != nil {
			n, _ := c.FieldPos(0)
			return nil, fmt.Errorf("forecast csv: line %d: %s: %w", n, column, err)
		}
		rows = append(rows, row)
	}
}

// parse reads a line; on an error it says of which column.
func parse(line []string) (r models.ForecastRow, column string, err error) {
	r.Series, r.Model = line[0], line[5]
	times := []*time.Time{1: &r.IssuedAt, 2: &r.TargetAt}
	numbers := []*float64{3: &r.StepS, 7: &r.P10, 8: &r.P50, 9: &r.P90}
	perhaps := []**float64{10: &r.Actual, 11: &r.AbsError, 12: &r.APE}
	for i, cell := range line {
		switch {
		case i == 4:
			r.Horizon, err = strconv.Atoi(cell)
		case i == 6:
			r.Champion, err = strconv.ParseBool(cell)
		case i < len(times) && times[i] != nil:
			*times[i], err = time.Parse(time.RFC3339Nano, cell)
		case i < len(numbers) && numbers[i] != nil:
			*numbers[i], err = finite(cell)
		case i < len(perhaps) && perhaps[i] != nil && cell != "":
			var v float64
			v, err = finite(cell)
			*perhaps[i] = &v
		}
		if err != nil {
			return r, Columns()[i], err
		}
	}
	return r, "", nil
}

func finite(cell string) (float64, error) {
	v, err := strconv.ParseFloat(cell, 64)
	if err == nil && (math.IsNaN(v) || math.IsInf(v, 0)) {
		err = fmt.Errorf("%q is not a finite number", cell)
	}
	return v, err
}
