package page

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"loadstar/models"
	"loadstar/tui/keys"
)

// keepDecisions is how much of a pool's ledger the screen holds.
const keepDecisions = 200

// demandPast is how far back the demand is drawn: three times as far as the
// forecast usually reaches, so that both can be seen.
func demandPast(stepS float64) time.Duration {
	return max(2*time.Minute, 90*seconds(stepS))
}

// Pools shows the pools: their size, the size wanted, and the reasoning.
type Pools struct {
	cursor    int
	ledger    bool // keys move in the ledger
	decision  int  // cursor in the ledger
	open      bool // the decision under the cursor is opened
	scroll    int  // of the opened decision
	decisions DecisionsLoaded
	demand    ChartLoaded
	forecast  models.SeriesForecast
	drawn     time.Time
}

// Name stands in the tabs.
func (Pools) Name() string { return "Pools" }

// Typing reports whether keys are text.
func (Pools) Typing() bool { return false }

// Scopes are where keys are looked up.
func (Pools) Scopes(Env) []keys.Scope { return []keys.Scope{keys.Pools, keys.List} }

func (p Pools) pool(env Env) *models.PoolStatus {
	if p.cursor < 0 || p.cursor >= len(env.Data.Pools) {
		return nil
	}
	return &env.Data.Pools[p.cursor]
}

// Poll is what is wanted every second.
func (p Pools) Poll(env Env) []Request {
	reqs := []Request{LoadPools{}}
	return append(reqs, p.load(env, env.Now.Sub(p.drawn) >= forecastEvery)...)
}

func (p Pools) load(env Env, demand bool) []Request {
	pool := p.pool(env)
	if pool == nil {
		return nil
	}
	reqs := []Request{LoadDecisions{Pool: pool.Name, Limit: keepDecisions, At: env.At}}
	if demand {
		series := models.PoolSeries(pool.Name, models.PoolLoad)
		stepS := p.demandStep(pool)
		reqs = append(reqs,
			LoadForecasts{Series: series, StepS: stepS, At: env.At},
			LoadChart{Series: series, StepS: stepS, From: env.Now.Add(-demandPast(stepS)).Truncate(seconds(stepS)), To: env.Now, At: env.At, Horizon: 1})
	}
	return reqs
}

// demandStep is the step of the demand drawn: that of the forecast the pool is sized by.
func (p Pools) demandStep(pool *models.PoolStatus) float64 {
	if d := pool.Decision; d != nil && d.Inputs.Forecast != nil && d.Inputs.Forecast.StepS > 0 {
		return d.Inputs.Forecast.StepS
	}
	return 10
}

// Update is the page after a message.
func (p Pools) Update(env Env, msg any) (Page, []Request) {
	switch m := msg.(type) {
	case Shown:
		p.drawn = time.Time{}
		p.forecast = models.SeriesForecast{}
		return p, p.Poll(env)
	case showPool:
		return p.moveTo(env, m.index)
	case PoolsLoaded:
		p.cursor = max(0, min(p.cursor, len(m.Pools)-1))
		if p.decisions.Pool == "" {
			return p, p.load(env, true)
		}
	case DecisionsLoaded:
		p = p.decisionsLoaded(env, m)
	case ChartLoaded:
		if pool := p.pool(env); pool != nil && m.Series == models.PoolSeries(pool.Name, models.PoolLoad) {
			p.demand, p.drawn = m, env.Now
		}
	case ForecastsLoaded:
		for _, s := range m.Forecasts {
			if s.Series == m.Series && m.Series != "" && s.StepS == m.StepS {
				p.forecast = s
			}
		}
	case Failed:
		if _, ok := m.Request.(LoadChart); ok {
			p.drawn = env.Now
		}
	case PoolSet:
		return p, []Request{Say{Text: poolSetText(&m.Pool)}, LoadPools{}}
	case Wheel:
		return p.wheel(env, m)
	case Click:
		return p.click(env, m)
	case Key:
		return p.key(env, m)
	}
	return p, nil
}

