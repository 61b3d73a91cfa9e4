package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"loadstar/models"
)

func (a *program) poolPlanCmd() *cobra.Command {
	var o output
	cmd := &cobra.Command{
		Use:   "plan NAME",
		Short: "What a pool's size is expected to be in the next hour, and why",
		Long: `Tells, minute by minute, how many workers a pool would have if what is expected now
comes true; the table leaves out minutes that change nothing. Decisions are made
anew all the time, so it is a forecast and no promise.`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, names []string) error {
			return a.show(cmd, o, func(ctx context.Context, b Backend) (view, error) {
				plan, err := b.Plan(ctx, names[0])
				if err != nil {
					return view{}, err
				}
				return planView(names[0], plan), nil
			})
		},
	}
	o.flags(cmd, true)
	return cmd
}

func planView(pool string, plan []models.PlanStep) view {
	if plan == nil {
		plan = []models.PlanStep{}
	}
	v := view{json: plan, head: []string{"pool", "at", "workers", "load", "why"}}
	for i := range plan {
		s := &plan[i]
		v.rows = append(v.rows, []string{pool, stamp(&s.At), strconv.Itoa(s.Workers), exact(s.Load), s.Why})
	}
	v.table = func(p *page) {
		if len(plan) == 0 {
			p.line("nothing is planned for pool %s", clean(pool))
			return
		}
		var rows [][]string
		for i := range plan {
			if s := &plan[i]; i == 0 || s.Workers != plan[i-1].Workers {
				rows = append(rows, []string{p.clock(s.At), strconv.Itoa(s.Workers), fmt.Sprintf("%.1f", s.Load), s.Why})
			}
		}
		p.table([]column{
			{name: "FROM"}, {name: "WORKERS", right: true}, {name: "BUSY EXPECTED", right: true, spare: 1}, {name: "WHY", flex: true},
		}, rows)
	}
	return v
}
