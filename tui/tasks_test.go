package tui

import (
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/google/go-cmp/cmp"

	"loadstar/models"
	"loadstar/tui/page"
)

func TestCancelAsksFirstAndNamesAndCounts(t *testing.T) {
	b := setup(t, 120, 40, nil)
	b.press("2", " ", " ", "x")
	b.shows("Cancel 2 tasks?", "task-20000", "task-19999")
	b.press("n")
	if calls := b.src.Calls(); len(calls) != 0 {
		t.Fatalf("no was pressed, yet the daemon was asked to %v", calls)
	}
	b.press("x", "y")
	if diff := cmp.Diff([]string{"cancel 2"}, b.src.Calls()); diff != "" {
		t.Fatal(diff)
	}
	b.shows("cancelled: 2 tasks")
	b.hides("marked") // what was acted on is no longer marked
}

func TestEnterOnAQuestionIsNo(t *testing.T) {
	b := setup(t, 120, 40, nil)
	b.press("2", "x", "enter")
	if calls := b.src.Calls(); len(calls) != 0 || b.m.dialog != nil {
		t.Errorf("asked to %v, the question is open: %t", calls, b.m.dialog != nil)
	}
}

func TestAllThatAFilterSelectsIsActedOnByTheFilter(t *testing.T) {
	b := setup(t, 120, 40, nil)
	b.press("2", "/", "text:state:failed", "enter", "a", "x")
	b.shows("All 51 tasks that match state:FAILED:", "and 45 more")
	b.press("y")
	if diff := cmp.Diff([]string{"cancel 51"}, b.src.Calls()); diff != "" {
		t.Error(diff)
	}
}

func TestRetryCanTakeTheDependents(t *testing.T) {
	b := setup(t, 120, 40, nil)
	b.press("2", "/", "text:state:FAILED", "enter", "r", "d", "y")
	if diff := cmp.Diff([]string{"retry (dependents true) 1"}, b.src.Calls()); diff != "" {
		t.Error(diff)
	}
}

func TestAPriorityThatIsNoneIsRefusedInTheQuestion(t *testing.T) {
	b := setup(t, 120, 40, nil)
	b.press("2", "p", "text:!", "enter")
	b.shows("is not critical, high, normal, low or an integer")
	for range len("normal!") {
		b.press("backspace")
	}
	b.press("text:high", "enter")
	if diff := cmp.Diff([]string{"priority high 1"}, b.src.Calls()); diff != "" {
		t.Error(diff)
	}
}

func TestAWrongFilterSaysWhatIsWrong(t *testing.T) {
	b := setup(t, 120, 40, nil)
	b.press("2", "/", "text:state:DONE", "enter")
	b.shows(`"DONE" is not one of PENDING`)
	b.press("esc")
	b.shows("all tasks, newest first")
}

func TestScrollingAsksForTheNextPage(t *testing.T) {
	b := setup(t, 120, 40, nil)
	b.press("2")
	for range 30 {
		b.press("pgdown")
	}
	b.shows("of 1,200", "task-190") // beyond the first two hundred
	at := b.text()
	b.tick()
	if now := b.text(); now != at {
		t.Errorf("a poll moved the list:\n%s", cmp.Diff(at, now))
	}
}

func TestTheCursorStaysOnItsTaskWhileNewOnesCome(t *testing.T) {
	list := func(ids ...string) page.TasksLoaded {
		m := page.TasksLoaded{Page: models.TaskPage{Total: len(ids)}}
		for _, id := range ids {
			k := models.Task{TaskSpec: models.NewTaskSpec(), State: models.Pending}
			k.TaskID = id
			m.Page.Tasks = append(m.Page.Tasks, k)
		}
		return m
	}
	b := setup(t, 100, 30, nil)
	b.m.at = 1
	b.m.pages[1] = page.Tasks{}
	b.m, _ = b.m.tell(list("c", "b", "a"))
	b.m, _ = b.m.tell(page.Key{KeyMsg: keyOf("j"), Action: "down"})
	b.m, _ = b.m.tell(list("e", "d", "c", "b", "a"))
	b.shows("4 of 5")
}

func TestAnOlderListingDoesNotReplaceANewerOne(t *testing.T) {
	b := setup(t, 100, 30, nil)
	b.press("2", "/", "text:state:FAILED", "enter")
	before := b.text()
	b.m, _ = b.m.tell(page.TasksLoaded{LoadTasks: page.LoadTasks{Gen: 0}, Page: models.TaskPage{Total: 9}})
	if got := b.text(); got != before {
		t.Error(cmp.Diff(before, got))
	}
}

func TestSortingGoesRoundTheColumns(t *testing.T) {
	b := setup(t, 160, 40, nil)
	b.press("2")
	for _, want := range []string{"by state", "by id", "by pool", "by priority", "longest wait first", "longest run first", "newest first"} {
		b.press("s")
		b.shows(want)
	}
	b.press("S")
	b.shows("oldest first", "task-18801")
}

