package tui

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"loadstar/models"
	"loadstar/tui/page"
	"loadstar/tui/widget"
)

// plainRows is how many tasks, decisions or events an answer lists at most.
const plainRows = 20

// plain is the screen as a conversation: a line in, some lines out, nothing drawn,
// nothing moving, no colour. It is what a screen reader can follow.
type plain struct {
	cfg Config
	out *bufio.Writer
	ask func() (string, bool)
}

// RunPlain answers lines of in until quit, the end of in, or the context's.
func RunPlain(ctx context.Context, cfg Config, in io.Reader, out io.Writer) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lines := make(chan string)
	go func() { // it ends with its input, or with the program that waits for it
		defer close(lines)
		scan := bufio.NewScanner(in)
		for scan.Scan() {
			select {
			case lines <- scan.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	p := plain{cfg: cfg.withDefaults(), out: bufio.NewWriter(out)}
	p.ask = func() (string, bool) {
		_ = p.out.Flush()
		select {
		case line, ok := <-lines:
			return strings.TrimSpace(line), ok
		case <-ctx.Done():
			return "", false
		}
	}
	p.say("Loadstar, plain text. Type a command and Enter; help lists them.")
	p.answer(ctx, "overview")
	for {
		_, _ = p.out.WriteString("> ")
		line, ok := p.ask()
		if !ok || line == "quit" || line == "q" || line == "exit" {
			return p.out.Flush()
		}
		if line != "" {
			p.answer(ctx, line)
		}
	}
}

func (p *plain) say(format string, args ...any) {
	_, _ = p.out.WriteString(widget.Clean(fmt.Sprintf(format, args...)) + "\n") // an error shows at Flush
}

// answer does what a line asks for.
func (p *plain) answer(ctx context.Context, line string) {
	ctx, cancel := context.WithTimeout(ctx, actTimeout)
	defer cancel()
	word, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimSpace(rest)
	do := map[string]func(context.Context, string) error{
		"overview": p.overview, "tasks": p.tasks, "task": p.task, "log": p.log, "pools": p.pools, "pool": p.pool, "queues": p.queues,
		"agents": p.agents, "forecast": p.forecast, "cancel": p.cancel, "retry": p.retry, "help": p.help,
	}[strings.ToLower(word)]
	if do == nil {
		p.say("There is no command %q; help lists them.", word)
		return
	}
	if err := do(ctx, rest); err != nil {
		p.say("It did not work: %v.", err)
	}
}

func (p *plain) help(context.Context, string) error {
	for _, l := range []string{
		"overview: the host, the work, what needs an eye.", "tasks FILTER: tasks, the newest first, as in tasks state:FAILED pool:gpu.",
		"task ID: one task, its attempts, and why it is where it is.", "log ID: the end of its output.",
		"pools: every pool and its size. pool NAME: why it has that size.", "queues: what waits, by priority.",
		"agents: the hosts that have joined.", "forecast SERIES: what is expected; without a series, of all.",
		"cancel ID, retry ID: asked about first.", "quit: ends; the daemon goes on.",
	} {
		p.say("%s", l)
	}
	return nil
}

func (p *plain) overview(ctx context.Context, _ string) error {
	host, err := p.cfg.Source.Host(ctx)
	if err != nil {
		return err
	}
	stats, err := p.cfg.Source.Stats(ctx)
	if err != nil {
		return err
	}
	pools, err := p.cfg.Source.Pools(ctx)
	if err != nil {
		return err
	}
	p.say("Host %s: cpu %.0f percent, memory %s of %s, load %.1f.", host.Hostname, host.CPU, widget.ByteSize(float64(host.MemoryUsed)), widget.ByteSize(float64(host.MemoryTotal)), host.Load1)
	parts := make([]string, 0, len(models.States()))
	for _, s := range models.States() {
		parts = append(parts, fmt.Sprintf("%s %s", widget.Count(stats.Tasks[s]), s))
	}
	p.say("Tasks: %s. %s end each second.", strings.Join(parts, ", "), widget.Number(stats.TasksPerS))
	trouble := 0
	for i := range pools {
		if pools[i].Trouble != "" {
			p.say("Trouble in pool %s: %s.", pools[i].Name, pools[i].Trouble)
			trouble++
		}
	}
	if trouble == 0 {
		p.say("No pool is in trouble.")
	}
	return nil
}

func (p *plain) tasks(ctx context.Context, text string) error {
	f, err := page.ParseFilter(text)
	if err != nil {
		return err
	}
	ask := f.TaskFilter
	ask.Limit = 200
	got, err := p.cfg.Source.Tasks(ctx, ask)
	if err != nil {
		return err
	}
	now, said := p.cfg.Clock(), 0
	p.say("%s tasks in all.", widget.Count(got.Total))
	for i := range got.Tasks {
		k := &got.Tasks[i]
		if said == plainRows || !f.Match(k, now) {
			continue
		}
		said++
		text := fmt.Sprintf("%s: %s, pool %s, priority %s, submitted %s ago, %s", k.TaskID, k.State, k.Pool, k.Priority, widget.Age(now, k.SubmittedAt), k.String())
		if k.Error != "" {
			text += ", " + k.Error
		}
		p.say("%s.", text)
	}
	p.say("%d listed.", said)
	return nil
}

func (p *plain) task(ctx context.Context, id string) error {
	k, err := p.cfg.Source.Task(ctx, id)
	if err != nil {
		return err
	}
	why, err := p.cfg.Source.Explain(ctx, id)
	if err != nil {
		return err
	}
	p.say("%s is %s: %s", k.TaskID, k.State, k.String())
	p.say("%s", why.Text)
	for _, f := range why.Facts {
		p.say("%s.", strings.TrimSuffix(f, "."))
	}
	for i := range k.Attempts {
		a := &k.Attempts[i]
		p.say("%s.", strings.TrimSpace(fmt.Sprintf("Attempt %d on %s: %s %s", a.Attempt, a.Agent, a.Outcome, a.Error)))
	}
	return nil
}

func (p *plain) log(ctx context.Context, id string) error {
	r, err := p.cfg.Source.Logs(ctx, id, 0, false)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	var last []string
	scan := bufio.NewScanner(io.LimitReader(r, 16<<20))
	scan.Buffer(make([]byte, 64<<10), 1<<20)
	for scan.Scan() {
		if last = append(last, widget.CleanLog(scan.Text())); len(last) > 2*plainRows {
			last = append(last[:0], last[len(last)-plainRows:]...)
		}
	}
	for _, l := range last[max(0, len(last)-plainRows):] {
		p.say("%s", l)
	}
	return scan.Err()
}

func (p *plain) pools(ctx context.Context, _ string) error {
	pools, err := p.cfg.Source.Pools(ctx)
	for i := range pools {
		s := &pools[i]
		p.say("Pool %s: %d workers ready, %d busy, %d starting, %d wanted, %d tasks queued.", s.Name, s.Ready, s.Busy, s.Starting, s.Wanted, s.Queued)
	}
	return err
}

func (p *plain) pool(ctx context.Context, name string) error {
	list, err := p.cfg.Source.Decisions(ctx, name, time.Time{}, 3)
	for i := range list {
		p.say("%s: %s.", list[i].At.In(p.cfg.Zone).Format("15:04:05"), strings.TrimSuffix(list[i].Reason, "."))
	}
	return err
}

func (p *plain) queues(ctx context.Context, _ string) error {
	queues, err := p.cfg.Source.Queues(ctx)
	for i := range queues {
		q := &queues[i]
		parts := []string{fmt.Sprintf("Queue of %s: %d wait", q.Pool, q.Queued)}
		if q.Queued > 0 {
			parts = append(parts, "the longest for "+widget.Seconds(q.OldestWaitS))
		}
		for k := range q.Bands {
			if b := &q.Bands[k]; b.Queued > 0 {
				parts = append(parts, fmt.Sprintf("%d %s", b.Queued, b.Name))
			}
		}
		p.say("%s.", strings.Join(parts, ", "))
	}
	return err
}

func (p *plain) agents(ctx context.Context, _ string) error {
	agents, err := p.cfg.Source.Agents(ctx)
	for i := range agents {
		a := &agents[i]
		p.say("Agent %s: %s, %d of %d slots busy, load score %.2f, heard %s ago, can %s.", a.ID, a.State, a.Busy, a.Slots, a.LoadScore, widget.Age(p.cfg.Clock(), a.LastHeard), strings.Join(append([]string{"run programs"}, a.Capabilities...), ", "))
	}
	return err
}

func (p *plain) forecast(ctx context.Context, series string) error {
	list, err := p.cfg.Source.Forecasts(ctx, series, 0)
	for i := range list {
		f := &list[i]
		for k := range f.Forecasts {
			c := &f.Forecasts[k]
			n := min(len(c.P10), len(c.P50), len(c.P90))
			if n == 0 || c.Model != f.Champion {
				continue
			}
			p.say("%s by %s, step %s: next %s, between %s and %s; at the end %s, between %s and %s.", f.Series, c.Model, widget.Seconds(f.StepS),
				widget.Value(c.P50[0], f.Unit), widget.Value(c.P10[0], f.Unit), widget.Value(c.P90[0], f.Unit),
				widget.Value(c.P50[n-1], f.Unit), widget.Value(c.P10[n-1], f.Unit), widget.Value(c.P90[n-1], f.Unit))
		}
	}
	if err == nil && len(list) == 0 {
		p.say("Nothing is forecast yet.")
	}
	return err
}

func (p *plain) cancel(ctx context.Context, id string) error {
	return p.act(ctx, "cancel", id, p.cfg.Source.Cancel)
}

func (p *plain) retry(ctx context.Context, id string) error {
	return p.act(ctx, "retry", id, func(ctx context.Context, sel models.Selection) (models.BulkResult, error) {
		return p.cfg.Source.Retry(ctx, sel, false)
	})
}

func (p *plain) act(ctx context.Context, what, id string, do func(context.Context, models.Selection) (models.BulkResult, error)) error {
	if p.cfg.ReadOnly {
		return errors.New("read-only: nothing is changed")
	}
	k, err := p.cfg.Source.Task(ctx, id)
	if err != nil {
		return err
	}
	p.say("%s %s, which is %s: %s? Type yes to do it.", what, k.TaskID, k.State, k.String())
	if line, ok := p.ask(); !ok || line != "yes" {
		p.say("Left as it is.")
		return nil
	}
	got, err := do(ctx, models.Selection{IDs: []string{id}})
	if err != nil {
		return err
	}
	for _, r := range got.Refused {
		p.say("%s was refused: %s.", r.TaskID, r.Why)
	}
	p.say("Done: %d changed.", len(got.Changed))
	return nil
}
