package page

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"loadstar/models"
)

// Table is what a page shows, as values: what is exported.
type Table struct {
	Name    string // of the file, without its ending
	Columns []string
	Rows    [][]any
}

// Exporter is a page that can hand out what it shows.
type Exporter interface {
	Export(env Env) Table
}

// Save is a file to be written.
type Save struct {
	Name string
	Data []byte
}

// Encode is the table as csv or json, times in RFC 3339 and UTC. What is no number
// is left empty.
func (t *Table) Encode(format string) ([]byte, error) {
	var out bytes.Buffer
	if format == "json" {
		list := make([]map[string]any, 0, len(t.Rows))
		for _, row := range t.Rows {
			item := make(map[string]any, len(row))
			for i, v := range row {
				item[t.Columns[i]] = jsonValue(v)
			}
			list = append(list, item)
		}
		enc := json.NewEncoder(&out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		err := enc.Encode(list)
		return out.Bytes(), err
	}
	w := csv.NewWriter(&out)
	_ = w.Write(t.Columns) // a buffer takes everything
	for _, row := range t.Rows {
		cells := make([]string, len(row))
		for i, v := range row {
			cells[i] = csvValue(v)
		}
		_ = w.Write(cells)
	}
	w.Flush()
	return out.Bytes(), w.Error()
}

func jsonValue(v any) any {
	switch v := v.(type) {
	case time.Time:
		if v.IsZero() {
			return nil
		}
		return v.UTC().Format(time.RFC3339Nano)
	case *time.Time:
		if v == nil {
			return nil
		}
		return jsonValue(*v)
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil
		}
	case models.Priority:
		return int(v)
	}
	return v
}

func csvValue(v any) string {
	switch v := jsonValue(v).(type) {
	case nil:
		return ""
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case *float64:
		if v == nil {
			return ""
		}
		return csvValue(*v)
	case *int:
		if v == nil {
			return ""
		}
		return strconv.Itoa(*v)
	default:
		return fmt.Sprint(v)
	}
}

// Export hands out the pools.
func (Overview) Export(env Env) Table { return poolTable(env) }

func poolTable(env Env) Table {
	t := Table{Name: "pools", Columns: []string{"pool", "kind", "policy", "min", "max", "ready", "busy", "starting", "wanted", "queued", "oldest_wait_s", "arrivals_per_s", "service_s", "cold_start_s", "paused", "trouble"}}
	for i := range env.Data.Pools {
		p := &env.Data.Pools[i]
		t.Rows = append(t.Rows, []any{
			p.Name, string(p.Kind), string(p.Policy), p.Min, p.Max, p.Ready, p.Busy, p.Starting, p.Wanted, p.Queued, p.OldestWaitS,
			p.ArrivalsPerS, p.ServiceS, p.ColdStartS, p.Paused, p.Trouble,
		})
	}
	return t
}

// Export hands out the tasks that are listed, as far as the screen has them.
func (t Tasks) Export(Env) Table {
	out := Table{Name: "tasks", Columns: []string{"task_id", "state", "pool", "priority", "attempt", "agent", "submitted_at", "started_at", "finished_at", "wait_ms", "run_ms", "exit_code", "error"}}
	ms := func(d time.Duration, ok bool) any {
		if !ok {
			return nil
		}
		return d.Milliseconds()
	}
	for i := range t.rows {
		k := &t.rows[i]
		out.Rows = append(out.Rows, []any{
			k.TaskID, string(k.State), k.Pool, k.Priority, k.Attempt, k.Agent, k.SubmittedAt, k.StartedAt, k.FinishedAt,
			ms(k.Wait()), ms(k.RunTime()), k.ExitCode, k.Error,
		})
	}
	return out
}

// Export hands out the forecast ahead and what was forecast for the stretch shown.
func (f Forecast) Export(Env) Table {
	t := Table{Name: "forecast", Columns: []string{"series", "issued_at", "target_at", "step_s", "horizon", "model", "champion", "p10", "p50", "p90", "actual", "abs_error", "ape"}}
	for i := range f.chart.Rows {
		r := &f.chart.Rows[i]
		if r.IssuedAt.After(f.until(f.chart.To)) {
			continue
		}
		t.Rows = append(t.Rows, []any{r.Series, r.IssuedAt, r.TargetAt, r.StepS, r.Horizon, r.Model, r.Champion, r.P10, r.P50, r.P90, r.Actual, r.AbsError, r.APE})
	}
	s, _ := f.current()
	for i := range s.Forecasts {
		c := &s.Forecasts[i]
		for k := range min(len(c.P10), len(c.P50), len(c.P90)) {
			t.Rows = append(t.Rows, []any{c.Series, c.IssuedAt, c.TargetAt(k), c.StepS, k + 1, c.Model, c.Champion, c.P10[k], c.P50[k], c.P90[k], nil, nil, nil})
		}
	}
	return t
}

// Export hands out the ledger of the pool shown.
func (p Pools) Export(env Env) Table {
	if len(p.decisions.Decisions) == 0 {
		return poolTable(env)
	}
	t := Table{Name: "decisions-" + p.decisions.Pool, Columns: []string{"pool", "at", "policy", "ready", "busy", "starting", "queued", "oldest_wait_s", "arrivals_per_s", "service_s", "reactive", "predicted", "gate", "want", "applied", "reason"}}
	for i := range p.decisions.Decisions {
		d := &p.decisions.Decisions[i]
		in := &d.Inputs
		t.Rows = append(t.Rows, []any{
			d.Pool, d.At, string(d.Policy), in.Ready, in.Busy, in.Starting, in.Queued, in.OldestWaitS, in.ArrivalsPerS, in.ServiceS,
			d.Reactive, d.Predicted, d.Gate, d.Want, d.Applied, d.Reason,
		})
	}
	return t
}

// Export hands out the queues by priority.
func (Queues) Export(env Env) Table {
	t := Table{Name: "queues", Columns: []string{"pool", "priority", "from", "to", "queued", "oldest_wait_s", "started", "wait_p50_ms", "wait_p95_ms", "wait_p99_ms"}}
	for i := range env.Data.Queues {
		q := &env.Data.Queues[i]
		for k := range q.Bands {
			b := &q.Bands[k]
			t.Rows = append(t.Rows, []any{q.Pool, b.Name, b.From, b.To, b.Queued, b.OldestWaitS, b.Started, b.WaitMS.P50, b.WaitMS.P95, b.WaitMS.P99})
		}
	}
	return t
}

// Export hands out the agents.
func (a Agents) Export(env Env) Table {
	t := Table{Name: "agents", Columns: []string{"agent", "host", "state", "slots", "busy", "load_score", "cpu", "memory", "io", "last_heard", "capabilities"}}
	for _, k := range a.list(env) {
		t.Rows = append(t.Rows, []any{k.ID, k.Host, k.State, k.Slots, k.Busy, k.LoadScore, k.CPU, k.Memory, k.IO, k.LastHeard, strings.Join(k.Capabilities, " ")})
	}
	return t
}

// Export hands out the events that are listed.
func (s Stream) Export(env Env) Table {
	t := Table{Name: "events", Columns: []string{"at", "kind", "task_id", "state", "attempt", "pool", "worker", "message"}}
	for _, e := range s.list(env) {
		t.Rows = append(t.Rows, []any{e.At, string(e.Kind), e.TaskID, string(e.State), e.Attempt, e.Pool, e.Worker, e.Message})
	}
	return t
}
