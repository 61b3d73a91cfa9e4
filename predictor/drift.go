package predictor

import (
	"fmt"
	"math"

	"loadstar/models"
)

// The drift test is that of Page (1954) and Hinkley (1971) for a rise of the
// mean, on the ratio of the champion's short-lead loss at a step to its mean over
// the window before. A ratio is taken as driftClip at most, so that no single
// spike trips it: at least four bad steps in a row do, and a loss two and a half
// times the usual does within ten.
const (
	driftClip    = 5.0
	driftSlack   = 0.5  // a ratio may exceed 1 by so much for ever
	driftTrips   = 12.0 // the statistic's threshold
	driftWarm    = 30   // scored steps before the test begins
	driftShort   = 10   // newest steps that the fallback and the end are judged on
	driftCalm    = 1.5  // over the former mean loss: drift ends below
	driftLongest = 60   // steps after which the new state is the usual one
)

type drift struct {
	on        bool
	statistic float64 // of Page and Hinkley: grows with bad steps, never below 0
	usual     float64 // mean short-lead loss before the drift
	steps     int     // since it began
	why       string
}

// watch takes the newest scored step, before it is pushed on the board. floor is
// a loss too small to matter. It returns whether drift began or ended.
func (d *drift) watch(b *board, s scoredStep, champion string, floor float64) (changed bool) {
	t, ok := s.of(champion)
	if !ok || t.shortN == 0 {
		return false
	}
	loss := t.short / t.shortN
	if d.on {
		d.steps++
		recent, n := b.sum(champion, driftShort)
		switch {
		case d.steps < driftShort || n < driftShort || recent.shortN == 0:
			return false
		case recent.short/recent.shortN <= driftCalm*d.usual+floor:
			d.why = fmt.Sprintf("the errors are back to what is usual, after %d steps", d.steps)
		case d.steps >= driftLongest:
			d.why = fmt.Sprintf("the new level counts as usual after %d steps", d.steps)
		default:
			return false
		}
		d.on, d.statistic, d.steps = false, 0, 0
		return true
	}
	before, n := b.sum(champion, b.most)
	if n < driftWarm || before.shortN == 0 {
		return false
	}
	usual := before.short/before.shortN + floor
	x := min(loss/usual, driftClip)
	d.statistic = max(0, d.statistic+x-1-driftSlack)
	if d.statistic < driftTrips {
		return false
	}
	d.on, d.steps, d.usual = true, 0, usual
	d.why = fmt.Sprintf("the errors of %s rose to %.1f times the usual", champion, loss/usual)
	return true
}

// robust are the models that a drift falls back to, simplest first.
func robust() []string {
	return []string{models.ModelLast, models.ModelHoltWinters, models.ModelSNaive}
}

// refuge is the robust model with the least short-lead loss over the newest
// steps; the last value where nothing was scored.
func refuge(b *board, names []string) string {
	best, least := "", math.Inf(1)
	for _, r := range robust() {
		for _, name := range names {
			if name != r {
				continue
			}
			if best == "" {
				best = name
			}
			if t, _ := b.sum(name, driftShort); t.shortN > 0 && t.short/t.shortN < least {
				best, least = name, t.short/t.shortN
			}
		}
	}
	return best
}
