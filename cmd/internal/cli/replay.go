package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"loadstar/cmd/internal/app"
	"loadstar/collector/ingest"
	"loadstar/models"
	"loadstar/scheduler/simulate"
)

// replayFlags are the flags of replay.
type replayFlags struct {
	policies, service string
	meanBusy          float64
	warmup            string
	bin               time.Duration
	plot, generate    string
	cfg               simulate.Config
	given             func(flag string) bool
}

func (a *program) replayCmd() *cobra.Command {
	var o output
	f := replayFlags{}
	cmd := &cobra.Command{
		Use:   "replay TRACE.csv",
		Short: "What each policy would have cost on a recorded trace, in virtual time",
		Long: `Runs the real scheduler and the real sizing rule over a recorded trace in virtual
time, with workers that take a cold start to come up, once for each policy, and
compares waits and worker-hours. A verdict on whether prediction pays comes first.

The trace is a timestamp,value file of requests counted a step, or a job log
submit_s,duration_s. No daemon is needed. --generate office prints a made-up trace of
two weeks of office hours with a burst each hour, to replay.`,
		Example: `  loadstar replay requests.csv --cold-start 180s
  loadstar replay jobs.csv --policies predictive,reactive,oracle --sweep --at-violations 1 --plot frontier.png
  loadstar replay --generate office > office.csv`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, files []string) error {
			if err := o.check(); err != nil {
				return err
			}
			f.given = cmd.Flags().Changed
			switch {
			case f.generate != "" && len(files) == 0:
				return generate(a.out, f.generate, f.cfg.Seed)
			case (f.generate == "") != (len(files) == 1):
				return usage("replay takes one trace, or --generate and none")
			}
			return a.replay(cmd, o, &f, files[0])
		},
	}
	o.flags(cmd, false)
	fl := cmd.Flags()
	fl.StringVar(&f.policies, "policies", strings.Join(simulate.Policies(), ","), "`LIST` of policies")
	fl.DurationVar(&f.cfg.ColdStart, "cold-start", 180*time.Second, "from a worker's start until it is ready; drawn from 0.8 to 1.2 times that")
	fl.DurationVar(&f.cfg.SLO, "slo", 10*time.Second, "the wait that is aimed at")
	fl.StringVar(&f.service, "service", "8s", "mean run `TIME[,CV]` of a task, lognormal (default CV 0.5); a job log has its own unless this is given")
	fl.Float64Var(&f.meanBusy, "mean-busy", 8, "scale the trace so that so many `WORKERS` are busy on average (a job log only where given); 0 leaves it")
	fl.StringVar(&f.warmup, "warmup", "50%", "`SHARE` of the trace that is only learnt from")
	fl.BoolVar(&f.cfg.Sweep, "sweep", false, "look for each policy's cheapest setting within --at-violations")
	fl.Float64Var(&f.cfg.AtViolations, "at-violations", 1, "`PERCENT` of the tasks that may wait longer than --slo")
	fl.DurationVar(&f.bin, "bin", time.Minute, "`STEP` of the forecast, and of the counts of a job log")
	fl.DurationVar(&f.cfg.Interval, "interval", 15*time.Second, "`TIME` between two decisions")
	fl.IntVar(&f.cfg.Min, "min", 0, "workers at least")
	fl.IntVar(&f.cfg.Max, "max", 0, "workers at most (default: four times what the busiest step needs)")
	fl.Uint64Var(&f.cfg.Seed, "seed", 1, "of the random numbers")
	fl.IntVar(&f.cfg.SweepRuns, "sweep-runs", 8, "runs of each policy with --sweep")
	fl.IntVar(&f.cfg.Parallel, "parallel", min(2, runtime.GOMAXPROCS(0)), "policies replayed at once")
	fl.StringVar(&f.plot, "plot", "", "draw cost against late tasks into `FILE` (.png, .svg or .pdf), a line a policy with --sweep")
	fl.StringVar(&f.generate, "generate", "", "print the made-up trace `NAME` (office) and replay nothing")
	return cmd
}

