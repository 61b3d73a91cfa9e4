package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"loadstar/cmd/internal/config"
)

// Main runs one command line (without the program's name) and returns its exit code.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return Run(ctx, DefaultDeps(), args, stdin, stdout, stderr) //nolint:contextcheck // the commands get theirs from cobra
}

// Run is Main on other parts than the real ones.
func Run(ctx context.Context, deps Deps, args []string, stdin io.Reader, stdout, stderr io.Writer) (code int) {
	defer func() {
		if r := recover(); r != nil { // a mistake of ours must still be one line and a code
			fmt.Fprintf(stderr, "loadstar: internal error: %v\n", r)
			code = exitFailed
		}
	}()
	a := &program{deps: deps.withDefaults(), in: stdin, out: stdout, err: stderr}
	root := a.root() //nolint:contextcheck // the commands get theirs from cobra
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	var bad *usageError
	if errors.As(err, &bad) && bad.hint == "" {
		bad.hint = cmd.CommandPath()
	}
	fmt.Fprintln(stderr, "loadstar: "+line(err))
	return exitCode(err)
}

func (d Deps) withDefaults() Deps {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.NewClient == nil {
		d.NewClient = newClient
	}
	if d.Getenv == nil {
		d.Getenv = os.LookupEnv
	}
	if d.Environ == nil {
		d.Environ = os.Environ
	}
	if d.Getwd == nil {
		d.Getwd = os.Getwd
	}
	if d.Version == "" {
		d.Version = "dev"
	}
	return d
}

// program is one run of the program: its parts, its streams and the global flags.
type program struct {
	deps    Deps
	in      io.Reader
	out     io.Writer
	err     io.Writer
	noColor bool
	rootCmd *cobra.Command
}

func (a *program) root() *cobra.Command {
	screen := ScreenOptions{}
	cmd := &cobra.Command{
		Use:   "loadstar",
		Short: "A durable task queue that sizes its worker pools ahead of the load",
		Long: `Loadstar is a durable task queue for one host that forecasts its load, sizes its
worker pools before the load arrives, and shows its working.

Without a command it opens the terminal screen, on the daemon of the state folder
or on one that it starts inside itself. Start a daemon with ` + "`loadstar daemon`" + `,
then hand it work with ` + "`loadstar submit -- CMD`" + `; ` + "`loadstar demo`" + ` shows all of it.`,
		Args:          args(cobra.NoArgs),
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.deps.Screen == nil {
				return usage("a command is missing")
			}
			cfg, err := a.config(cmd)
			if err != nil {
				return err
			}
			screen.NoColor = !a.color(a.out)
			return a.deps.Screen(cmd.Context(), cfg, screen, a.streams())
		},
	}
	a.rootCmd = cmd
	p := cmd.PersistentFlags()
	p.String("state-dir", "", "state `FOLDER` of the daemon (default $XDG_STATE_HOME/loadstar)")
	p.String("config", "", "config `FILE` (default $XDG_CONFIG_HOME/loadstar/config.yaml)")
	p.String("url", "", "`ADDRESS` of a daemon elsewhere, as in https://host:7777")
	p.String("token", "", "`SECRET` that the daemon at --url asks for")
	p.BoolVar(&a.noColor, "no-color", false, "no colours (NO_COLOR in the environment does the same)")
	screenFlags(cmd.Flags(), &screen)
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usageError{err: err, hint: cmd.CommandPath()}
	})
	cmd.SetVersionTemplate("{{.Version}}\n")
	cmd.Version = a.deps.Version
	cmd.AddGroup(
		&cobra.Group{ID: "tasks", Title: "Tasks:"},
		&cobra.Group{ID: "pools", Title: "Pools and forecasts:"},
		&cobra.Group{ID: "run", Title: "Run:"},
	)
	a.add("tasks", a.submitCmd(), a.lsCmd(), a.deadCmd(), a.getCmd(), a.logsCmd(), a.waitCmd(), a.watchCmd(),
		a.cancelCmd(), a.retryCmd(), a.prioritizeCmd(), a.explainCmd(), a.statsCmd())
	a.add("pools", a.poolCmd(), a.agentsCmd(), a.seriesCmd(), a.forecastCmd(), a.trainCmd(), a.backtestCmd(), a.replayCmd())
	if a.deps.ReadCSV != nil {
		a.add("pools", a.importCmd())
	}
	if a.deps.Daemon != nil {
		a.add("run", a.daemonCmd())
	}
	if a.deps.Agent != nil {
		a.add("run", a.agentCmd())
	}
	if a.deps.Demo != nil {
		a.add("run", a.demoCmd())
	}
	if a.deps.Bench != nil {
		a.add("run", a.benchCmd())
	}
	a.add("", a.configCmd(), a.doctorCmd(), a.versionCmd(), a.manCmd())
	a.add("", a.deps.Commands...)
	return cmd
}

