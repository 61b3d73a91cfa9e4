package tui

import (
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"
	"pgregory.net/rapid"

	"loadstar/models"
	"loadstar/tui/page"
	"loadstar/tui/theme"
)

// nasty is text that would do harm if it were drawn as it is.
func nasty() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.SampledFrom([]string{
			"", " ", "\x1b[2J\x1b[H", "\x1b]0;title\x07x", "\x1b[31mred\x1b[0m", "a\r\nb\tc", "日本語のとても長い名前です", "👩‍🚀👨‍👩‍👧‍👦🇩🇪👍🏽",
			"\x00\x01\x7f", "\xff\xfe\x9b31m", "e\u0301\u0301\u0301\u0301", "\u202eevil\u202c", strings.Repeat("w", 400), strings.Repeat("宽", 200), "\u0301", "\u180e", "ﷺ", "ᄀᆨ", "\x1bP1;2|data", "\u009b2J",
		}),
		rapid.String(),
	)
}

func number() *rapid.Generator[float64] {
	return rapid.OneOf(
		rapid.SampledFrom([]float64{0, 1, -1, 100, 1e-300, 1e18, math.MaxFloat64, -math.MaxFloat64, math.Inf(1), math.NaN()}),
		rapid.Float64(),
	)
}

func count() *rapid.Generator[int] {
	return rapid.OneOf(rapid.SampledFrom([]int{0, 1, -1, 7, math.MaxInt32, math.MaxInt64, math.MinInt64}), rapid.IntRange(0, 100))
}

func moment() *rapid.Generator[time.Time] {
	return rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.IntRange(0, 9).Draw(t, "zero") == 0 {
			return time.Time{}
		}
		return epoch.Add(time.Duration(rapid.Int64Range(-1e13, 1e12).Draw(t, "ns")))
	})
}

func task() *rapid.Generator[models.Task] {
	return rapid.Custom(func(t *rapid.T) models.Task {
		at, code := moment().Draw(t, "at"), count().Draw(t, "code")
		k := models.Task{TaskSpec: models.NewTaskSpec(), State: models.State(rapid.SampledFrom([]string{"PENDING", "ASSIGNED", "RUNNING", "SUCCESS", "FAILED", "CANCELLED", "?"}).Draw(t, "state"))}
		k.TaskID, k.Description, k.Pool, k.Detail, k.Error = nasty().Draw(t, "id"), nasty().Draw(t, "what"), nasty().Draw(t, "pool"), nasty().Draw(t, "detail"), nasty().Draw(t, "error")
		k.Priority, k.Attempt, k.SubmittedAt, k.Agent = models.Priority(count().Draw(t, "prio")), count().Draw(t, "attempt"), at, nasty().Draw(t, "agent")
		k.Labels = map[string]string{nasty().Draw(t, "k"): nasty().Draw(t, "v")}
		if rapid.Bool().Draw(t, "ran") {
			end := moment().Draw(t, "end")
			k.StartedAt, k.FinishedAt, k.ExitCode = &at, &end, &code
			k.Attempts = []models.Attempt{{Attempt: code, Outcome: nasty().Draw(t, "outcome"), StartedAt: &at, FinishedAt: &end, ExitCode: &code, Error: k.Error}}
		}
		return k
	})
}

func pool() *rapid.Generator[models.PoolStatus] {
	return rapid.Custom(func(t *rapid.T) models.PoolStatus {
		p := models.PoolStatus{PoolSpec: models.PoolSpec{Name: nasty().Draw(t, "name"), Max: count().Draw(t, "max"), Kind: models.KindStdio, SLO: models.Duration(rapid.Int64().Draw(t, "slo"))}}
		p.Ready, p.Busy, p.Starting, p.Wanted, p.Queued = count().Draw(t, "ready"), count().Draw(t, "busy"), count().Draw(t, "starting"), count().Draw(t, "wanted"), count().Draw(t, "queued")
		p.OldestWaitS, p.ColdStartS, p.ServiceS, p.ArrivalsPerS = number().Draw(t, "oldest"), number().Draw(t, "cold"), number().Draw(t, "service"), number().Draw(t, "arrivals")
		p.Trouble, p.Paused = nasty().Draw(t, "trouble"), rapid.Bool().Draw(t, "paused")
		if rapid.Bool().Draw(t, "decided") {
			d := decision(t, p.Name)
			p.Decision = &d
		}
		return p
	})
}

func decision(t *rapid.T, name string) models.Decision {
	at := moment().Draw(t, "decided")
	d := models.Decision{Pool: name, At: at, PredictedAt: &at, Want: count().Draw(t, "want"), Predicted: count().Draw(t, "predicted"), Reason: nasty().Draw(t, "reason"), GateWhy: nasty().Draw(t, "gate")}
	d.Caps = []models.Cap{{Name: nasty().Draw(t, "cap"), After: count().Draw(t, "after"), Why: nasty().Draw(t, "why")}}
	d.Inputs.Forecast = &models.DemandForecast{Series: nasty().Draw(t, "series"), StepS: number().Draw(t, "step"), Levels: []float64{number().Draw(t, "level")}, Values: [][]float64{{number().Draw(t, "value")}, {}}}
	return d
}

