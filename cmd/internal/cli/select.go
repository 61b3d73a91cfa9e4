package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"loadstar/models"
)

// filter are the flags that select tasks.
type filter struct {
	states []string
	pool   string
	labels []string
	text   string
	parent string
	dead   bool
	all    bool
}

func (f *filter) flags(cmd *cobra.Command, acting bool) {
	fl := cmd.Flags()
	fl.StringSliceVar(&f.states, "state", nil, "tasks in this `STATE` (several: repeat or commas)")
	fl.StringVar(&f.pool, "pool", "", "tasks of this `POOL`")
	fl.StringArrayVar(&f.labels, "label", nil, "tasks with this label, `KEY=VALUE` (several: all must match)")
	fl.BoolVar(&f.dead, "dead", false, "tasks that failed for good; the same as --state FAILED")
	fl.StringVar(&f.text, "text", "", "tasks with this `TEXT` in id, description or command")
	fl.StringVar(&f.parent, "parent", "", "shards of this task, `ID`")
	if acting {
		fl.BoolVar(&f.all, "all", false, "every task that the command can act on")
	}
	var names []string
	for _, s := range models.States() {
		names = append(names, string(s))
	}
	_ = cmd.RegisterFlagCompletionFunc("state", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp))
}

func (f *filter) filter() (models.TaskFilter, error) {
	out := models.TaskFilter{Pool: f.pool, Text: f.text, Parent: f.parent}
	for _, s := range f.states {
		state, err := models.ParseState(strings.TrimSpace(s))
		if err != nil {
			return out, usage("--%w", err)
		}
		out.States = append(out.States, state)
	}
	if f.dead && len(f.states) > 0 {
		return out, usage("--dead, --state: either one, not both")
	}
	if f.dead {
		out.States = []models.State{models.Failed}
	}
	labels, err := labelMap(f.labels)
	if err != nil {
		return out, err
	}
	out.Labels = labels
	return out, nil
}

// labelMap reads KEY=VALUE flags; nil where there are none.
func labelMap(flags []string) (map[string]string, error) {
	if len(flags) == 0 {
		return nil, nil //nolint:nilnil // no labels
	}
	out := make(map[string]string, len(flags))
	for _, l := range flags {
		k, v, ok := strings.Cut(l, "=")
		if !ok || k == "" {
			return nil, usage("--label: %q is not KEY=VALUE", l)
		}
		if _, twice := out[k]; twice {
			return nil, usage("--label: %q stands twice", k)
		}
		out[k] = v
	}
	return out, nil
}

// selection is what an acting command acts on: ids, or a filter, or --all, which
// stands for the states that the command can act on.
func (f *filter) selection(ids []string, actable ...models.State) (models.Selection, error) {
	tf, err := f.filter()
	if err != nil {
		return models.Selection{}, err
	}
	switch {
	case f.all && len(ids) > 0, len(ids) > 0 && !tf.Empty():
		return models.Selection{}, usage("either ids or filters, not both")
	case len(ids) > 0:
		return models.Selection{IDs: ids}, nil
	case tf.Empty() && !f.all:
		return models.Selection{}, usage("name tasks by id, by a filter (--state, --dead, --pool, --label, --text, --parent), or --all")
	}
	if len(tf.States) == 0 {
		tf.States = actable
	}
	return models.Selection{Filter: &tf}, nil
}

// acted prints what a bulk call did. A task that was named by its id and left
// alone is an error.
func (a *program) acted(o output, sel models.Selection, r models.BulkResult, done string) error {
	if r.Changed == nil {
		r.Changed = []string{}
	}
	switch o.format {
	case "json":
		if err := writeJSON(a.out, r, true); err != nil {
			return err
		}
	case "csv":
		rows := make([][]string, 0, len(r.Changed)+len(r.Refused))
		for _, id := range r.Changed {
			rows = append(rows, []string{id, "true", ""})
		}
		for _, x := range r.Refused {
			rows = append(rows, []string{x.TaskID, "false", x.Why})
		}
		if err := writeCSV(a.out, []string{"task_id", "changed", "why"}, rows, true); err != nil {
			return err
		}
	default:
		for _, id := range r.Changed {
			fmt.Fprintln(a.out, clean(id))
		}
	}
	if len(r.Refused) == 0 {
		if o.format == "table" {
			a.note("%s %s", done, plural(len(r.Changed), "task"))
		}
		return nil
	}
	if len(sel.IDs) == 0 {
		a.note("%s %s, left %d alone: the first, %s, %s", done, plural(len(r.Changed), "task"), len(r.Refused), r.Refused[0].TaskID, r.Refused[0].Why)
		return nil
	}
	for _, x := range r.Refused[1:] {
		a.note("task %s: %s", x.TaskID, x.Why)
	}
	first := r.Refused[0]
	if strings.Contains(first.Why, models.ErrNotFound.Error()) {
		return fmt.Errorf("task %s: %w", first.TaskID, models.ErrNotFound)
	}
	return fmt.Errorf("task %s: %s", first.TaskID, first.Why)
}
