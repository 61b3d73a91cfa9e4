package cli

import (
	"time"

	"github.com/spf13/cobra"
)

func (a *app) demoCmd() *cobra.Command {
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
			case o.For < time.Second:
				return usage("--for: %s is less than 1s", o.For)
			case o.Speed < 0:
				return usage("--speed: %v is negative", o.Speed)
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
	fl.DurationVar(&o.For, "for", time.Minute, "submit tasks for this `TIME`")
	fl.Float64Var(&o.Speed, "speed", 0, "`N` times faster than the clock (default: a day in --for)")
	fl.BoolVar(&o.Headless, "headless", false, "progress lines and a summary in the place of the screen")
	fl.StringVar(&o.Trace, "trace", "", "replay this CSV `FILE` (timestamp,value) rather than a generated day")
	fl.Uint64Var(&o.Seed, "seed", 1, "`N` that the generated load follows from")
	fl.StringVarP(&format, "output", "o", "table", "`FORMAT` of the summary: table or json (with --headless)")
	screenFlags(fl, &o.Screen)
	return cmd
}
