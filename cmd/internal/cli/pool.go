package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"loadstar/models"
)

func (a *program) poolCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pool",
		Short: "Pools, and the reasons for their size",
		Args:  args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			return usage("which of ls, set, pause, resume, explain, plan, logs?")
		},
	}
	cmd.AddCommand(a.poolLsCmd(), a.poolSetCmd(), a.poolPauseCmd(true), a.poolPauseCmd(false), a.poolExplainCmd(), a.poolPlanCmd(), a.poolLogsCmd())
	return cmd
}

func (a *program) poolLsCmd() *cobra.Command {
	var o output
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List pools and how they stand",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.show(cmd, o, func(ctx context.Context, b Backend) (view, error) {
				pools, err := b.Pools(ctx)
				if err != nil {
					return view{}, err
				}
				return poolsView(pools), nil
			})
		},
	}
	o.flags(cmd, true)
	return cmd
}

func poolsView(pools []models.PoolStatus) view {
	if pools == nil {
		pools = []models.PoolStatus{}
	}
	v := view{
		json: pools,
		head: []string{
			"name", "kind", "policy", "min", "max", "ready", "busy", "starting", "wanted", "queued", "waiting",
			"oldest_wait_s", "cold_start_s", "prestarted", "service_s", "arrivals_per_s", "paused", "trouble", "dispatch",
		},
	}
	for i := range pools {
		s := &pools[i]
		v.rows = append(v.rows, []string{
			s.Name, string(s.Kind), string(s.Policy), strconv.Itoa(s.Min), strconv.Itoa(s.Max), strconv.Itoa(s.Ready), strconv.Itoa(s.Busy),
			strconv.Itoa(s.Starting), strconv.Itoa(s.Wanted), strconv.Itoa(s.Queued), strconv.Itoa(s.Waiting), exact(s.OldestWaitS),
			exact(s.ColdStartS), strconv.Itoa(s.Prestarted), exact(s.ServiceS), exact(s.ArrivalsPerS), strconv.FormatBool(s.Paused), s.Trouble,
			string(s.Dispatch),
		})
	}
	v.table = func(p *page) {
		rows := make([][]string, len(pools))
		for i := range pools {
			rows[i] = poolRow(&pools[i])
		}
		p.table([]column{
			{name: "POOL"},
			{name: "KIND", spare: 6},
			{name: "POLICY", spare: 3},
			{name: "DISPATCH", spare: 9},
			{name: "SIZE", right: true, spare: 4},
			{name: "WANT", right: true},
			{name: "READY", right: true},
			{name: "BUSY", right: true},
			{name: "STARTING", right: true, spare: 5},
			{name: "QUEUED", right: true},
			{name: "WAITING", right: true, spare: 7},
			{name: "ARRIVE/S", right: true, spare: 2},
			{name: "RUN", right: true, spare: 1},
			{name: "COLD", right: true, spare: 8},
			{name: "NOTE", flex: true},
		}, rows)
	}
	return v
}

func poolRow(s *models.PoolStatus) []string {
	note := s.Trouble
	if s.Paused {
		note = strings.TrimSuffix("paused; "+note, "; ")
	}
	cold := "-"
	if s.Kind == models.KindStdio {
		cold = seconds(s.ColdStartS)
	}
	return []string{
		s.Name, string(s.Kind), string(s.Policy), string(s.Dispatch), fmt.Sprintf("%d-%d", s.Min, s.Max), strconv.Itoa(s.Wanted), strconv.Itoa(s.Ready),
		strconv.Itoa(s.Busy), strconv.Itoa(s.Starting), strconv.Itoa(s.Queued), strconv.Itoa(s.Waiting), figure(s.ArrivalsPerS),
		seconds(s.ServiceS), cold, note,
	}
}

