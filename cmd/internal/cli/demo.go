package cli

import "github.com/spf13/cobra"

func (a *program) demoCmd() *cobra.Command {
	var o DemoOptions
	var format string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "A self-contained show: real workers, a day's load replayed fast, forecasts that learn it",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case format != "table" && format != "json":
				return usage("--output: %q is not table or json", format)
			case format == "json" && !o.Headless:
				return usage("--output json goes with --headless")
			}
			cfg, err := a.config(cmd)
			if err != nil {
				return err
			}
			o.JSON = format == "json"
			o.Screen.NoColor = !a.color(a.out)
			return a.deps.Demo(cmd.Context(), cfg, o, a.streams())
		},
	}
	fl := cmd.Flags()
	fl.DurationVar(&o.For, "for", 0, "submit tasks for this `TIME` (default 2m, headless 1m)")
	fl.Float64Var(&o.Speed, "speed", 0, "`N` seconds of the day in a second of the show (default 900)")
	fl.BoolVar(&o.Headless, "headless", false, "progress lines and a summary in the place of the screen")
	fl.StringVar(&o.Trace, "trace", "", "replay this CSV `FILE` (timestamp,value) rather than a generated day")
	fl.Float64Var(&o.MeanBusy, "mean-busy", 0, "scale a trace to `N` busy workers on average (default 2.5)")
	fl.DurationVar(&o.ColdStart, "cold-start", 0, "`TIME` that a worker takes to come up (default 4s)")
	fl.StringVar(&o.Policy, "policy", "", "size the pool by this `POLICY`: predictive (default), reactive or static, to compare")
	fl.Uint64Var(&o.Seed, "seed", 0, "`N` that the generated load follows from (default 1)")
	fl.StringVarP(&format, "output", "o", "table", "`FORMAT` of the summary: table or json (with --headless)")
	screenFlags(fl, &o.Screen)
	return cmd
}
