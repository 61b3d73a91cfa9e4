package tui

import (
	"context"
	"fmt"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/muesli/termenv"

	"loadstar/tui/keys"
	"loadstar/tui/page"
	"loadstar/tui/theme"
	"loadstar/tui/widget"
)

// The smallest screen that the pages can be read on.
const (
	leastWidth  = 70
	leastHeight = 20
)

const (
	infoEvery   = 5 * time.Second
	toastFor    = 6 * time.Second
	doubleClick = 400 * time.Millisecond
)

// Model is the whole screen; it implements tea.Model. Update and View are
// functions of it and the message alone.
type Model struct {
	cfg     Config
	profile termenv.Profile
	theme   *theme.Theme
	keys    *keys.Map
	link    transport

	w, h    int
	now     time.Time
	pages   []page.Page
	at      int
	data    page.Data
	banner  string
	started bool

	dialog  *page.Dialog
	palette *palette

	moment time.Time // what all views show; zero is now
	themed bool      // the theme was chosen by key
	past   bool      // it was travelled to
	then   page.Data // what was known at the moment
	kept   page.Kept

	help    bool
	scroll  int // of the help
	toast   string
	bad     bool
	until   time.Time // the toast's end
	release bool      // the mouse is the terminal's

	polling  bool
	heard    time.Time // when the daemon answered last
	lost     string    // why it does not, empty where it does
	failures int
	retryAt  time.Time
	infoAt   time.Time
	events   bool      // the stream of events is open
	eventsAt time.Time // when it may be opened again

	logOf     page.OpenLog
	logCtx    context.Context //nolint:containedctx // of the one open log; cancelled with it
	logCancel context.CancelFunc

	click   widget.Zone
	clickAt time.Time
}

type tick time.Time

// New is the screen before its first message.
func New(cfg Config) (Model, error) { return newModel(context.Background(), cfg) }

func newModel(ctx context.Context, cfg Config) (Model, error) {
	if err := cfg.Validate(); err != nil {
		return Model{}, err
	}
	cfg = cfg.withDefaults()
	bindings, err := keys.New(cfg.Keys)
	if err != nil {
		return Model{}, err
	}
	m := Model{cfg: cfg, keys: bindings, profile: theme.DetectProfile(cfg.Getenv)}
	if cfg.NoColor {
		m.profile = termenv.Ascii
	}
	if m.theme, err = theme.New(cfg.Theme, m.profile, m.level()); err != nil {
		return Model{}, err
	}
	m.link = transport{source: cfg.Source, clock: cfg.Clock, timeout: cfg.Timeout, after: tea.Tick, gather: eventDebounce, pace: logPace}
	m.link.root = func(d time.Duration) (context.Context, context.CancelFunc) {
		if d > 0 {
			return context.WithTimeout(ctx, d)
		}
		return context.WithCancel(ctx)
	}
	m.pages, m.at = remembered(cfg.Memory)
	m.themed = cfg.Memory.Theme != "" && cfg.Memory.Theme == cfg.Theme
	return m, nil
}

func (m Model) level() theme.Level {
	if m.cfg.ASCII {
		return theme.ASCII
	}
	return theme.DetectLevel(m.cfg.Getenv)
}

// Init starts the clock.
func (m Model) Init() tea.Cmd {
	clock := m.cfg.Clock
	return func() tea.Msg { return tick(clock()) }
}

func (m Model) env() page.Env {
	_, h := m.body()
	env := page.Env{
		Theme: m.theme, Keys: m.keys, Now: m.now, Wall: m.now, Zone: m.cfg.Zone, W: m.w, H: h,
		ReadOnly: m.cfg.ReadOnly, Data: &m.data,
	}
	if m.frozen() {
		env.Now, env.At, env.Past, env.Data = m.moment, m.moment, m.past, &m.then
	}
	return env
}

// body is the first line and the height of what is between header and footer.
func (m Model) body() (y, h int) {
	y = 1
	if m.notice() != "" {
		y = 2
	}
	return y, max(0, m.h-y-1)
}

// Update is the screen after a message.
func (m Model) Update(msg tea.Msg) (next tea.Model, cmd tea.Cmd) {
	defer func() {
		if r := recover(); r != nil { // one page's mistake must not take the screen away
			m.toast, m.bad, m.until = fmt.Sprintf("the screen failed at %T: %v", msg, r), true, m.now.Add(toastFor)
			next, cmd = m, nil
		}
	}()
	return m.update(msg)
}