// decisionsLoaded keeps the cursor on its decision while newer ones come.
func (p Pools) decisionsLoaded(env Env, m DecisionsLoaded) Pools {
	pool := p.pool(env)
	if pool == nil || m.Pool != pool.Name {
		return p
	}
	if p.decisions.Pool == m.Pool && p.ledger && p.decision < len(p.decisions.Decisions) && (p.decision > 0 || p.open) {
		at := p.decisions.Decisions[p.decision].At
		if i := slices.IndexFunc(m.Decisions, func(d models.Decision) bool { return d.At.Equal(at) }); i >= 0 {
			p.decision = i
		}
	}
	p.decisions = m
	p.decision = max(0, min(p.decision, len(m.Decisions)-1))
	if len(m.Decisions) == 0 {
		p.open = false
	}
	return p
}

func poolSetText(s *models.PoolStatus) string {
	text := fmt.Sprintf("pool %s: min %d, max %d, %s", s.Name, s.Min, s.Max, s.Policy)
	if s.Paused {
		text += ", paused"
	}
	return text
}

func (p Pools) moveTo(env Env, to int) (Page, []Request) {
	if to < 0 || to >= len(env.Data.Pools) || to == p.cursor {
		return p, nil
	}
	p.cursor, p.decision, p.open, p.ledger = to, 0, false, false
	p.decisions, p.demand, p.forecast = DecisionsLoaded{}, ChartLoaded{}, models.SeriesForecast{}
	return p, p.load(env, true)
}

func (p Pools) key(env Env, k Key) (Page, []Request) {
	if p.open {
		if to, ok := move(k.Action, p.scroll, 1000, env.H-2); ok {
			p.scroll = to
			return p, nil
		}
	}
	switch k.Action {
	case keys.Open:
		switch {
		case !p.ledger && p.pool(env) != nil:
			p.ledger = true
		case p.decision < len(p.decisions.Decisions):
			p.open, p.scroll = !p.open, 0
		}
	case keys.Back:
		switch {
		case p.open:
			p.open = false
		default:
			p.ledger, p.decision = false, 0
		}
	case keys.Pause, keys.Limits, keys.Policy:
		if pool := p.pool(env); pool != nil {
			return p, []Request{Ask{Dialog: askPool(k.Action, pool)}}
		}
	default:
		if p.ledger {
			if to, ok := move(k.Action, p.decision, len(p.decisions.Decisions), 5); ok {
				p.decision = to
			}
			return p, nil
		}
		if to, ok := move(k.Action, p.cursor, len(env.Data.Pools), 5); ok {
			return p.moveTo(env, to)
		}
	}
	return p, nil
}

func (p Pools) wheel(env Env, m Wheel) (Page, []Request) {
	if p.open {
		p.scroll = max(0, p.scroll+3*m.Delta)
		return p, nil
	}
	if m.Zone.Kind == "decision" || m.Zone.Kind == "ledger" {
		p.ledger = true
		p.decision, _ = move(wheelAction(m.Delta), p.decision, len(p.decisions.Decisions), 5)
		return p, nil
	}
	to, _ := move(wheelAction(m.Delta), p.cursor, len(env.Data.Pools), 5)
	return p.moveTo(env, to)
}

func (p Pools) click(env Env, m Click) (Page, []Request) {
	switch m.Zone.Kind {
	case "pool":
		p.ledger = false
		return p.moveTo(env, m.Zone.Index)
	case "decision":
		if p.ledger && p.decision == m.Zone.Index || m.Twice {
			p.open, p.scroll = true, 0
		}
		p.ledger, p.decision = true, m.Zone.Index
	case "opened":
		p.open = false
	}
	return p, nil
}

// askPool is the question before a pool is changed.
func askPool(a keys.Action, pool *models.PoolStatus) Dialog {
	switch a {
	case keys.Pause:
		return askPause(pool)
	case keys.Policy:
		return askPolicy(pool)
	}
	return askLimits(pool)
}

