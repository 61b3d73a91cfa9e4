package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"loadstar/cmd/internal/app"
	"loadstar/models"
)

func (a *program) benchCmd() *cobra.Command {
	var o app.BenchOptions
	format, queued := "table", 0
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Durable throughput and latency on this machine, from end to end",
		Long: `Durable throughput and latency on this machine, from end to end, in a temporary
state folder: the real journal, synced, and the real scheduler. First tasks are
submitted as fast as they are accepted, then one by one at a steady rate, by a client
over a unix socket.

The tasks do nothing, so that the queue alone is measured. With --exec each runs
/bin/true through the real agent, its output captured, and takes turns with xargs for
comparison. With --queued N tasks wait in a paused pool, and what so long a queue
costs is measured: memory, a page of a listing, a restart, the rate of dispatch.
No daemon is needed; one that runs takes its share of the machine.`,
		Example: `  loadstar bench
  loadstar bench --tasks 500000 -o json
  loadstar bench --queued 1000000
  loadstar bench --exec --state-dir-parent /var/lib`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != "table" && format != "json" {
				return usage("--output: %q is not table or json", format)
			}
			for _, name := range []string{"tasks", "slots", "rate", "rounds"} {
				if f := cmd.Flags().Lookup(name); f.Changed && f.Value.String() == "0" {
					return usage("--%s: 0 is not positive", name)
				}
			}
			if cmd.Flags().Changed("queued") {
				return a.benchQueued(cmd, queued, o.Parent, format)
			}
			bar := a.progress()
			o.Progress = bar.to
			r, err := a.deps.Bench(cmd.Context(), o)
			bar.end()
			var bad *models.FieldError
			switch {
			case errors.As(err, &bad):
				return usage("%w", err)
			case err != nil:
				return err
			}
			v := view{json: r, table: func(p *page) { benchTable(p, &r) }}
			if err := a.print(v, output{format: format}, true); err != nil {
				return err
			}
			if r.Filesystem == "tmpfs" || r.Filesystem == "ramfs" {
				a.note("the state folder was in memory (%s), where a sync costs nothing: name a disk by --state-dir-parent", r.Filesystem)
			}
			return nil
		},
	}
	fl := cmd.Flags()
	fl.IntVar(&o.Tasks, "tasks", 0, "`N` tasks as fast as they go (default 100000; with --exec 2000)")
	fl.BoolVar(&o.Exec, "exec", false, "run /bin/true through the real agent")
	fl.BoolVar(&o.Telemetry, "telemetry", false, "write telemetry too, to see what it costs")
	fl.IntVar(&o.Slots, "slots", 0, "`N` tasks at once (default 1000; with --exec twice the CPUs)")
	fl.IntVar(&o.Rounds, "rounds", 0, "with --exec: it and xargs take `N` turns each (default 5)")
	fl.IntVar(&o.PacedRate, "rate", 0, "`N` tasks a second in the paced phase (default 1000; with --exec 100)")
	fl.IntVar(&queued, "queued", 0, "measure what a queue of `N` tasks costs, and nothing else")
	fl.StringVar(&o.Parent, "state-dir-parent", "", "`FOLDER` for the temporary state folder (default the system's)")
	fl.StringVarP(&format, "output", "o", format, "`FORMAT`: table or json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func benchTable(p *page, r *app.BenchResult) {
	what := "tasks that do nothing"
	if r.Kind == "exec" {
		what = "times /bin/true"
	}
	p.line("%d %s, in batches of %d, %d at once, every change synced", r.Tasks, what, r.Batch, r.Slots)
	p.line("")
	p.pair("throughput", fmt.Sprintf("%.0f tasks/s, first submit to last durable end (%.2f s)", r.TasksPerS, r.Seconds))
	if r.XargsPerS > 0 {
		p.pair("xargs", fmt.Sprintf("%.0f tasks/s with -P %d, in %d turns each: this is %.2f times as fast", r.XargsPerS, r.XargsSlots, r.Rounds, r.Ratio))
	}
	p.pair("journal", fmt.Sprintf("%d commits, %.1f MB (%.0f B and %.4f commits a task)",
		r.Fsyncs, float64(r.JournalBytes)/1e6, float64(r.JournalBytes)/float64(r.Tasks), float64(r.Fsyncs)/float64(r.Tasks)))
	p.pair("cpu", fmt.Sprintf("%.1f s a million tasks, on %s", r.CPUSPerMillion, plural(r.CPUs, "CPU")))
	if d := r.Telemetry; d != nil {
		p.pair("telemetry", fmt.Sprintf("%d steps written, %d dropped", d.Written, d.Dropped))
	}
	p.pair("memory", fmt.Sprintf("%.0f MiB at most", r.PeakRSSMB))
	p.line("")
	p.line("%-34s %9s %9s %9s", "ms", "p50", "p95", "p99")
	row := func(name string, q models.Quantiles) { p.line("%-34s %9.2f %9.2f %9.2f", name, q.P50, q.P95, q.P99) }
	row("one commit", r.CommitMS)
	row("at full speed: submit to start", r.SubmitToStart)
	row("at full speed: submit to done", r.SubmitToDone)
	if d := r.Paced; d != nil {
		row(fmt.Sprintf("%d a second: submit to start", d.RatePerS), d.SubmitToStart)
		row(fmt.Sprintf("%d a second: submit to done", d.RatePerS), d.SubmitToDone)
	}
}
