package predictor

import (
	"fmt"
	"math"
	"slices"

	"loadstar/models"
	"loadstar/predictor/baseline"
)

const (
	shortLeads   = 5    // steps ahead that drift is judged on: longer ones lag behind
	minCells     = 20   // scored targets before a model may become champion
	minSteps     = 6    // and scored steps
	leadNeeded   = 0.95 // a challenger's loss over the champion's, at most
	streakNeeded = 3    // issues in a row that it must hold for
)

// tally sums what one model's forecasts of one step's value were worth. A cell
// is one forecast of the value, made so many steps ahead; the sums of rivals are
// over the same cells, so that a model that came later is compared fairly.
type tally struct {
	cells, inside   float32
	held            float32 // of cells, those of a trial: never issued
	pinball, absErr float64 // mean over the three levels, summed over cells
	last, snaive    float64 // the same loss of those models on these cells
	absY            float64
	short, shortN   float64 // pinball of the leads up to shortLeads
}

func (t *tally) add(o tally) {
	t.cells += o.cells
	t.inside += o.inside
	t.held += o.held
	t.pinball += o.pinball
	t.absErr += o.absErr
	t.last += o.last
	t.snaive += o.snaive
	t.absY += o.absY
	t.short += o.short
	t.shortN += o.shortN
}

// scoredStep is what happened at one step and how all models did on it.
type scoredStep struct {
	index            int64
	models           []modelTally
	champErr, champN float64 // of whoever was champion when the forecast was issued
}

type modelTally struct {
	name string
	tally
}

func (s *scoredStep) of(name string) (tally, bool) {
	for i := range s.models {
		if s.models[i].name == name {
			return s.models[i].tally, true
		}
	}
	return tally{}, false
}

func (s *scoredStep) add(name string, t tally) {
	for i := range s.models {
		if s.models[i].name == name {
			s.models[i].add(t)
			return
		}
	}
	s.models = append(s.models, modelTally{name, t})
}

// board is a group's newest scored steps, ascending.
type board struct {
	steps []scoredStep
	most  int
}

// score compares a value with every kept forecast of it.
func score(kept []*issue, stepMS, index int64, y float64) (scoredStep, bool) {
	s := scoredStep{index: index}
	target := index * stepMS
	for k := len(kept) - 1; k >= 0; k-- {
		is := kept[k]
		if is.at > target {
			continue
		}
		ahead := int((target - is.at) / stepMS)
		if ahead >= is.horizon {
			if ahead >= maxHorizon {
				break
			}
			continue
		}
		var losses [maxModels]float64
		last, snaive := math.NaN(), math.NaN()
		for m, p := range is.models {
			p10, p50, p90 := p.at(ahead)
			losses[m] = (baseline.Pinball(y, p10, 0.1) + baseline.Pinball(y, p50, 0.5) + baseline.Pinball(y, p90, 0.9)) / 3
			switch p.name {
			case models.ModelLast:
				last = losses[m]
			case models.ModelSNaive:
				snaive = losses[m]
			}
		}
		for m, p := range is.models {
			p10, p50, p90 := p.at(ahead)
			t := tally{cells: 1, pinball: losses[m], absErr: math.Abs(y - p50), absY: math.Abs(y), last: losses[m], snaive: losses[m]}
			if !math.IsNaN(last) {
				t.last = last
			}
			if !math.IsNaN(snaive) {
				t.snaive = snaive
			}
			if p10 <= y && y <= p90 {
				t.inside = 1
			}
			if ahead < shortLeads {
				t.short, t.shortN = losses[m], 1
			}
			if m == is.champion {
				s.champErr += t.absErr
				s.champN++
			}
			s.add(p.name, t)
		}
	}
	return s, s.champN > 0
}

func (b *board) push(s scoredStep) {
	b.steps = append(b.steps, s)
	if len(b.steps) > b.most+b.most/4 {
		b.steps = append([]scoredStep(nil), b.steps[len(b.steps)-b.most:]...)
	}
}

// has says whether a recent step was scored.
func (b *board) has(index int64) bool {
	for _, s := range b.steps[max(0, len(b.steps)-2*lateSteps):] {
		if s.index == index {
			return true
		}
	}
	return false
}

// window is the steps that scores rest on.
func (b *board) window() []scoredStep {
	if len(b.steps) > b.most {
		return b.steps[len(b.steps)-b.most:]
	}
	return b.steps
}

// sum is a model's tally over the newest n steps, and in how many it took part.
func (b *board) sum(name string, n int) (total tally, steps int) {
	w := b.window()
	for _, s := range w[max(0, len(w)-n):] {
		if t, ok := s.of(name); ok {
			total.add(t)
			steps++
		}
	}
	return total, steps
}

// relative is a model's loss over the window over that of the last value on the same
// cells. ok is false before there is enough to go by.
func (b *board) relative(name string) (ratio float64, steps int, ok bool) {
	total, steps := b.sum(name, b.most)
	if total.cells < minCells || steps < minSteps {
		return 0, steps, false
	}
	// Losses that are nothing beside the values (a constant series) are all equal.
	tiny := 1e-9 * (total.absY + 1e-12)
	return (total.pinball + tiny) / (total.last + tiny), steps, true
}