func askPause(pool *models.PoolStatus) Dialog {
	name, paused := pool.Name, !pool.Paused
	d := Dialog{Title: "Pause pool " + name + "?", Yes: "Pause", Lines: []string{
		fmt.Sprintf("No task of %s starts until it is resumed; %s and go on. %s in the queue.", name, isAre(pool.Busy)+" running", plural(pool.Queued, "task")), "",
	}}
	if !paused {
		d = Dialog{Title: "Resume pool " + name + "?", Yes: "Resume", Lines: []string{
			fmt.Sprintf("Tasks of %s start again: %s in the queue.", name, plural(pool.Queued, "task")), "",
		}}
	}
	d.Then = func(Dialog) ([]Request, error) {
		return []Request{SetPool{Name: name, Patch: models.PoolPatch{Paused: &paused}}}, nil
	}
	return d.Open()
}

func askLimits(pool *models.PoolStatus) Dialog {
	spec := pool.PoolSpec
	return Dialog{
		Title: "Limits of pool " + spec.Name, Yes: "Go on",
		Lines: []string{"Workers kept whatever the load, and workers at most."},
		Fields: []Field{
			{Label: "min", Hint: "now " + strconv.Itoa(spec.Min), Input: NewInput(strconv.Itoa(spec.Min))},
			{Label: "max", Hint: "now " + strconv.Itoa(spec.Max), Input: NewInput(strconv.Itoa(spec.Max))},
		},
		Then: func(d Dialog) ([]Request, error) {
			patch, err := limitsPatch(spec, d.Value(0), d.Value(1))
			if err != nil {
				return nil, err
			}
			return []Request{Ask{Dialog: confirmPatch(spec, patch)}}, nil
		},
	}.Open()
}

func limitsPatch(spec models.PoolSpec, low, high string) (models.PoolPatch, error) {
	var patch models.PoolPatch
	lo, err := strconv.Atoi(low)
	if err != nil {
		return patch, fmt.Errorf("min: %q is not a whole number", low)
	}
	hi, err := strconv.Atoi(high)
	if err != nil {
		return patch, fmt.Errorf("max: %q is not a whole number", high)
	}
	if lo != spec.Min {
		patch.Min = &lo
	}
	if hi != spec.Max {
		patch.Max = &hi
	}
	if patch.Min == nil && patch.Max == nil {
		return patch, errors.New("that is what they are now")
	}
	_, err = patch.Apply(spec)
	return patch, err
}

func confirmPatch(spec models.PoolSpec, patch models.PoolPatch) Dialog {
	var lines []string
	if patch.Min != nil {
		lines = append(lines, fmt.Sprintf("min %d → %d", spec.Min, *patch.Min))
	}
	if patch.Max != nil {
		lines = append(lines, fmt.Sprintf("max %d → %d", spec.Max, *patch.Max))
	}
	if patch.Policy != nil {
		lines = append(lines, fmt.Sprintf("policy %s → %s", spec.Policy, *patch.Policy))
	}
	return Dialog{
		Title: "Change pool " + spec.Name + "?", Yes: "Change", Lines: append(lines, ""),
		Then: func(Dialog) ([]Request, error) {
			return []Request{SetPool{Name: spec.Name, Patch: patch}}, nil
		},
	}.Open()
}

func askPolicy(pool *models.PoolStatus) Dialog {
	spec := pool.PoolSpec
	return Dialog{
		Title: "Policy of pool " + spec.Name, Yes: "Go on",
		Lines: []string{
			"predictive: what is here now or what is forecast, whichever asks for more",
			"reactive: what is here now", "static: always max", "recommend: decide and record, change nothing",
		},
		Fields: []Field{{Label: "policy", Hint: "now " + string(spec.Policy), Input: NewInput(string(spec.Policy))}},
		Then: func(d Dialog) ([]Request, error) {
			policy := models.PoolPolicy(d.Value(0))
			if policy == spec.Policy {
				return nil, errors.New("that is what it is now")
			}
			patch := models.PoolPatch{Policy: &policy}
			if _, err := patch.Apply(spec); err != nil {
				return nil, err
			}
			return []Request{Ask{Dialog: confirmPatch(spec, patch)}}, nil
		},
	}.Open()
}

// rows of the table of pools, frame and header included.
func (p Pools) tableRows(h, pools int) int {
	return min(pools+3, max(4, h*35/100))
}