func (a *program) poolSetCmd() *cobra.Command {
	var o output
	var low, high int
	var policy, dispatch string
	var caps []string
	cmd := &cobra.Command{
		Use:     "set NAME",
		Short:   "Change a running pool; it outlives restarts",
		Example: "  loadstar pool set gpu --min 1 --max 4 --policy predictive\n  loadstar pool set gpu --dispatch two-choices --cap team=a:3 --cap user:2",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, names []string) error {
			var patch models.PoolPatch
			if cmd.Flags().Changed("min") {
				if low < 0 {
					return usage("--min: %d is negative", low)
				}
				patch.Min = &low
			}
			if cmd.Flags().Changed("max") {
				if high < 1 {
					return usage("--max: %d is less than 1", high)
				}
				patch.Max = &high
			}
			if cmd.Flags().Changed("policy") {
				p, err := oneOf("policy", policy, models.PoolPolicies())
				if err != nil {
					return err
				}
				patch.Policy = &p
			}
			if cmd.Flags().Changed("dispatch") {
				p, err := oneOf("dispatch", dispatch, models.DispatchPolicies())
				if err != nil {
					return err
				}
				patch.Dispatch = &p
			}
			var err error
			if patch.Caps, err = parseCaps(caps); err != nil {
				return err
			}
			if patch.Empty() {
				return usage("nothing to set: give --min, --max, --policy, --dispatch or --cap")
			}
			return a.setPool(cmd, o, names[0], patch)
		},
	}
	o.flags(cmd, false)
	cmd.Flags().IntVar(&low, "min", 0, "`N` workers kept, whatever the load")
	cmd.Flags().IntVar(&high, "max", 0, "`N` workers at most")
	cmd.Flags().StringVar(&policy, "policy", "", "how its size is chosen, `POLICY`: "+either(models.PoolPolicies()))
	cmd.Flags().StringVar(&dispatch, "dispatch", "", "how its tasks are given out, `POLICY`: "+either(models.DispatchPolicies()))
	cmd.Flags().StringArrayVar(&caps, "cap", nil, "at most N of its tasks with a label at once, `LABEL=VALUE:N`; LABEL:N is for each value by itself, and none as N takes it away (repeat)")
	_ = cmd.RegisterFlagCompletionFunc("policy", cobra.FixedCompletions(names(models.PoolPolicies()), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("dispatch", cobra.FixedCompletions(names(models.DispatchPolicies()), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// parseCaps reads caps as "team=a:3", "user:2" and "team=a:none".
func parseCaps(list []string) (map[string]int, error) {
	var caps map[string]int
	for _, text := range list {
		i := strings.LastIndexByte(text, ':')
		if i < 1 {
			return nil, usage("--cap: %q is not LABEL=VALUE:N or LABEL:N", text)
		}
		n, err := strconv.Atoi(text[i+1:])
		if text[i+1:] == "none" {
			n, err = 0, nil
		} else if err == nil && n < 1 {
			return nil, usage("--cap: %q: %d is less than 1 (none takes a cap away)", text, n)
		}
		if err != nil {
			return nil, usage("--cap: %q: %q is neither a number nor none", text, text[i+1:])
		}
		if caps == nil {
			caps = map[string]int{}
		}
		caps[text[:i]] = n
	}
	return caps, nil
}

func names[T ~string](all []T) []string {
	out := make([]string, len(all))
	for i, v := range all {
		out[i] = string(v)
	}
	return out
}

// either lists names as "a, b or c".
func either[T ~string](all []T) string {
	n := names(all)
	return strings.Join(n[:len(n)-1], ", ") + " or " + n[len(n)-1]
}

// oneOf is the one of all that a flag names, in any case.
func oneOf[T ~string](flag, text string, all []T) (T, error) {
	for _, v := range all {
		if strings.EqualFold(text, string(v)) {
			return v, nil
		}
	}
	return "", usage("--%s: %q is not one of %s", flag, text, strings.Join(names(all), ", "))
}

func (a *program) poolPauseCmd(pause bool) *cobra.Command {
	var o output
	name, short := "pause", "Start none of a pool's tasks; those that run go on"
	if !pause {
		name, short = "resume", "Start a paused pool's tasks again"
	}
	cmd := &cobra.Command{
		Use:   name + " NAME",
		Short: short,
		Args:  args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, names []string) error {
			return a.setPool(cmd, o, names[0], models.PoolPatch{Paused: &pause})
		},
	}
	o.flags(cmd, false)
	return cmd
}

func (a *program) setPool(cmd *cobra.Command, o output, name string, patch models.PoolPatch) error {
	return a.show(cmd, o, func(ctx context.Context, b Backend) (view, error) {
		s, err := b.SetPool(ctx, name, patch)
		if err != nil {
			return view{}, err
		}
		v := poolsView([]models.PoolStatus{s})
		v.json = s
		return v, nil
	})
}

func (a *program) poolExplainCmd() *cobra.Command {
	var o output
	var at string
	var limit int
	cmd := &cobra.Command{
		Use:   "explain NAME",
		Short: "Why a pool has its size: the decision, its inputs and its caps",
		Args:  args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, names []string) error {
			if limit < 1 {
				return usage("--limit: %d is less than 1", limit)
			}
			var when time.Time
			if at != "" {
				var err error
				if when, err = a.moment("--at", at, -1); err != nil {
					return err
				}
			}
			return a.show(cmd, o, func(ctx context.Context, b Backend) (view, error) {
				d, err := b.Decisions(ctx, names[0], when, limit)
				if err != nil {
					return view{}, err
				}
				return decisionsView(names[0], d), nil
			})
		},
	}
	o.flags(cmd, true)
	cmd.Flags().StringVar(&at, "at", "", "as decided at this `TIME`: RFC 3339, or back from now as 10m")
	cmd.Flags().IntVar(&limit, "limit", 1, "the newest `N` decisions")
	return cmd
}

func decisionsView(pool string, decisions []models.Decision) view {
	if decisions == nil {
		decisions = []models.Decision{}
	}
	v := view{
		json: decisions,
		head: []string{"pool", "at", "policy", "want", "reactive", "predicted", "gate", "applied", "caps", "reason"},
	}
	if len(decisions) == 1 {
		v.json = decisions[0]
	}
	for i := range decisions {
		d := &decisions[i]
		v.rows = append(v.rows, []string{
			d.Pool, stamp(&d.At), string(d.Policy), strconv.Itoa(d.Want), strconv.Itoa(d.Reactive), strconv.Itoa(d.Predicted),
			strconv.FormatBool(d.Gate), strconv.FormatBool(d.Applied), capsText(d.Caps), d.Reason,
		})
	}
	v.table = func(p *page) {
		switch len(decisions) {
		case 0:
			p.line("no decision about pool %s yet", clean(pool))
		case 1:
			p.decision(&decisions[0])
		default:
			p.decisions(decisions)
		}
	}
	return v
}

func capsText(caps []models.Cap) string {
	parts := make([]string, len(caps))
	for i, c := range caps {
		parts[i] = c.String()
	}
	return strings.Join(parts, "; ")
}

func (p *page) decisions(decisions []models.Decision) {
	rows := make([][]string, len(decisions))
	for i := range decisions {
		d := &decisions[i]
		rows[i] = []string{p.clock(d.At), strconv.Itoa(d.Want), strconv.Itoa(d.Reactive), strconv.Itoa(d.Predicted), yesNo(d.Gate), d.Reason}
	}
	p.table([]column{
		{name: "AT"},
		{name: "WANT", right: true},
		{name: "REACTIVE", right: true, spare: 2},
		{name: "PREDICTED", right: true, spare: 3},
		{name: "FORECAST COUNTS", spare: 1},
		{name: "REASON", flex: true},
	}, rows)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// decision writes one decision in full.
func (p *page) decision(d *models.Decision) {
	p.line("%s", clean(d.Reason))
	p.line("")
	p.pair("pool", d.Pool)
	p.pair("at", p.clock(d.At))
	want := strconv.Itoa(d.Want)
	if !d.Applied {
		want += " (recommended only)"
	}
	p.pair("want", want)
	p.pair("policy", string(d.Policy))
	p.pair("reactive", strconv.Itoa(d.Reactive))
	predicted := strconv.Itoa(d.Predicted)
	if d.PredictedAt != nil {
		predicted += " at " + p.clock(*d.PredictedAt)
	}
	p.pair("predicted", predicted)
	p.pair("forecast", map[bool]string{true: "counts: ", false: "does not count: "}[d.Gate]+d.GateWhy)
	for _, c := range d.Caps {
		p.pair("cap", c.String())
	}
	in := d.Inputs
	p.pair("workers", fmt.Sprintf("%d ready, %d busy, %d starting", in.Ready, in.Busy, in.Starting))
	p.pair("queue", fmt.Sprintf("%d queued, the oldest for %s", in.Queued, seconds(in.OldestWaitS)))
	p.pair("load", fmt.Sprintf("%s tasks/s, each %s (squared variation %s)", figure(in.ArrivalsPerS), seconds(in.ServiceS), figure(in.ServiceCV2)))
	p.pair("lead", seconds(in.LeadS)+" (cold start, decision interval and lag)")
	if in.HostCPU >= 0 {
		p.pair("host cpu", percent(in.HostCPU))
	}
	if in.HostCPUForecast >= 0 {
		p.pair("host cpu then", percent(in.HostCPUForecast))
	}
	if in.FreeMemory >= 0 {
		p.pair("free memory", fmt.Sprintf("%.0f MiB", float64(in.FreeMemory)/(1<<20)))
	}
	if f := in.Forecast; f != nil {
		p.pair("model", fmt.Sprintf("%s on %s: skill %s, coverage %s, %d scored", f.Model, f.Series, figure(f.Skill), percent(f.Coverage), f.Scored))
	}
}