func (a *program) add(group string, commands ...*cobra.Command) {
	for _, c := range commands {
		c.GroupID = group
		a.rootCmd.AddCommand(c)
	}
}

func screenFlags(f *pflag.FlagSet, o *ScreenOptions) {
	f.BoolVar(&o.ReadOnly, "read-only", false, "a screen that changes nothing")
	f.BoolVar(&o.ASCII, "ascii", false, "a screen of plain ASCII characters")
	f.StringVar(&o.Theme, "theme", "", "`NAME` of the screen's colours: dark, light, mono, safe or 16 (the terminal's own)")
	f.BoolVar(&o.Plain, "plain", false, "no screen but lines of text, for screen readers")
}

// config is the configuration as a client needs it: only the global flags count,
// as a command's own may share a name with a key (submit's --capabilities).
func (a *program) config(cmd *cobra.Command) (config.Config, error) {
	flags := pflag.NewFlagSet(cmd.Name(), pflag.ContinueOnError)
	var err error
	a.rootCmd.PersistentFlags().VisitAll(func(f *pflag.Flag) {
		if f.Changed && err == nil {
			given := *f
			given.Changed = false // or Set would not count it as given
			flags.AddFlag(&given)
			err = flags.Set(f.Name, f.Value.String())
		}
	})
	if err != nil {
		return config.Config{}, &usageError{err: err}
	}
	return config.Load(flags)
}

// backend is a connection to the daemon that the global flags name.
func (a *program) backend(cmd *cobra.Command) (Backend, error) {
	cfg, err := a.config(cmd)
	if err != nil {
		return nil, err
	}
	return a.deps.NewClient(cfg)
}

// ask runs fn with the daemon.
func (a *program) ask(cmd *cobra.Command, fn func(ctx context.Context, b Backend) error) error {
	b, err := a.backend(cmd)
	if err != nil {
		return err
	}
	defer b.Close()
	return fn(cmd.Context(), b)
}

func (a *program) streams() Streams {
	return Streams{In: a.in, Out: a.out, Err: a.err, Color: a.color(a.err)}
}

// terminal says whether w is one, and how wide it is.
func terminal(w io.Writer) (width int, ok bool) {
	f, isFile := w.(*os.File)
	if !isFile || !term.IsTerminal(int(f.Fd())) { //nolint:gosec // a descriptor is small
		return 0, false
	}
	width, _, err := term.GetSize(int(f.Fd())) //nolint:gosec // a descriptor is small
	if err != nil || width <= 0 {
		return 80, true
	}
	return width, true
}

func (a *program) color(w io.Writer) bool {
	if _, ok := terminal(w); !ok || a.noColor {
		return false
	}
	if v, set := a.deps.Getenv("NO_COLOR"); set && v != "" {
		return false
	}
	v, _ := a.deps.Getenv("TERM")
	return v != "dumb"
}

// note writes a line for a person to stderr.
func (a *program) note(format string, args ...any) {
	fmt.Fprintln(a.err, "loadstar: "+strings.TrimSpace(fmt.Sprintf(format, args...)))
}
