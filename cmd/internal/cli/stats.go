package cli

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"loadstar/models"
)

func (a *program) statsCmd() *cobra.Command {
	var o output
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Counts by state and pool, rates and latencies",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.show(cmd, o, func(ctx context.Context, b Backend) (view, error) {
				s, err := b.Stats(ctx)
				if err != nil {
					return view{}, err
				}
				return statsView(s), nil
			})
		},
	}
	o.flags(cmd, true)
	return cmd
}

func statsView(s models.Stats) view {
	if s.Pools == nil {
		s.Pools = []models.PoolCount{}
	}
	v := view{json: s, head: []string{"pool"}}
	columns := []column{{name: "POOL"}}
	for _, state := range models.States() {
		v.head = append(v.head, string(state))
		columns = append(columns, column{name: string(state), right: true})
	}
	counts := func(name string, tasks map[models.State]int) []string {
		row := []string{name}
		for _, state := range models.States() {
			row = append(row, strconv.Itoa(tasks[state]))
		}
		return row
	}
	for _, pool := range s.Pools {
		v.rows = append(v.rows, counts(pool.Name, pool.Tasks))
	}
	v.rows = append(v.rows, counts("", s.Tasks)) // the total has no pool
	v.table = func(p *page) {
		rows := make([][]string, 0, len(v.rows))
		for _, pool := range s.Pools {
			rows = append(rows, counts(pool.Name, pool.Tasks))
		}
		p.table(columns, append(rows, counts("all", s.Tasks)))
		p.line("")
		p.line("finished %s tasks/s, up for %s", figure(s.TasksPerS), seconds(s.UptimeS))
		quantiles := func(name string, q models.Quantiles) []string {
			return []string{name, seconds(q.P50 / 1000), seconds(q.P95 / 1000), seconds(q.P99 / 1000)}
		}
		p.table([]column{{name: "LATENCY"}, {name: "P50", right: true}, {name: "P95", right: true}, {name: "P99", right: true}},
			[][]string{quantiles("submit to start", s.SubmitToStart), quantiles("submit to done", s.SubmitToDone)})
	}
	return v
}
