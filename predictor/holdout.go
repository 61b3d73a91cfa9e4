package predictor

import (
	"context"
	"math"
	"slices"

	"loadstar/predictor/baseline"
)

const (
	holdShare     = 0.15 // of the series that is held out, its end
	evidenceSteps = 48   // scored steps of the learner that need no trial beside them
)

// trial shows, before a model is trained, how all models would have done on the
// newest stretch of the series: a learner trained on what lies before the stretch
// forecasts from every moment within it, beside baselines that see no more, as the
// service would have. Its scores are evidence at once; its forecasts were never
// issued and are not kept.
type trial struct {
	shadow *group
	cut    int64 // grid index of the first step that the learner does not know
	end    int64
	ran    bool
}

// newTrial is a trial of a job, or nil where there is evidence already or too
// little to hold out. It copies nothing of values, which must not change.
func (g *group) newTrial(cfg *Config, values []float64, end int64) *trial {
	if _, steps := g.board.sum(cfg.Learner.Name(), g.board.most); steps >= evidenceSteps {
		return nil
	}
	n := len(values)
	held := max(int(holdShare*float64(n)), g.res.Horizon+minSteps)
	held = min(held, n/3, cfg.ScoreWindow)
	every := g.res.Every.Milliseconds() / g.w.step
	cut := floorDiv(end-int64(held)+every-1, every) * every // a moment at which forecasts are due
	if held < 2*minSteps || cut >= end || baseline.Count(values[:n-int(end-cut)]) < firstForecast {
		return nil
	}
	t := &trial{shadow: newGroup(g.key, g.res, cfg), cut: cut, end: end}
	w := t.shadow.w
	w.values, w.first, w.count, w.least = values, end-int64(n), baseline.Count(values), g.w.least
	t.shadow.scoredTo = cut
	return t
}

// known is the part of a sequence that the trial's learner may see.
func (t *trial) known(data Sequence) Sequence {
	data.Values = slices.Clip(data.Values[:len(data.Values)-int(t.end-t.cut)])
	if data.Season > len(data.Values)/2 {
		data.Season = 0
	}
	return data
}

// run forecasts from every moment of the stretch and scores what came of it.
func (t *trial) run(ctx context.Context, learned Learned, learner string, pace func()) error {
	g := t.shadow
	g.learned = learned
	every := g.res.Every.Milliseconds() / g.w.step
	for end := t.cut; end < t.end; end += every {
		pace()
		if err := ctx.Err(); err != nil {
			return err
		}
		g.scoreTo(end)
		if end == t.cut || g.fitDue(end) {
			g.take(fitBaselines(g.w.upTo(end), g.w.start(g.w.first), g.step, g.res.Horizon), end)
		}
		g.issue(g.look(end, learner), end*g.w.step)
	}
	g.scoreTo(t.end)
	t.ran = true
	return nil
}

// adopt takes a trial's scores: where a step was scored live with the learner,
// that stays.
func (b *board) adopt(held []scoredStep, learner string) {
	live := make(map[int64]int, len(b.steps))
	for i := range b.steps {
		live[b.steps[i].index] = i
	}
	merged := slices.Clone(b.steps)
	for _, s := range held {
		for i := range s.models {
			s.models[i].held = s.models[i].cells
		}
		s.champErr, s.champN = 0, 0 // nobody was told of these forecasts
		i, both := live[s.index]
		switch {
		case !both:
			merged = append(merged, s)
		default:
			if _, has := merged[i].of(learner); !has {
				s.champErr, s.champN = merged[i].champErr, merged[i].champN
				merged[i] = s
			}
		}
	}
	slices.SortFunc(merged, func(a, b scoredStep) int { return int(min(max(a.index-b.index, -1), 1)) })
	b.steps = merged[max(0, len(merged)-b.most):]
}

// heldOut is in how many of the steps scores rest on a model was scored in a trial.
func (b *board) heldOut(name string) (steps int) {
	for _, s := range b.window() {
		if t, ok := s.of(name); ok && t.held > 0 {
			steps++
		}
	}
	return steps
}

// learn trains a job's model, after its trial where it has one.
func (t *trainer) learn(j *trainJob, hooks Hooks) (Learned, error) {
	prev, from := j.prev, 0.0
	if j.trial != nil {
		const part = 0.5 // of the work
		first := hooks
		first.Progress = func(done, loss float64) { hooks.Progress(part*done, loss) }
		if prev != nil {
			if to, _ := prev.Trained(); to.After(j.trial.shadow.w.start(j.trial.cut)) {
				prev = nil // it has seen what is held out
			}
		}
		early, err := t.cfg.Learner.Train(j.ctx, j.spec, j.trial.known(j.data), prev, first)
		if err == nil {
			err = j.trial.run(j.ctx, early, t.cfg.Learner.Name(), hooks.Pace)
		}
		if j.ctx.Err() != nil {
			return nil, j.ctx.Err()
		}
		prev = j.prev
		if err == nil { // else the series is too short to hold anything out
			prev, from = early, part
		}
	}
	last := hooks
	last.Progress = func(done, loss float64) { hooks.Progress(from+(1-from)*min(max(done, 0), 1), loss) }
	m, err := t.cfg.Learner.Train(j.ctx, j.spec, j.data, prev, last)
	if err == nil && m == nil {
		err = errNoModel
	}
	return m, err
}

// finite is v, or 0 for what cannot be shown.
func finite(v float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	return v
}