func (m Model) update(msg tea.Msg) (Model, tea.Cmd) {
	if s, ok := msg.(stamped); ok {
		if s.at.After(m.now) {
			m.now = s.at
		}
		msg = s.msg
	}
	switch msg := msg.(type) {
	case tick:
		return m.tick(time.Time(msg))
	case tea.WindowSizeMsg:
		m.w, m.h = msg.Width, msg.Height
		return m, nil
	case tea.KeyMsg:
		return m.typed(msg)
	case tea.MouseMsg:
		return m.mouse(msg)
	case answered:
		return m.answered(msg)
	case eventsOpened:
		return m.eventsOpened(msg)
	case eventsGot:
		return m.eventsGot(msg)
	case logOpened:
		return m.logOpened(msg)
	case logRead:
		return m.logRead(msg)
	case saved:
		return m.saved(msg), nil
	case deferred:
		return m.tell(msg.msg)
	}
	return m, nil
}

// deferred is a message that a page sent itself for later.
type deferred struct{ msg any }

// tick polls what the page on show wants, where the last answer is in.
func (m Model) tick(now time.Time) (Model, tea.Cmd) {
	m.now = now
	if m.cfg.Banner != nil {
		m.banner = widget.Clean(m.cfg.Banner())
	}
	if !now.Before(m.until) {
		m.toast = ""
	}
	cmds := []tea.Cmd{m.link.after(m.cfg.Refresh, func(t time.Time) tea.Msg { return tick(t) })}
	if !m.started {
		m.started = true
		var cmd tea.Cmd
		m, cmd = m.tell(page.Shown{})
		cmds = append(cmds, cmd)
	}
	var cmd tea.Cmd
	m, cmd = m.poll()
	cmds = append(cmds, cmd)
	if !m.events && m.lost == "" && !now.Before(m.eventsAt) {
		m.events = true
		cmds = append(cmds, m.link.openEvents())
	}
	return m, tea.Batch(cmds...)
}

func (m Model) poll() (Model, tea.Cmd) {
	if m.polling || m.now.Before(m.retryAt) {
		return m, nil
	}
	m.polling = true
	var reqs []page.Request
	if m.frozen() { // the collection goes on
		reqs = []page.Request{page.LoadHost{}, page.LoadStats{}, page.LoadPools{}}
	} else {
		reqs = m.pages[m.at].Poll(m.env())
	}
	if m.now.Sub(m.infoAt) >= infoEvery || m.lost != "" {
		reqs = append([]page.Request{page.LoadInfo{}}, reqs...)
	}
	return m, m.link.do(reqs, true)
}

// answered takes results in, and notes whether the daemon is there.
func (m Model) answered(a answered) (Model, tea.Cmd) {
	if a.at.After(m.now) {
		m.now = a.at
	}
	if a.poll {
		m.polling = false
	}
	var cmds []tea.Cmd
	wasLost := m.lost != ""
	switch {
	case a.lost != nil:
		m.failures++
		m.lost = widget.Clean(a.lost.Error())
		m.retryAt = m.now.Add(min(5*time.Second, time.Second<<min(m.failures-1, 3)))
	case len(a.results) > 0:
		m.heard, m.lost, m.failures, m.retryAt = m.now, "", 0, time.Time{}
	}
	for _, r := range a.results {
		if _, ok := r.(page.InfoLoaded); ok {
			m.infoAt = m.now
		}
		if f, ok := r.(page.Failed); ok {
			m = m.failed(f)
		}
		if then, ok := r.(page.MomentLoaded); ok {
			if then.At.Equal(m.moment) {
				m.then = m.then.WithMoment(then)
			}
			continue
		}
		if ofAnother(r, m.moment) {
			continue
		}
		m.data = m.data.With(r)
		if a.poll && m.frozen() {
			continue
		}
		var cmd tea.Cmd
		m, cmd = m.tell(r)
		cmds = append(cmds, cmd)
	}
	if a.poll {
		m.kept = m.kept.With(m.now, m.data, a.results)
	}
	if wasLost && m.lost == "" {
		m = m.say("the daemon is back", false)
		var cmd tea.Cmd
		m, cmd = m.tell(page.Shown{})
		cmds = append(cmds, cmd)
	}
	return m, tea.Batch(cmds...)
}

// failed tells of an action that was refused; what cannot be loaded is the page's matter.
func (m Model) failed(f page.Failed) Model {
	switch f.Request.(type) {
	case page.Cancel, page.Retry, page.Prioritize, page.SetPool:
		return m.say(f.Why, true)
	}
	return m
}

func (m Model) say(text string, bad bool) Model {
	m.toast, m.bad, m.until = widget.Clean(text), bad, m.now.Add(toastFor)
	return m
}