// modelScore is a model's measures over the window. scale is the error of the
// in-sample naive forecast that MASE divides by.
func (b *board) modelScore(name string, scale float64) models.ModelScore {
	t, _ := b.sum(name, b.most)
	out := models.ModelScore{Model: name, N: int(t.cells), HeldOut: int(t.held)}
	n := float64(t.cells)
	if n == 0 {
		return out
	}
	out.MASE = ratio(t.absErr/n, scale)
	out.WAPE = ratio(t.absErr, t.absY)
	out.WQL = ratio(2*t.pinball, t.absY)
	out.Pinball = ratio(t.pinball, n)
	out.Coverage = ratio(float64(t.inside), n)
	if s := ratio(t.pinball, t.snaive); s != nil {
		skill := 1 - *s
		out.Skill = &skill
	}
	return out
}

// ratio is nil where it is not defined.
func ratio(a, b float64) *float64 {
	if r := a / b; b > 0 && !math.IsNaN(r) && !math.IsInf(r, 0) {
		return &r
	}
	return nil
}

// bench is who may be champion, and who is.
type bench struct {
	champion   string
	why        string
	challenger string
	streak     int
}

// choose looks at the board once an issue. names are the models with a forecast
// now; guess is their loss when fitted, for the time before anything is scored.
func (c *bench) choose(b *board, names []string, guess map[string]float64) (changed bool) {
	best, bestRatio, bestSteps := "", math.Inf(1), 0
	have := false
	for _, name := range names {
		have = have || name == c.champion
		if r, steps, ok := b.relative(name); ok && r < bestRatio {
			best, bestRatio, bestSteps = name, r, steps
		}
	}
	if best == "" {
		return c.first(names, guess, have)
	}
	mine, _, scored := b.relative(c.champion)
	switch {
	case !have || c.champion == "":
		return c.crown(best, b.leads(best, bestSteps, bestRatio))
	case c.champion != models.ModelEnsemble && slices.Contains(names, models.ModelEnsemble) && b.comesBack(mine, bestRatio):
		return c.crown(models.ModelEnsemble, fmt.Sprintf("the ensemble is no worse than %s over the last %d scored steps, and safer", c.champion, bestSteps))
	case best == c.champion:
		c.challenger, c.streak = "", 0
		c.why = b.leads(best, bestSteps, bestRatio)
		return false
	case !scored || bestRatio > leadNeeded*mine:
		c.challenger, c.streak = "", 0
		if scored {
			c.why = fmt.Sprintf("%s stays: %s is only %.1f %% better over the last %d scored steps, and 5 %% is needed", c.champion, best, 100*(1-bestRatio/mine), bestSteps)
		}
		return false
	}
	if c.challenger != best {
		c.challenger, c.streak = best, 0
	}
	if c.streak++; c.streak < streakNeeded {
		c.why = fmt.Sprintf("%s stays for now: %s is %.0f %% better, for %d of %d steps", c.champion, best, 100*(1-bestRatio/mine), c.streak, streakNeeded)
		return false
	}
	return c.crown(best, fmt.Sprintf("%s took over from %s: %.0f %% less loss over the last %s", best, c.champion, 100*(1-bestRatio/mine), b.evidence(best, bestSteps)))
}

// comesBack says whether the ensemble takes over again from a champion: its recent
// loss is no more, and nobody is so far ahead that it would have to go at once.
func (b *board) comesBack(mine, best float64) bool {
	r, _, ok := b.relative(models.ModelEnsemble)
	return ok && r <= mine && best > leadNeeded*r
}

// evidence says what so many scored steps of a model are.
func (b *board) evidence(name string, steps int) string {
	what := fmt.Sprintf("%d scored steps", steps)
	if held := b.heldOut(name); held > 0 {
		what += fmt.Sprintf(" (%d of them past ones that it was tried on without having seen them)", held)
	}
	return what
}

// leads says that a model is the best, and on what that rests.
func (b *board) leads(name string, steps int, ratio float64) string {
	return fmt.Sprintf("%s has the lowest loss of the last %s, %s", name, b.evidence(name, steps), versusLast(ratio))
}

// first chooses before there are scores: the least loss when fitted. It is never
// a change worth telling.
func (c *bench) first(names []string, guess map[string]float64, have bool) bool {
	best, loss := "", math.Inf(1)
	for _, name := range names {
		if g, ok := guess[name]; ok && g < loss {
			best, loss = name, g
		}
	}
	if best == "" && len(names) > 0 {
		best = names[0]
	}
	if have && (best == c.champion || loss > leadNeeded*guess[c.champion]) {
		return false
	}
	c.crown(best, best+" has the lowest loss on the past values; no forecast has been scored yet")
	return false // a guess is nothing to tell of
}

func (c *bench) crown(name, why string) bool {
	changed := name != c.champion
	c.champion, c.why, c.challenger, c.streak = name, why, "", 0
	return changed
}

func versusLast(r float64) string {
	switch {
	case r < 0.995:
		return fmt.Sprintf("%.0f %% below that of the last value", 100*(1-r))
	case r > 1.005:
		return fmt.Sprintf("%.0f %% above that of the last value", 100*(r-1))
	}
	return "as that of the last value"
}
