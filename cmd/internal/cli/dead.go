package cli

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"loadstar/models"
)

func (a *program) deadCmd() *cobra.Command {
	var o output
	var f filter
	var limit int
	cmd := &cobra.Command{
		Use:   "dead",
		Short: "List the tasks that failed for good, newest first, and what became of each attempt",
		Long: `List the tasks that failed for good, newest first: their retries are spent, their
deadline passed, or they took too many workers down with them. Cancelled tasks are
not among them. "loadstar retry --dead" runs them again.`,
		Example: "  loadstar dead --pool gpu\n  loadstar retry --dead --pool gpu",
		Args:    args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.dead = true
			tf, err := f.filter()
			if err != nil {
				return err
			}
			if limit < 0 {
				return usage("--limit: %d is negative", limit)
			}
			tf.Limit = limit
			return a.show(cmd, o, func(ctx context.Context, b Backend) (view, error) {
				found, err := allTasks(ctx, b, tf)
				v := tasksView(found.Tasks, found.Total)
				v.table = func(p *page) { p.dead(found.Tasks, found.Total) }
				return v, err
			})
		},
	}
	o.flags(cmd, true)
	f.flags(cmd, false)
	cmd.Flags().IntVar(&limit, "limit", 100, "at most `N` tasks; 0 is all")
	for _, name := range []string{"state", "dead"} {
		_ = cmd.Flags().MarkHidden(name)
	}
	return cmd
}

func (p *page) dead(tasks []models.Task, total int) {
	if len(tasks) == 0 {
		p.line("no task has failed for good")
		return
	}
	rows := make([][]string, len(tasks))
	for i := range tasks {
		t := &tasks[i]
		failed := ""
		if t.FinishedAt != nil {
			failed = p.clock(*t.FinishedAt)
		}
		rows[i] = []string{t.TaskID, t.Pool, failed, strconv.Itoa(t.Attempt), outcomes(t.Attempts), exitText(t.ExitCode), what(t)}
	}
	p.table([]column{
		{name: "TASK"},
		{name: "POOL", spare: 4},
		{name: "FAILED", spare: 2},
		{name: "TRIES", right: true, spare: 5},
		{name: "ATTEMPTS", spare: 3},
		{name: "EXIT", right: true, spare: 1},
		{name: "WHY", flex: true},
	}, rows)
	if total > len(tasks) {
		p.line("%d of %d; --limit 0 lists all", len(tasks), total)
	}
}

// outcomes is how attempts ended, in few words: "3 FAILED, 1 LOST".
func outcomes(attempts []models.Attempt) string {
	var names []string
	counts := map[string]int{}
	for i := range attempts {
		o := attempts[i].Outcome
		if o == "" {
			continue
		}
		if !slices.Contains(names, o) {
			names = append(names, o)
		}
		counts[o]++
	}
	for i, o := range names {
		names[i] = strconv.Itoa(counts[o]) + " " + o
	}
	return strings.Join(names, ", ")
}
