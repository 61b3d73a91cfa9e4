package tui

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"loadstar/models"
	"loadstar/tui/page"
)

func (b *bench) pass(seconds int) {
	b.tb.Helper()
	for range seconds {
		b.now = b.now.Add(time.Second)
		b.tick()
	}
}

func TestAFrozenViewStandsStillWhileTheCollectionGoesOn(t *testing.T) {
	for page := 1; page <= 7; page++ {
		t.Run(fmt.Sprint(page), func(t *testing.T) {
			b := setup(t, 120, 35, nil)
			b.press(fmt.Sprint(page))
			b.pass(2)
			b.press("F")
			b.shows("FROZEN at 15:03:24")
			body := func() string { return strings.Join(strings.Split(b.text(), "\n")[2:34], "\n") }
			held := body()
			b.pass(5)
			if got := body(); got != held {
				t.Errorf("it moved:\n%s\nwas\n%s", got, held)
			}
			b.shows("FROZEN at 15:03:24, 5 s ago")
			if got := b.m.data.Host.At; !got.Equal(b.now) {
				t.Errorf("the collection stands at %s", got)
			}
			b.press("F")
			b.hides("FROZEN")
		})
	}
}

func TestAllViewsMoveBackAndReturnToNow(t *testing.T) {
	b := setup(t, 120, 35, nil)
	b.press("[")
	b.shows("THE PAST: 15:03:12, 10 s ago")
	b.press("{", "4", "j")
	b.shows("THE PAST: 14:58:12, 5m10s ago")
	if got := b.m.then.Pools[1].Decision.At; got.After(b.m.moment) || b.m.moment.Sub(got) > 2*time.Second {
		t.Errorf("the pool is of %s, the moment %s", got, b.m.moment)
	}
	b.shows("decisions", "14:58:12")
	b.hides("15:03:12")
	b.press("}", "]")
	b.hides("THE PAST")
	b.shows("live")
}

func TestWhatTheScreenHasSeenIsShownAsItWas(t *testing.T) {
	b := setup(t, 120, 35, nil)
	b.pass(25)
	was := b.m.data.Stats.TasksPerS
	b.pass(10)
	if b.m.data.Stats.TasksPerS == was {
		t.Fatal("nothing changed meanwhile")
	}
	b.press("[")
	if got := b.m.then.Stats.TasksPerS; got != was || !b.m.then.HasStats {
		t.Errorf("%v tasks/s then, want %v", got, was)
	}
	for _, e := range b.m.then.Events {
		if e.At.After(b.m.moment) {
			t.Errorf("an event of %s", e.At)
		}
	}
	if end := b.m.then.Trails[models.SeriesCPU].Last(); end.After(b.m.moment) {
		t.Errorf("a trail up to %s", end)
	}
}

func TestTasksAreShownAsTheyStoodAndCannotBeChangedThere(t *testing.T) {
	b := setup(t, 160, 40, nil)
	b.press("2", "/", "text:state:RUNNING", "enter")
	b.shows("1 of 7")
	b.press("{")
	for _, k := range []string{"task-19983", "task-19984"} { // they started a few seconds ago
		b.hides(k)
	}
	b.press("x", "y")
	if calls := b.src.Calls(); len(calls) > 0 {
		t.Errorf("the daemon was asked to %v", calls)
	}
	b.press("F")
	b.shows("1 of 7")
}

func TestAForecastOfThePastIsTheOneMadeThen(t *testing.T) {
	b := setup(t, 160, 40, nil)
	b.press("3", "{")
	b.shows("as lstm saw it then; beside it stands what came")
	p, ok := b.m.pages[page.AtForecast].(page.Forecast)
	if !ok {
		t.Fatal("no page")
	}
	ahead := 0
	for _, row := range p.Export(b.m.env()).Rows {
		if issued := row[1].(time.Time); issued.After(b.m.moment) {
			ahead++
		}
	}
	if ahead > 0 {
		t.Errorf("%d rows were made later", ahead)
	}
}

func TestALateAnswerOfAnotherMomentIsDropped(t *testing.T) {
	b := setup(t, 160, 40, nil)
	b.press("3", "[", "[")
	before := b.text()
	late := page.LoadForecasts{Series: models.SeriesCPU, StepS: 10, At: b.m.moment.Add(10 * time.Second)}
	b.send(answered{at: b.now, results: []any{page.ForecastsLoaded{LoadForecasts: late, Forecasts: []models.SeriesForecast{{Series: models.SeriesCPU, StepS: 10, Why: "of another moment"}}}}})
	if b.text() != before {
		t.Error("it is shown")
	}
}

func TestChartsZoomFromAMinuteToAMonth(t *testing.T) {
	b := setup(t, 160, 40, nil)
	b.press("3")
	for range 12 {
		b.press("-")
	}
	b.shows("last 30 d")
	for range 12 {
		b.press("+")
	}
	b.shows("last 1 min")
}

func TestWhatIsKeptOfThePastHasABound(t *testing.T) {
	var k page.Kept
	d := page.Data{HasPools: true, Pools: make([]models.PoolStatus, 50)}
	for i := range 2000 {
		k = k.With(epoch.Add(time.Duration(i)*time.Second), d, []any{page.PoolsLoaded{}})
	}
	if len(k) < 8 || len(k) > 60 {
		t.Errorf("%d moments of 50 pools are kept", len(k))
	}
	if got := k.At(epoch.Add(1999*time.Second), d); !got.HasPools {
		t.Error("the newest is not known")
	}
}