func TestALogFollowsSearchesAndDoesNoHarm(t *testing.T) {
	b := setup(t, 120, 40, nil)
	b.press("2", "l")
	b.shows("progress 100%", "result of task-20000 written", "complete")
	b.hides("progress 10%", "owned")
	b.press("/", "text:missing", "enter")
	b.shows("日本語のパス /データ/入力.exr")
	if strings.Contains(b.m.View(), "\x1b[33m") || strings.Contains(b.m.View(), "\x1b]") {
		t.Error("the log's escapes reached the screen")
	}
	b.press("g")
	b.shows("frame 000 of 060")
	b.press("f")
	b.shows("result of task-20000 written")
	b.press("esc", "esc", "esc")
	b.shows("all tasks, newest first")
}

func TestAFloodOfOutputIsBounded(t *testing.T) {
	b := setup(t, 100, 30, nil)
	b.press("2", "l")
	line := strings.Repeat("x", 99) + "\n"
	for range 60 {
		b.m, _ = b.m.tell(page.LogChunk{OpenLog: page.OpenLog{Gen: 1}, Data: []byte(strings.Repeat(line, 600))})
	}
	b.shows("36,063 lines", "older lines left out here")
}

func TestClicksAndTheWheelDoWhatKeysDo(t *testing.T) {
	b := setup(t, 120, 35, nil)
	click := func(text string) {
		t.Helper()
		for y, line := range strings.Split(b.text(), "\n") {
			if x := strings.Index(line, text); x >= 0 {
				x = len([]rune(line[:x]))
				b.send(stamped{tea.MouseMsg{X: x, Y: y, Button: tea.MouseButtonLeft, Action: tea.MouseActionPress}, b.now})
				return
			}
		}
		t.Fatalf("%q is not on the screen", text)
	}
	click("2 Tasks")
	b.shows("newest first")
	click("task-19996")
	b.shows("5 of 1,200")
	b.now = b.now.Add(200 * time.Millisecond)
	click("task-19996")
	b.shows("Esc closes")
	b.press("esc")
	b.send(tea.MouseMsg{X: 5, Y: 10, Button: tea.MouseButtonWheelDown, Action: tea.MouseActionPress})
	b.shows("8 of 1,200")
	click("STATE")
	b.shows("by state")
	click("4 Pools")
	click("mail paused")
	b.shows("why mail wants")
	b.press("x")
	b.press("1")
	click("FAILED")
	b.shows("state:FAILED")
}

func TestPoolsAreChangedOnlyAfterAQuestion(t *testing.T) {
	b := setup(t, 120, 40, nil)
	b.press("4", "j", "m", "tab", "backspace", "backspace", "text:x", "enter")
	b.shows(`max: "x" is not a whole number`)
	b.press("backspace", "text:12", "enter")
	b.shows("Change pool render?", "max 24 → 12")
	b.press("y")
	b.shows("pool render: min 1, max 12, predictive")
	b.press("p")
	b.shows("Pause pool render?")
	b.press("y")
	b.shows("paused: no task starts")
	b.press("o")
	for range len("predictive") {
		b.press("backspace")
	}
	b.press("text:greedy", "enter")
	b.shows(`"greedy" is not predictive`)
	if diff := cmp.Diff([]string{"set render", "set render"}, b.src.Calls()); diff != "" {
		t.Error(diff)
	}
}

func TestADecisionOpensToItsArithmetic(t *testing.T) {
	b := setup(t, 120, 40, nil)
	b.press("4", "j", "enter", "j", "enter")
	b.shows("now asks", "it asks", "gate", "scale in: ", "P50", "wanted", "in words")
	b.press("esc", "esc")
	b.shows("Enter moves in here")
}

func TestTheForecastIsComparedWithWhatCame(t *testing.T) {
	b := setup(t, 120, 40, nil)
	b.press("3")
	b.shows("host.cpu", "actual", "P50 60 s before", "P10-P90", "lstm best", "holtwinters", "MASE", "18 % below", "missed by")
	b.press(">")
	b.shows("P50 70 s before")
	b.press("<", "<")
	b.shows("P50 50 s before")
	b.press("right")
	b.shows("step 60 s (2 of 2)")
	b.press("down", "down", "down")
	b.shows("host.network ▲ drifts")
}

func TestALogThatHadEndedFollowsTheNextAttempt(t *testing.T) {
	b := setup(t, 120, 40, nil)
	b.press("2", "enter")
	b.shows("complete")
	gen := b.m.logOf.Gen
	task := models.Task{TaskSpec: models.NewTaskSpec(), State: models.Running, Attempt: 2}
	task.TaskID = "task-20000"
	task.StartedAt = &b.now
	var cmd tea.Cmd
	b.m, cmd = b.m.tell(page.TaskLoaded{LoadTask: page.LoadTask{ID: "task-20000"}, Task: task})
	if cmd == nil || b.m.logOf.Gen != gen+1 {
		t.Errorf("the log of %+v is followed", b.m.logOf)
	}
	b.m, _ = b.m.tell(page.TaskLoaded{LoadTask: page.LoadTask{ID: "task-20000"}, Task: task})
	if b.m.logOf.Gen != gen+1 {
		t.Error("the same attempt is opened twice")
	}
}
