package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"loadstar/collector/ingest"
	"loadstar/models"
	"loadstar/predictor/backtest"
)

// backtestFlags are the flags of backtest.
type backtestFlags struct {
	config backtest.Config
	bin    time.Duration
	format string
	plot   string
}

func (a *program) backtestCmd() *cobra.Command {
	var f backtestFlags
	cmd := &cobra.Command{
		Use:   "backtest FILE.csv",
		Short: "How well every model would have forecast a recorded series",
		Long: `How well every model would have forecast a recorded series: each is fitted on
the first part of the file and forecasts from many moments in the rest, refitted
along the way on what was known by then, as in the daemon. No daemon is needed.

The file is timestamp,value (RFC 3339 or unix time), regular or not; or a log of
jobs with the columns submit_s,duration_s, of which the jobs in each --bin are
counted. "-" is stdin.`,
		Example: `  loadstar backtest cpu.csv
  loadstar backtest requests.csv --horizon 60 --models snaive,lstm --plot requests.png
  loadstar backtest jobs.csv --bin 10m -o json`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, files []string) error {
			if err := f.check(cmd); err != nil {
				return err
			}
			points, err := a.recorded(files[0], &f)
			if err != nil {
				return err
			}
			bar := a.progress()
			r, err := backtest.Run(cmd.Context(), f.config, points, bar.to)
			bar.end()
			if err != nil {
				return err
			}
			if f.plot != "" {
				if err := backtest.Plot(f.plot, r); err != nil {
					return err
				}
			}
			return a.report(r, f.format)
		},
	}
	fl := cmd.Flags()
	fl.IntVar(&f.config.Horizon, "horizon", 12, "forecast `N` steps ahead")
	fl.IntVar(&f.config.Season, "season", 0, "a season of `N` steps; -1 is none (default: found in the data)")
	fl.StringSliceVar(&f.config.Models, "models", backtest.Models(), "these `MODELS` only")
	fl.Float64Var(&f.config.Train, "train", 0.7, "`SHARE` of the series before the first forecast")
	fl.DurationVar(&f.config.Step, "step", 0, "`STEP` of the series; closer points are averaged (default: the file's)")
	fl.DurationVar(&f.bin, "bin", 10*time.Minute, "count the jobs of a log in steps of this `LENGTH`")
	fl.Uint64Var(&f.config.Seed, "seed", 1, "`SEED` of the LSTM's training")
	fl.StringVarP(&f.format, "output", "o", "table", "`FORMAT`: table, json or csv")
	fl.StringVar(&f.plot, "plot", "", "draw the best model's forecasts into this PNG `FILE`")
	_ = cmd.RegisterFlagCompletionFunc("models", cobra.FixedCompletions(backtest.Models(), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (f *backtestFlags) check(cmd *cobra.Command) error {
	o := output{format: f.format}
	if err := o.check(); err != nil {
		return err
	}
	switch {
	case f.bin <= 0:
		return usage("--bin: %s is not positive", f.bin)
	case f.config.Horizon == 0:
		return usage("--horizon: 0 is not between 1 and 512")
	case f.config.Train == 0:
		return usage("--train: 0 is not between 0 and 1")
	case len(f.config.Models) == 0:
		return usage("--models: none is named; they are %s", strings.Join(backtest.Models(), ", "))
	case f.plot != "" && !strings.EqualFold(filepath.Ext(f.plot), ".png"):
		return usage("--plot: %s does not end in .png", f.plot)
	case cmd.Flags().Changed("step") && f.config.Step <= 0:
		return usage("--step: %s is not positive", f.config.Step)
	}
	var bad *models.FieldError
	if err := f.config.Validate(); errors.As(err, &bad) {
		return usage("--%s: %s", bad.Field, bad.Problem)
	} else if err != nil {
		return err
	}
	return nil
}

// recorded reads a file's series, and says on stderr what was done to it.
func (a *program) recorded(file string, f *backtestFlags) ([]models.Point, error) {
	in, name := a.in, "stdin"
	if file != "-" {
		opened, err := os.Open(file)
		if err != nil {
			return nil, usage("%w", err)
		}
		defer func() { _ = opened.Close() }()
		in, name = opened, file
	}
	f.config.Series = strings.TrimSuffix(filepath.Base(name), filepath.Ext(name))
	r := bufio.NewReader(in)
	head, err := r.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if _, rest, ok := strings.Cut(head, "submit_s,"); ok {
		if _, others, _ := strings.Cut(rest, ","); !strings.Contains(rest, "duration_s") { // jobs are only counted: any second number does
			head = "submit_s,duration_s," + others
		}
		jobs, err := ingest.ReadJobs(io.MultiReader(strings.NewReader(head), r), name)
		if err != nil {
			return nil, err
		}
		// Second 0 has no date; any midnight does.
		points := ingest.Bin(jobs, time.Date(2000, 1, 3, 0, 0, 0, 0, time.UTC), f.bin)
		f.config.Step = f.bin
		a.note("%s: %s in %s of %s", name, plural(len(jobs), "job"), plural(len(points), "step"), round(f.bin))
		return points, nil
	}
	t, err := ingest.ReadCSV(io.MultiReader(strings.NewReader(head), r), name)
	if err != nil {
		return nil, err
	}
	if f.config.Step == 0 {
		f.config.Step = t.Step()
	}
	told := []string{t.String()}
	for i, g := range t.Gaps {
		if i == 3 {
			told = append(told, "and "+plural(len(t.Gaps)-i, "gap")+" more")
			break
		}
		told = append(told, fmt.Sprintf("a gap from %s to %s", g.From.Format(time.RFC3339), g.To.Format(time.RFC3339)))
	}
	a.note("%s: %s", name, strings.Join(told, "; "))
	return t.Points, nil
}

func (a *program) report(r backtest.Report, format string) error {
	switch format {
	case "json":
		return writeJSON(a.out, r, true)
	case "csv":
		return backtest.WriteCSV(a.out, r)
	}
	return backtest.WriteTable(a.out, r)
}

// progress is a bar on stderr: one line that is overwritten on a terminal, a line
// a status elsewhere.
type progress struct {
	w     io.Writer
	tty   bool
	shown string
}

func (a *program) progress() *progress {
	p := &progress{w: a.err}
	_, p.tty = terminal(a.err)
	return p
}

func (p *progress) to(done float64, status string) {
	const width = 30
	done = min(max(done, 0), 1)
	switch {
	case p.tty:
		text := fmt.Sprintf("[%-*s] %3.0f%% %s", width, bar(int(done*width)), 100*done, clean(status))
		if text != p.shown {
			fmt.Fprint(p.w, "\r\x1b[K"+text)
		}
		p.shown = text
	case status != p.shown:
		fmt.Fprintf(p.w, "loadstar: %.0f%%: %s\n", 100*done, clean(status))
		p.shown = status
	}
}

// end leaves the line.
func (p *progress) end() {
	if p.tty && p.shown != "" {
		fmt.Fprintln(p.w)
	}
}
