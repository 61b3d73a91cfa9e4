package page

import (
	"errors"
	"fmt"

	"loadstar/models"
	"loadstar/tui/keys"
	"loadstar/tui/widget"
)

// namesShown is how many of the tasks a question names; the rest it counts.
const namesShown = 6

// targets are the tasks that an action is about: all that the filter selects, or
// the marked ones, or the one under the cursor.
func (t Tasks) targets() (sel models.Selection, known []models.Task, count int) {
	switch {
	case t.all && t.narrowed(): // the daemon does not know what the screen looks at
		for i := range t.rows {
			sel.IDs = append(sel.IDs, t.rows[i].TaskID)
		}
		return sel, t.rows, len(sel.IDs)
	case t.all:
		f := t.filter.TaskFilter
		f.Limit, f.Cursor = 0, ""
		return models.Selection{Filter: &f}, t.rows, t.total
	case len(t.marks) > 0:
		sel.IDs = sortedKeys(t.marks)
		for i := range t.rows {
			if t.marks[t.rows[i].TaskID] {
				known = append(known, t.rows[i])
			}
		}
		return sel, known, len(sel.IDs)
	}
	if s := t.selected(); s != nil {
		return models.Selection{IDs: []string{s.TaskID}}, []models.Task{*s}, 1
	}
	return sel, nil, 0
}

// ask is the question before tasks are acted on: how many, and which.
func (t Tasks) ask(a keys.Action) (Page, []Request) {
	sel, known, count := t.targets()
	if count == 0 {
		return t, nil
	}
	var d Dialog
	switch a {
	case keys.Cancel:
		d = askCancel(sel, known, count)
	case keys.Retry:
		d = askRetry(sel, known, count)
	case keys.Priority:
		d = askPriority(sel, known)
	default:
		return t, nil
	}
	d.Lines = append(t.describe(known, count), d.Lines...)
	return t, []Request{Ask{Dialog: d.Open()}}
}

// describe counts and names.
func (t Tasks) describe(known []models.Task, count int) []string {
	var lines []string
	switch {
	case t.all && t.filter.Empty():
		lines = append(lines, fmt.Sprintf("All %s that there are:", plural(count, "task")))
	case t.all:
		lines = append(lines, fmt.Sprintf("All %s that match %s:", plural(count, "task"), widget.Clean(t.filter.String())))
	case count > 1:
		lines = append(lines, plural(count, "task")+":")
	}
	for i := range known[:min(len(known), namesShown)] {
		k := &known[i]
		name := widget.Clean(k.TaskID) + "  " + string(k.State)
		if what := widget.Clean(k.String()); what != "" {
			name += "  " + widget.Fit(what, 30, "")
		}
		lines = append(lines, name)
	}
	if rest := count - min(len(known), namesShown); rest > 0 {
		lines = append(lines, fmt.Sprintf("and %s more", widget.Count(rest)))
	}
	return append(lines, "")
}

func countIf(known []models.Task, is func(models.State) bool) int {
	n := 0
	for i := range known {
		if is(known[i].State) {
			n++
		}
	}
	return n
}

func askCancel(sel models.Selection, known []models.Task, count int) Dialog {
	d := Dialog{Title: "Cancel " + plural(count, "task") + "?", Yes: "Cancel " + plural(count, "task"), Alarm: true}
	if n := countIf(known, func(s models.State) bool { return s == models.Running }); n > 0 {
		d.Lines = append(d.Lines, atLeast(known, count)+isAre(n)+" running: SIGTERM first, then SIGKILL.")
	}
	if n := countIf(known, models.State.Final); n > 0 {
		d.Lines = append(d.Lines, atLeast(known, count)+isAre(n)+" final already and will be left alone.")
	}
	d.Then = func(Dialog) ([]Request, error) { return []Request{Cancel{Selection: sel}}, nil }
	return d
}

// atLeast says that not all of the tasks are known here.
func atLeast(known []models.Task, count int) string {
	if len(known) < count {
		return "At least "
	}
	return ""
}

func isAre(n int) string {
	if n == 1 {
		return "1 is"
	}
	return widget.Count(n) + " are"
}

func askRetry(sel models.Selection, known []models.Task, count int) Dialog {
	d := Dialog{
		Title: "Retry " + plural(count, "task") + "?", Yes: "Retry " + plural(count, "task"),
		Option: "also those cancelled because they depend on them",
	}
	retried := func(s models.State) bool { return s == models.Failed || s == models.Cancelled }
	if n := countIf(known, func(s models.State) bool { return !retried(s) }); n > 0 {
		d.Lines = append(d.Lines, atLeast(known, count)+isAre(n)+" neither FAILED nor CANCELLED and will be left alone.")
	}
	d.Then = func(d Dialog) ([]Request, error) {
		return []Request{Retry{Selection: sel, WithDependents: d.On}}, nil
	}
	return d
}

func askPriority(sel models.Selection, known []models.Task) Dialog {
	now := models.PriorityNormal
	if len(known) > 0 {
		now = known[0].Priority
	}
	return Dialog{
		Title:  "Set the priority",
		Yes:    "Set",
		Fields: []Field{{Label: "priority", Hint: "critical high normal low, 0-100", Input: NewInput(now.String())}},
		Then: func(d Dialog) ([]Request, error) {
			if d.Value(0) == "" {
				return nil, errors.New("a name or a number from 0 to 100")
			}
			p, err := models.ParsePriority(d.Value(0))
			if err != nil {
				return nil, err
			}
			return []Request{Prioritize{Selection: sel, Priority: p}}, nil
		},
	}
}
