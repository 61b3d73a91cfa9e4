package cli

import (
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"loadstar/models"
)

func (a *program) lsCmd() *cobra.Command {
	var o output
	var f filter
	var limit int
	var oldest bool
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List tasks, newest first",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			tf, err := f.filter()
			if err != nil {
				return err
			}
			if limit < 0 {
				return usage("--limit: %d is negative", limit)
			}
			tf.Limit, tf.Oldest = limit, oldest
			return a.show(cmd, o, func(ctx context.Context, b Backend) (view, error) {
				page, err := allTasks(ctx, b, tf)
				return tasksView(page.Tasks, page.Total), err
			})
		},
	}
	o.flags(cmd, true)
	f.flags(cmd, false)
	cmd.Flags().IntVar(&limit, "limit", 100, "at most `N` tasks; 0 is all")
	cmd.Flags().BoolVar(&oldest, "oldest", false, "oldest first")
	return cmd
}

// pageSize is what is asked for at a time.
const pageSize = 1000

// allTasks follows the pages up to f.Limit; 0 is to their end.
func allTasks(ctx context.Context, b Backend, f models.TaskFilter) (models.TaskPage, error) {
	limit := f.Limit
	out := models.TaskPage{Tasks: []models.Task{}}
	for {
		f.Limit = pageSize
		if limit > 0 {
			f.Limit = min(pageSize, limit-len(out.Tasks))
		}
		page, err := b.Tasks(ctx, f)
		if err != nil {
			return out, err
		}
		out.Tasks, out.Total = append(out.Tasks, page.Tasks...), page.Total
		if page.Next == "" || limit > 0 && len(out.Tasks) >= limit {
			return out, nil
		}
		f.Cursor = page.Next
	}
}

// tasksView is a listing of total tasks, of which these are shown.
func tasksView(tasks []models.Task, total int) view {
	if tasks == nil {
		tasks = []models.Task{}
	}
	rows := make([][]string, len(tasks))
	for i := range tasks {
		rows[i] = taskRow(&tasks[i])
	}
	return view{
		json: tasks,
		head: []string{"task_id", "state", "pool", "priority", "attempt", "agent", "submitted_at", "started_at", "finished_at", "wait_ms", "run_ms", "exit_code", "error"},
		rows: rows,
		table: func(p *page) {
			if len(tasks) == 0 {
				p.line("no tasks")
				return
			}
			p.tasks(tasks)
			if total > len(tasks) {
				p.line("%d of %d; --limit 0 lists all", len(tasks), total)
			}
		},
	}
}

// taskRow is a task in the contract's CSV.
func taskRow(t *models.Task) []string {
	ms := func(d time.Duration, ok bool) string {
		if !ok {
			return ""
		}
		return strconv.FormatFloat(float64(d.Microseconds())/1000, 'f', -1, 64)
	}
	return []string{
		t.TaskID, string(t.State), t.Pool, t.Priority.String(), strconv.Itoa(t.Attempt), t.Agent,
		stamp(&t.SubmittedAt), stamp(t.StartedAt), stamp(t.FinishedAt), ms(t.Wait()), ms(t.RunTime()), exitText(t.ExitCode), t.Error,
	}
}

func (p *page) tasks(tasks []models.Task) {
	columns := []column{
		{name: "TASK"},
		{name: "STATE", color: stateColor},
		{name: "WHY", spare: 3},
		{name: "POOL", spare: 5},
		{name: "PRIORITY", spare: 7},
		{name: "TRY", right: true, spare: 6},
		{name: "SUBMITTED", spare: 2},
		{name: "WAIT", right: true, spare: 4},
		{name: "RUN", right: true, spare: 1},
		{name: "EXIT", right: true, spare: 8},
		{name: "WHAT", flex: true},
	}
	rows := make([][]string, len(tasks))
	for i := range tasks {
		t := &tasks[i]
		rows[i] = []string{
			t.TaskID, string(t.State), string(t.Reason), t.Pool, t.Priority.String(), strconv.Itoa(t.Attempt), p.clock(t.SubmittedAt),
			p.waited(t), p.ran(t), exitText(t.ExitCode), what(t),
		}
	}
	p.table(columns, rows)
}

// waited is the time to the start, so far where it has not come.
func (p *page) waited(t *models.Task) string {
	if d, ok := t.Wait(); ok {
		return span(d)
	}
	if t.State.Final() {
		return ""
	}
	return span(max(0, p.now.Sub(t.SubmittedAt)))
}

// ran is the time from the start to the end, so far where it has not come.
func (p *page) ran(t *models.Task) string {
	if d, ok := t.RunTime(); ok {
		return span(d)
	}
	if t.State == models.Running && t.StartedAt != nil {
		return span(max(0, p.now.Sub(*t.StartedAt)))
	}
	return ""
}

func what(t *models.Task) string {
	if t.State == models.Failed && t.Error != "" {
		return t.Error
	}
	if t.Progress != nil {
		return t.Progress.String() + ": " + t.TaskSpec.String()
	}
	return t.TaskSpec.String()
}