// officeDays are two weeks, so that half of them are left to learn from.
const officeDays = 14

func generate(out io.Writer, name string, seed uint64) error {
	if name != "office" {
		return usage("--generate: %q is not office", name)
	}
	w := bufio.NewWriter(out)
	fmt.Fprintln(w, "timestamp,value")
	at := simulate.OfficeStart()
	for _, n := range simulate.Office(officeDays, seed) {
		fmt.Fprintf(w, "%s,%s\n", at.Format(time.RFC3339), exact(n))
		at = at.Add(time.Minute)
	}
	return w.Flush()
}

func (a *program) replay(cmd *cobra.Command, o output, f *replayFlags, file string) error {
	if err := f.check(); err != nil {
		return err
	}
	w, err := f.workload(file)
	if err != nil {
		return err
	}
	f.cfg.Trace = filepath.Base(file)
	f.cfg.NewForecaster = app.NewReplayForecaster
	if width, ok := terminal(a.err); ok && width > 40 {
		f.cfg.Progress = func(done, all int, policy string) {
			end := "\r"
			if done == all {
				end = "\r\x1b[K"
			}
			fmt.Fprintf(a.err, "\r\x1b[K%d of %d replays done (%s)%s", done, all, policy, end)
		}
	}
	r, err := simulate.Run(cmd.Context(), f.cfg, w)
	if err != nil {
		return err
	}
	if f.plot != "" {
		if err := app.PlotFrontier(f.plot, &r); err != nil {
			return err
		}
	}
	v := replayView(&r)
	return a.print(v, o, true)
}

func (f *replayFlags) check() (err error) {
	if f.cfg.Warmup, err = share(f.warmup); err != nil {
		return usage("--warmup: %w", err)
	}
	if f.cfg.Warmup == 0 { // which would be the default
		f.cfg.Warmup = -1
	}
	f.cfg.Policies = strings.FieldsFunc(f.policies, func(r rune) bool { return r == ',' || r == ' ' })
	switch ending := strings.ToLower(filepath.Ext(f.plot)); {
	case f.plot != "" && !slices.Contains(app.FrontierFormats(), ending):
		return usage("--plot: %q does not end in %s", f.plot, strings.Join(app.FrontierFormats(), ", "))
	case f.bin < time.Second:
		return usage("--bin: %s is shorter than 1s", f.bin)
	case !(f.meanBusy >= 0 && f.meanBusy <= 1e6): // NaN too
		return usage("--mean-busy: %v is not a number of workers", f.meanBusy)
	}
	for name, d := range map[string]time.Duration{"cold-start": f.cfg.ColdStart, "slo": f.cfg.SLO} {
		if d <= 0 { // zero would be the default, too
			return usage("--%s: %s is not positive", name, d)
		}
	}
	var bad *models.FieldError
	if err := f.cfg.Validate(); errors.As(err, &bad) {
		return usage("--%s: %s", strings.ReplaceAll(bad.Field, "_", "-"), bad.Problem)
	}
	return err
}

// workload reads the trace.
func (f *replayFlags) workload(name string) (*simulate.Workload, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, usage("%w", err)
	}
	defer func() { _ = file.Close() }()
	service, err := parseService(f.service)
	if err != nil {
		return nil, usage("--service: %w", err)
	}
	r := bufio.NewReader(file)
	line, err := r.Peek(1024)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if first, _, _ := strings.Cut(string(line), "\n"); ingest.IsJobLog(first) {
		return f.jobs(r, name, service)
	}
	t, err := ingest.ReadCSV(r, name)
	if err != nil {
		return nil, err
	}
	return f.counts(t.Points, t.Step(), service)
}

