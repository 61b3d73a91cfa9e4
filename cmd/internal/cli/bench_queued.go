package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"loadstar/cmd/internal/app"
	"loadstar/models"
)

func (a *program) benchQueued(cmd *cobra.Command, queued int, parent, format string) error {
	for _, name := range []string{"tasks", "exec", "telemetry", "slots", "rate"} {
		if cmd.Flags().Changed(name) {
			return usage("--%s says nothing about --queued", name)
		}
	}
	bar := a.progress()
	r, err := a.deps.BenchQueued(cmd.Context(), app.QueuedOptions{Queued: queued, Parent: parent, Progress: bar.to})
	bar.end()
	var bad *models.FieldError
	switch {
	case errors.As(err, &bad):
		return usage("%w", err)
	case err != nil:
		return err
	}
	return a.print(view{json: r, table: func(p *page) { benchQueuedTable(p, &r) }}, output{format: format}, true)
}

func benchQueuedTable(p *page, r *app.QueuedResult) {
	p.line("%d tasks queued, every change synced, on %s", r.Queued, plural(r.CPUs, "CPU"))
	p.line("")
	p.pair("memory", fmt.Sprintf("%.0f MiB with the queue filled, %.0f MiB after the restart, %.0f MiB at most", r.FilledRSSMB, r.RestartedRSSMB, r.PeakRSSMB))
	p.pair("dispatch", fmt.Sprintf("%.0f tasks/s, %.0f with %d queued: %.2f times as fast", r.ManyPerS, r.FewPerS, r.FewQueued, r.DispatchRatio))
	p.pair("restart", fmt.Sprintf("%.2f s until it answers, with %.2f s of CPU", r.RestartS, r.RestartCPUS))
	p.pair("ls", fmt.Sprintf("%.2f ms a page", r.LsPageMS))
	p.pair("submit", fmt.Sprintf("%.0f tasks/s while the queue was filled", r.SubmitPerS))
}