// tell gives a message to the pages that it is for: what one page asked for may
// come when another is on show.
func (m Model) tell(msg any) (Model, tea.Cmd) {
	at := m.at
	switch msg.(type) {
	case page.TasksLoaded, page.TaskLoaded, page.LogChunk, page.Acted:
		at = page.AtTasks
	case page.SeriesLoaded:
		at = page.AtForecast
	case page.DecisionsLoaded, page.PoolSet:
		at = page.AtPools
	case page.ActiveLoaded:
		at = page.AtAgents
	}
	pages := append([]page.Page(nil), m.pages...)
	var reqs []page.Request
	pages[at], reqs = pages[at].Update(m.env(), msg)
	m.pages = pages
	return m.request(reqs)
}

// request does what a page asked for.
func (m Model) request(reqs []page.Request) (Model, tea.Cmd) {
	var ask []page.Request
	var cmds []tea.Cmd
	for _, r := range reqs {
		var cmd tea.Cmd
		switch r := r.(type) {
		case page.Ask:
			d := r.Dialog
			m.dialog = &d
		case page.Say:
			m = m.say(r.Text, r.Bad)
		case page.After:
			msg := r.Msg
			cmd = m.link.after(r.Delay, func(time.Time) tea.Msg { return deferred{msg} })
		case page.Show:
			m, cmd = m.show(r.Page)
		case page.OpenLog:
			m, cmd = m.openLog(r)
		case page.CloseLog:
			m = m.stopLog()
		case page.Cancel, page.Retry, page.Prioritize, page.SetPool:
			if m.cfg.ReadOnly {
				m = m.say("read-only: nothing was changed", true)
				continue
			}
			if m.past {
				m = m.say("this is the past: F returns to now, where it can be changed", true)
				continue
			}
			cmd = m.link.do([]page.Request{r}, false)
		default:
			if page.IsNote(r) { // from one page to another
				m, cmd = m.tell(r)
			} else {
				ask = append(ask, r)
			}
		}
		cmds = append(cmds, cmd)
	}
	if m.frozen() {
		ask = ofThen(ask)
	}
	if m.lost == "" {
		cmds = append(cmds, m.link.do(ask, false))
	}
	return m, tea.Batch(cmds...)
}

// show turns to a page.
func (m Model) show(at int) (Model, tea.Cmd) {
	if at < 0 || at >= len(m.pages) || at == m.at {
		return m, nil
	}
	m.at = at
	return m.tell(page.Shown{})
}

func (m Model) eventsOpened(msg eventsOpened) (Model, tea.Cmd) {
	if msg.err != nil || msg.events == nil {
		m.events, m.eventsAt = false, m.now.Add(3*time.Second)
		return m, nil
	}
	return m, m.link.nextEvents(msg.events)
}

func (m Model) eventsGot(msg eventsGot) (Model, tea.Cmd) {
	if len(msg.events) > 0 {
		events := page.Events{Events: msg.events}
		m.data = m.data.With(events)
	}
	if msg.closed {
		m.events, m.eventsAt = false, m.now.Add(2*time.Second)
		return m, nil
	}
	return m, m.link.nextEvents(msg.from)
}

func (m Model) openLog(of page.OpenLog) (Model, tea.Cmd) {
	m = m.stopLog()
	m.logOf = of
	m.logCtx, m.logCancel = m.link.root(0)
	return m, m.link.openLog(m.logCtx, of)
}

func (m Model) stopLog() Model {
	if m.logCancel != nil {
		m.logCancel()
	}
	m.logCtx, m.logCancel, m.logOf = nil, nil, page.OpenLog{}
	return m
}

func (m Model) logOpened(msg logOpened) (Model, tea.Cmd) {
	switch {
	case msg.of != m.logOf || m.logCtx == nil:
		if msg.r != nil {
			return m, closeLog(msg.r)
		}
		return m, nil
	case msg.err != nil:
		why := "the log cannot be read: " + msg.err.Error()
		if contentError(msg.err) {
			why = "no output yet: it has not run"
		}
		return m.tell(page.LogChunk{OpenLog: msg.of, EOF: true, Err: widget.Clean(why)})
	}
	return m, m.link.readLog(m.logCtx, msg.of, msg.r, false)
}

func (m Model) logRead(msg logRead) (Model, tea.Cmd) {
	if msg.OpenLog != m.logOf || m.logCtx == nil {
		if msg.EOF {
			return m, nil
		}
		return m, closeLog(msg.r)
	}
	next, cmd := m.tell(msg.LogChunk)
	if msg.EOF {
		return next, cmd
	}
	return next, tea.Batch(cmd, next.link.readLog(next.logCtx, msg.OpenLog, msg.r, true))
}

var _ tea.Model = Model{}