// jobs replays a job log with its own run times, or as counts where --service is given.
func (f *replayFlags) jobs(r io.Reader, name string, service simulate.Service) (*simulate.Workload, error) {
	log, err := ingest.ReadJobs(r, name)
	if err != nil {
		return nil, err
	}
	start := time.Date(2000, 1, 3, 0, 0, 0, 0, time.UTC) // a Monday; a job log does not say when it began
	if f.given("service") {
		return f.counts(ingest.Bin(log, start, f.bin), f.bin, service)
	}
	jobs := make([]simulate.Job, len(log))
	for i, j := range log {
		jobs[i] = simulate.Job{At: time.Duration(j.SubmitS * float64(time.Second)), Run: time.Duration(j.DurationS * float64(time.Second))}
	}
	busy := 0.0
	if f.given("mean-busy") {
		busy = f.meanBusy
	}
	return simulate.FromJobs(start, f.bin, jobs, busy, f.cfg.Seed)
}

// counts puts points on a grid of --bin, or of their own step where that is longer.
func (f *replayFlags) counts(points []models.Point, step time.Duration, service simulate.Service) (*simulate.Workload, error) {
	if len(points) == 0 || step <= 0 {
		return nil, models.Invalid("trace", "there is no value in it")
	}
	bin := max(f.bin, step)
	start := points[0].At
	n := int64(points[len(points)-1].At.Sub(start)/bin) + 1
	if n > ingest.MaxBins {
		return nil, usage("--bin: %d steps of %s are too many", n, bin)
	}
	counts := make([]float64, n)
	for _, p := range points {
		if p.Value > 0 {
			counts[p.At.Sub(start)/bin] += p.Value
		}
	}
	return simulate.FromCounts(start, bin, counts, service, f.meanBusy, f.cfg.Seed)
}

func parseService(text string) (simulate.Service, error) {
	mean, cv, found := strings.Cut(text, ",")
	d, err := models.ParseDuration(mean)
	if err != nil {
		return simulate.Service{}, err
	}
	s := simulate.Service{Mean: d.Std()}
	if s.Mean < time.Millisecond {
		return s, fmt.Errorf("%s is shorter than 1ms", s.Mean)
	}
	if found {
		s.CV, err = strconv.ParseFloat(strings.TrimSpace(cv), 64)
		if err != nil || !(s.CV >= 0 && s.CV <= 20) {
			return s, fmt.Errorf("%q is not a coefficient of variation between 0 and 20", cv)
		}
		if s.CV == 0 {
			s.CV = -1
		}
	}
	return s, nil
}

// share reads "50%" or "0.5".
func share(text string) (float64, error) {
	number, percent := strings.CutSuffix(strings.TrimSpace(text), "%")
	v, err := strconv.ParseFloat(number, 64)
	if percent {
		v /= 100
	}
	if err != nil || !(v >= 0 && v < 1) {
		return 0, fmt.Errorf("%q is not a share such as 50%% or 0.5", text)
	}
	return v, nil
}

func replayView(r *simulate.Report) view {
	head := []string{
		"trace", "cold_start_s", "policy", "knob_name", "knob", "met", "violations_pct", "wait_p50_s", "wait_p95_s", "wait_p99_s", "wait_max_s",
		"worker_hours", "busy_hours", "starts", "under_pct", "over_pct", "under_by_pct", "over_by_pct", "gate_pct", "tasks",
	}
	rows := r.Policies
	if len(r.Frontier) > 0 {
		rows = r.Frontier
	}
	v := view{json: r, head: head, table: func(p *page) { replayTable(p, r) }}
	for i := range rows {
		c := &rows[i]
		v.rows = append(v.rows, []string{
			r.Trace, exact(r.ColdStartS), c.Policy, c.KnobName, exact(c.Knob), strconv.FormatBool(c.Met), exact(c.ViolationsPct), exact(c.WaitP50S),
			exact(c.WaitP95S), exact(c.WaitP99S), exact(c.WaitMaxS), exact(c.WorkerHours), exact(c.BusyHours), strconv.Itoa(c.Starts),
			exact(c.UnderPct), exact(c.OverPct), exact(c.UnderShortPct), exact(c.OverByPct), exact(c.GatePct), strconv.Itoa(c.Tasks),
		})
	}
	return v
}