func agent() *rapid.Generator[models.Agent] {
	return rapid.Custom(func(t *rapid.T) models.Agent {
		return models.Agent{
			ID: nasty().Draw(t, "id"), Host: nasty().Draw(t, "host"), Capabilities: []string{nasty().Draw(t, "can")}, Slots: count().Draw(t, "slots"), Busy: count().Draw(t, "busy"),
			CPUs: number().Draw(t, "cpus"), MemoryTotal: models.Bytes(count().Draw(t, "memory")), LoadScore: number().Draw(t, "load"), CPU: number().Draw(t, "cpu"),
			LastHeard: moment().Draw(t, "heard"), State: rapid.SampledFrom([]string{"ready", "lost", "draining", "\x1b[2J"}).Draw(t, "state"),
		}
	})
}

func queue() *rapid.Generator[models.QueueStatus] {
	return rapid.Custom(func(t *rapid.T) models.QueueStatus {
		bands := models.PriorityBands()
		for i := range bands {
			b := &bands[i]
			b.Name, b.Queued, b.OldestWaitS, b.AtMost = nasty().Draw(t, "name"), count().Draw(t, "n"), number().Draw(t, "oldest"), rapid.Bool().Draw(t, "most")
			b.Started, b.WaitMS.P50 = uint64(rapid.Uint32().Draw(t, "started")), number().Draw(t, "p50")
		}
		return models.QueueStatus{
			Pool: nasty().Draw(t, "pool"), Queued: count().Draw(t, "queued"), Waiting: count().Draw(t, "waiting"), OldestWaitS: number().Draw(t, "oldest"), Bands: bands[:],
			Counters: models.PoolTotals{Started: uint64(rapid.Uint32().Draw(t, "all")), WaitS: number().Draw(t, "wait")},
		}
	})
}

func seriesForecast() *rapid.Generator[models.SeriesForecast] {
	return rapid.Custom(func(t *rapid.T) models.SeriesForecast {
		v := rapid.SliceOfN(number(), 0, 40).Draw(t, "values")
		f := models.SeriesForecast{Series: nasty().Draw(t, "series"), Unit: rapid.SampledFrom([]string{"", "%", "B/s", "s", "tasks/s", "\x1b[2J"}).Draw(t, "unit"), StepS: number().Draw(t, "step"), Champion: "lstm", Why: nasty().Draw(t, "why"), Status: nasty().Draw(t, "status"), Drift: rapid.Bool().Draw(t, "drift")}
		f.Forecasts = []models.Forecast{{Series: f.Series, IssuedAt: moment().Draw(t, "issued"), StepS: f.StepS, Model: "lstm", Champion: true, P10: v, P50: v, P90: v}}
		score := number().Draw(t, "score")
		f.Models = []models.ModelScore{{Model: "lstm", N: count().Draw(t, "n"), MASE: &score, Pinball: &score}, {Model: nasty().Draw(t, "model")}}
		for _, x := range v {
			f.Errors = append(f.Errors, models.ErrorPoint{At: moment().Draw(t, "at"), AbsError: x})
		}
		return f
	})
}

// feed puts anything into a model, as if a daemon had said it.
func feed(t *rapid.T, m Model) Model {
	pools := rapid.SliceOfN(pool(), 0, 6).Draw(t, "pools")
	tasks := rapid.SliceOfN(task(), 0, 30).Draw(t, "tasks")
	host := models.HostStatus{At: epoch, Hostname: nasty().Draw(t, "host"), CPU: number().Draw(t, "cpu"), Cores: rapid.SliceOfN(number(), 0, 300).Draw(t, "cores"), MemoryUsed: models.Bytes(count().Draw(t, "used")), MemoryTotal: models.Bytes(count().Draw(t, "total")), DiskRead: number().Draw(t, "read"), NetTx: number().Draw(t, "tx"), Load1: number().Draw(t, "load")}
	stats := models.Stats{Tasks: map[models.State]int{models.Pending: count().Draw(t, "pending")}, TasksPerS: number().Draw(t, "rate"), SubmitToStart: models.Quantiles{P50: number().Draw(t, "p50"), P99: number().Draw(t, "p99")}}
	forecasts := rapid.SliceOfN(seriesForecast(), 0, 4).Draw(t, "forecasts")
	msgs := []any{
		page.InfoLoaded{Info: models.DaemonInfo{PID: 1, Hostname: nasty().Draw(t, "name"), CPU: number().Draw(t, "own"), RSS: models.Bytes(count().Draw(t, "rss"))}},
		page.HostLoaded{Host: host},
		page.StatsLoaded{Stats: stats},
		page.PoolsLoaded{Pools: pools},
		page.TasksLoaded{Page: models.TaskPage{Tasks: tasks, Total: count().Draw(t, "all")}},
		page.ForecastsLoaded{Forecasts: forecasts},
		page.SeriesLoaded{Series: []models.SeriesInfo{{Name: nasty().Draw(t, "series"), StepS: number().Draw(t, "step"), Points: 1, Last: number().Draw(t, "last")}}},
	}
	agents := rapid.SliceOfN(agent(), 0, 8).Draw(t, "agents")
	queues := rapid.SliceOfN(queue(), 0, 5).Draw(t, "queues")
	msgs = append(msgs, page.AgentsLoaded{Agents: agents}, page.ActiveLoaded{Page: models.TaskPage{Tasks: tasks, Total: 1000}},
		page.QueuesLoaded{At: epoch, Queues: queues}, page.QueuesLoaded{At: epoch.Add(time.Second), Queues: queues})
	for _, f := range forecasts {
		points := []models.Point{{At: moment().Draw(t, "at"), Value: number().Draw(t, "v")}, {At: epoch, Value: number().Draw(t, "v")}}
		rows := []models.ForecastRow{{TargetAt: epoch, P50: number().Draw(t, "p50"), Champion: true, AbsError: &f.StepS}}
		msgs = append(msgs, page.ChartLoaded{LoadChart: page.LoadChart{Series: f.Series, StepS: f.StepS, To: epoch}, Points: points, Rows: rows})
	}
	for _, p := range pools {
		msgs = append(msgs, page.DecisionsLoaded{LoadDecisions: page.LoadDecisions{Pool: p.Name}, Decisions: []models.Decision{decision(t, p.Name), decision(t, p.Name)}})
	}
	events := page.Events{Events: []models.Event{{At: moment().Draw(t, "at"), Kind: "task", TaskID: nasty().Draw(t, "id"), Message: nasty().Draw(t, "message"), Attempt: count().Draw(t, "try")}}}
	m.data = m.data.With(events)
	for _, msg := range msgs {
		at := rapid.SampledFrom([]int{m.at, 2, 3, 4, 5}).Draw(t, "page")
		m.at = at
		m, _ = m.answered(answered{at: epoch, results: []any{msg}})
	}
	return m
}

