package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"loadstar/models"
)

func (a *program) agentsCmd() *cobra.Command {
	var o output
	cmd := &cobra.Command{
		Use:   "agents",
		Short: "Agents: capabilities, slots, load scores, last heard",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.show(cmd, o, func(ctx context.Context, b Backend) (view, error) {
				agents, err := b.Agents(ctx)
				if err != nil {
					return view{}, err
				}
				return agentsView(agents), nil
			})
		},
	}
	o.flags(cmd, true)
	return cmd
}

func agentsView(agents []models.Agent) view {
	if agents == nil {
		agents = []models.Agent{}
	}
	v := view{
		json: agents,
		head: []string{"id", "host", "state", "capabilities", "slots", "busy", "load_score", "cpu", "memory", "io", "last_heard"},
	}
	for i := range agents {
		g := &agents[i]
		v.rows = append(v.rows, []string{
			g.ID, g.Host, g.State, strings.Join(g.Capabilities, " "), strconv.Itoa(g.Slots), strconv.Itoa(g.Busy),
			exact(g.LoadScore), exact(g.CPU), exact(g.Memory), exact(g.IO), stamp(&g.LastHeard),
		})
	}
	v.table = func(p *page) {
		rows := make([][]string, len(agents))
		for i := range agents {
			g := &agents[i]
			heard := "-"
			if !g.LastHeard.IsZero() {
				heard = span(max(0, p.now.Sub(g.LastHeard))) + " ago"
			}
			rows[i] = []string{
				g.ID, g.State, fmt.Sprintf("%d/%d", g.Busy, g.Slots), fmt.Sprintf("%.2f", g.LoadScore),
				percent(g.CPU), percent(g.Memory), percent(g.IO), heard, orDash(strings.Join(g.Capabilities, ",")),
			}
		}
		p.table([]column{
			{name: "AGENT"},
			{name: "STATE"},
			{name: "BUSY", right: true},
			{name: "LOAD", right: true},
			{name: "CPU", right: true, spare: 2},
			{name: "MEMORY", right: true, spare: 3},
			{name: "IO", right: true, spare: 4},
			{name: "HEARD", right: true, spare: 1},
			{name: "CAPABILITIES", flex: true},
		}, rows)
	}
	return v
}

// percent is a share of 0 to 1.
func percent(share float64) string { return fmt.Sprintf("%.0f%%", 100*share) }
