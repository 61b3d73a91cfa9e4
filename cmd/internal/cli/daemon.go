package cli

import (
	"github.com/spf13/cobra"

	"loadstar/cmd/internal/config"
)

// daemonCmd's flags are keys of the configuration: config.Load reads them by name.
func (a *program) daemonCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "daemon",
		Short: "Run without a screen; logs to stderr, SIGTERM drains, SIGHUP reloads",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			load := func() (config.Config, error) { return config.Load(cmd.Flags()) }
			cfg, err := load()
			if err != nil {
				return err
			}
			return a.deps.Daemon(cmd.Context(), cfg, load, a.streams())
		},
	}
	fl := cmd.Flags()
	fl.String("listen", "", "also serve the API on this `HOST:PORT`; needs --token")
	fl.String("tls-cert", "", "PEM `FILE` of the certificate for --listen")
	fl.String("tls-key", "", "PEM `FILE` of its key")
	fl.String("nats", "", "keep the journal on this NATS cluster, `URL` (default: inside the process)")
	fl.String("nats-creds", "", "credentials `FILE` for --nats")
	fl.String("nats-listen", "", "let agents of other hosts join on this `HOST:PORT`; needs --nats-token")
	fl.String("nats-token", "", "`SECRET` that such agents show")
	fl.String("leader-lease", "15s", "with --nats, wait this `TIME` for a leader that falls silent")
	fl.String("agent-timeout", "16s", "count an agent as lost after this `TIME` of silence")
	fl.String("log-format", "text", "`FORMAT` of the log: text or json")
	fl.String("log-level", "info", "`LEVEL` of the log: debug, info, warn or error")
	fl.String("drain", "30s", "let running tasks go on for this `TIME` after SIGTERM")
	fl.String("kill-grace", "5s", "`TIME` from a task's SIGTERM to its SIGKILL")
	fl.String("agent-id", "", "`NAME` of this host's agent (default: the host's name)")
	fl.StringSlice("capabilities", nil, "what this host's agent can do, `A,B`")
	fl.String("decision-interval", "2s", "`TIME` between two decisions of a pool's size")
	fl.String("scale-in-window", "5m", "`TIME` for which a need keeps a pool from shrinking")
	fl.Float64("train-share", 0.25, "`SHARE` of one core that training may take, 0 is never")
	fl.String("telemetry", "", "tell each step of tasks to `TARGET`: a file, nats:SUBJECT or otlp:URL")
	fl.String("task-log-max-bytes", "8MiB", "`AMOUNT` of output kept of one attempt")
	fl.String("task-logs-max-bytes", "2GiB", "`AMOUNT` of output kept in all")
	return cmd
}
