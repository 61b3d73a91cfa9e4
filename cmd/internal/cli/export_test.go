package cli

import (
	"time"

	"github.com/spf13/cobra"

	"loadstar/models"
)

// Root is the tree of commands.
func Root(d Deps) *cobra.Command {
	a := &program{deps: d.withDefaults()}
	return a.root()
}

// Table is the listing of tasks as a terminal of some width shows it.
func Table(width int, now time.Time, tasks []models.Task) string {
	p := &page{width: width, now: now}
	tasksView(tasks, len(tasks)).table(p)
	return p.text.String()
}