func replayTable(p *page, r *simulate.Report) {
	p.line("%s", r.Verdict.Text)
	p.line("")
	p.line("%s: %s replayed after %s of warm-up, on average %.1f and at most %.1f workers busy, tasks of %s.",
		clean(r.Trace), seconds(r.ReplayedS), seconds(r.WarmupS), r.MeanBusy, r.PeakBusy, seconds(r.ServiceS))
	if r.Verdict.Model != "" && r.Verdict.Coverage != nil {
		p.line("The forecast was mostly %s's; %.0f %% of the loads fell within P10 to P90 (80 %% is right).", r.Verdict.Model, 100**r.Verdict.Coverage)
	}
	if r.Swept {
		p.line("Each policy with its cheapest setting of those tried that leaves %.3g %% of the tasks waiting more than %s.", r.AtPct, seconds(r.SLOS))
	}
	p.line("")
	columns := []column{
		{name: "POLICY"},
		{name: "KNOB", spare: 2},
		{name: "LATE %", right: true},
		{name: "P50", right: true, spare: 4},
		{name: "P95", right: true},
		{name: "P99", right: true, spare: 3},
		{name: "WORKER-H", right: true},
		{name: "STARTS", right: true, spare: 1},
		{name: "UNDER %", right: true, spare: 5},
		{name: "OVER BY %", right: true, spare: 6},
		{name: "GATE %", right: true, spare: 7},
	}
	rows := make([][]string, 0, len(r.Policies))
	for i := range r.Policies {
		c := &r.Policies[i]
		late := fmt.Sprintf("%.2f", c.ViolationsPct)
		if r.Swept && !c.Met {
			late += " (not met)"
		}
		gate := "-"
		if c.Policy == simulate.Predictive || c.Policy == simulate.Ours {
			gate = fmt.Sprintf("%.0f", c.GatePct)
		}
		rows = append(rows, []string{
			c.Policy, fmt.Sprintf("%s %.3g", c.KnobName, c.Knob), late, seconds(c.WaitP50S), seconds(c.WaitP95S), seconds(c.WaitP99S),
			fmt.Sprintf("%.1f", c.WorkerHours), strconv.Itoa(c.Starts), fmt.Sprintf("%.1f", c.UnderPct), fmt.Sprintf("%.0f", c.OverByPct), gate,
		})
	}
	p.table(columns, rows)
	if i := slices.IndexFunc(r.Policies, func(c simulate.Result) bool { return c.Policy == simulate.Predictive }); i >= 0 {
		p.line("")
		p.line("%s", compared(r, &r.Policies[i]))
	}
}

// compared says in a sentence how ours did against the best rival.
func compared(r *simulate.Report, ours *simulate.Result) string {
	var best, oracle *simulate.Result
	for i := range r.Policies {
		c := &r.Policies[i]
		switch {
		case c.Policy == simulate.Oracle:
			oracle = c
		case c.Policy == simulate.Predictive || c.Policy == simulate.Ours || c.Policy == simulate.Static || !c.Met:
		case best == nil || c.WorkerHours < best.WorkerHours:
			best = c
		}
	}
	switch {
	case !ours.Met:
		return fmt.Sprintf("predictive left %.2f %% late, more than %.3g %%, so it is not compared.", ours.ViolationsPct, r.AtPct)
	case best == nil:
		return fmt.Sprintf("No reactive policy kept to %.3g %% late; predictive did, with %.1f worker-hours.", r.AtPct, ours.WorkerHours)
	}
	d := 100 * (ours.WorkerHours/best.WorkerHours - 1)
	text := fmt.Sprintf("predictive took %.1f %% more worker-hours than the best rival that kept to %.3g %% late, %s", d, r.AtPct, best.Policy)
	if d < 0 {
		text = fmt.Sprintf("predictive took %.1f %% fewer worker-hours than the best rival that kept to %.3g %% late, %s", -d, r.AtPct, best.Policy)
	}
	if oracle != nil && best.WorkerHours > oracle.WorkerHours {
		text += fmt.Sprintf("; that closes %.0f %% of its gap to the oracle", 100*(best.WorkerHours-ours.WorkerHours)/(best.WorkerHours-oracle.WorkerHours))
	}
	return text + "."
}