var sgr = regexp.MustCompile("\x1b\\[[0-9;]*m")

func TestViewStaysWithinItsScreenWhateverTheData(t *testing.T) {
	keys := []string{"1", "2", "3", "4", "5", "6", "7", "v", "F", "[", "]", "{", ":", "e", "j", "k", "enter", "esc", "?", "x", "r", "p", "m", "o", "/", " ", "a", "s", "S", "l", "f", "pgdown", "end", "left", "right", "+", "-", "<", ">", "T", "y", "n", "tab", "text:宽\x1b"}
	base := setup(t, 80, 24, nil)
	rapid.Check(t, func(t *rapid.T) {
		m := base.m
		level := rapid.SampledFrom([]theme.Level{theme.ASCII, theme.Block, theme.Braille}).Draw(t, "level")
		th, err := theme.New(rapid.SampledFrom(theme.Names()).Draw(t, "theme"), m.profile, level)
		if err != nil {
			t.Fatal(err)
		}
		m.theme = th
		if rapid.Bool().Draw(t, "fresh") {
			m.pages, m.data = page.All(), page.Data{}
			m = feed(t, m)
		}
		w, h := rapid.IntRange(1, 250).Draw(t, "w"), rapid.IntRange(1, 80).Draw(t, "h")
		m, _ = m.update(tea.WindowSizeMsg{Width: w, Height: h})
		if rapid.Bool().Draw(t, "lost") {
			m.lost = nasty().Draw(t, "why")
		}
		m.banner = "demo"
		for _, key := range rapid.SliceOfN(rapid.SampledFrom(keys), 0, 6).Draw(t, "keys") {
			if text, ok := strings.CutPrefix(key, "text:"); ok {
				m, _ = m.update(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(text)})
				continue
			}
			m, _ = m.update(keyOf(key))
			if m.dialog == nil && !m.help {
				m, _ = m.tell(page.LogChunk{Data: []byte(nasty().Draw(t, "log") + "\n"), OpenLog: page.OpenLog{Gen: 1}})
			}
		}
		m, _ = m.update(tea.MouseMsg{X: rapid.IntRange(0, w).Draw(t, "x"), Y: rapid.IntRange(0, h).Draw(t, "y"), Button: tea.MouseButtonLeft, Action: tea.MouseActionPress})
		view := m.draw().String()
		lines := strings.Split(view, "\n")
		if len(lines) > h {
			t.Fatalf("%d lines on a screen of %d", len(lines), h)
		}
		for i, line := range lines {
			if got := ansi.StringWidth(line); got > w {
				t.Fatalf("line %d takes %d of %d cells: %q", i, got, w, line)
			}
			bare := sgr.ReplaceAllString(line, "")
			for _, r := range bare {
				if r < 0x20 || r >= 0x7f && r < 0xa0 || r == 0x202e || m.theme.Level == theme.ASCII && r >= 0x80 {
					t.Fatalf("line %d holds %q: %q", i, r, bare)
				}
			}
		}
	})
}

func BenchmarkView(b *testing.B) {
	for name, keys := range views() {
		b.Run(name, func(b *testing.B) {
			s := setup(b, 200, 50, nil)
			s.press(keys...)
			b.ReportAllocs()
			for b.Loop() {
				_ = s.m.View()
			}
		})
	}
}
