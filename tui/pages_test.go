package tui

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"loadstar/models"
	"loadstar/tui/page"
)

func TestAQueueOpensItsTasks(t *testing.T) {
	b := setup(t, 120, 35, nil)
	b.press("5", "j", "enter")
	b.shows("state:PENDING pool:render")
}

func TestRatesOfAQueueComeFromItsCounters(t *testing.T) {
	b := setup(t, 200, 50, nil)
	b.press("5")
	b.hides("tasks/s come in")
	b.now = b.now.Add(2 * time.Second)
	b.tick()
	b.shows("12.0 tasks/s come in, 11.0/s start, 11.0/s end.")
}

func TestAnAgentOpensItsTasks(t *testing.T) {
	b := setup(t, 120, 35, nil)
	b.press("6", "G", "k")
	b.shows("7 tasks on local")
	b.press("enter")
	b.shows("state:ASSIGNED,RUNNING agent:local", "1 of 7")
}

func TestTheCursorHoldsTheEventsStill(t *testing.T) {
	b := setup(t, 120, 35, nil)
	b.press("7")
	b.shows("following")
	b.press("j")
	fresh := page.Events{Events: []models.Event{{Seq: 99, At: b.now, Kind: models.EventPool, Message: "a newer one"}}}
	b.m.data = b.m.data.With(fresh)
	b.shows("stands still, 1 newer event; f follows")
	b.hides("a newer one")
	b.press("f")
	b.shows("a newer one", "following")
}

func TestAnEventOpensItsTask(t *testing.T) {
	b := setup(t, 120, 35, nil)
	b.press("7", "/", "text:state:FAILED", "enter", "enter")
	b.shows("All 3 attempts failed", "exit code 2")
}

func TestARangeIsMarkedAndAnActionTakesTheMarksAway(t *testing.T) {
	b := setup(t, 120, 35, nil)
	b.press("2", "j", " ", "j", "j", "v")
	b.shows("4 marked")
	b.press("x", "y")
	if d := cmp.Diff([]string{"cancel 4"}, b.src.Calls()); d != "" {
		t.Error(d)
	}
	b.hides("marked")
}

func TestAllOfAScreensOwnFilterAreTakenByTheirIDs(t *testing.T) {
	b := setup(t, 120, 35, nil)
	b.press("2", "/", "text:state:RUNNING,ASSIGNED prio:>=70", "enter", "a")
	b.shows("all 3 marked")
	b.press("p", "enter")
	if d := cmp.Diff([]string{"priority high 3"}, b.src.Calls()); d != "" {
		t.Error(d)
	}
}
