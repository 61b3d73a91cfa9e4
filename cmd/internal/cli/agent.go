package cli

import (
	"github.com/spf13/cobra"

	"loadstar/cmd/internal/app"
	"loadstar/cmd/internal/config"
)

// agentCmd's flags, but for --id and --slots, are keys of the configuration.
func (a *program) agentCmd() *cobra.Command {
	var id string
	var weight int
	var o app.AgentOptions
	cmd := &cobra.Command{
		Use:   "agent --nats URL",
		Short: "Join a daemon elsewhere and run what it assigns; SIGTERM drains",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(cmd.Flags())
			if err != nil {
				return err
			}
			if id != "" {
				cfg.AgentID = id
			}
			if cmd.Flags().Changed("weight") {
				cfg.AgentWeight = weight
			}
			if err := cfg.Validate(); err != nil {
				return err
			}
			if o.Slots < 0 {
				return usage("--slots: %d is negative", o.Slots)
			}
			o.Version = a.deps.Version
			return a.deps.Agent(cmd.Context(), cfg, o, a.streams())
		},
	}
	fl := cmd.Flags()
	fl.String("nats", "", "where the daemon's agents join, `URL`, as in nats://host:4222")
	fl.String("nats-token", "", "`SECRET` that the daemon's --nats-token asks for")
	fl.String("nats-creds", "", "credentials `FILE` for a cluster")
	fl.StringVar(&id, "id", "", "`NAME` of this agent (default: the host's name)")
	fl.StringSlice("capabilities", nil, "what this host can do, `A,B`")
	fl.IntVar(&o.Slots, "slots", 0, "run `N` tasks at once (default: the CPUs that the cgroup allows)")
	fl.IntVar(&weight, "weight", 100, "base weight `N` under the dispatch policy weighted, 1 to 10000")
	fl.String("log-format", "text", "`FORMAT` of the log: text or json")
	fl.String("log-level", "info", "`LEVEL` of the log: debug, info, warn or error")
	fl.String("drain", "30s", "let running tasks go on for this `TIME` after SIGTERM")
	fl.String("kill-grace", "5s", "`TIME` from a task's SIGTERM to its SIGKILL")
	fl.String("task-log-max-bytes", "8MiB", "`AMOUNT` of output kept of one attempt")
	fl.String("task-logs-max-bytes", "2GiB", "`AMOUNT` of output kept in all")
	return cmd
}
