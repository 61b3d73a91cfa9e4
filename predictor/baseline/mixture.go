package baseline

import "math"

const (
	mixShort     = 5     // steps ahead that have weights of their own
	mixHalf      = 150.0 // steps after which what was learnt weighs half
	mixSharpness = 8.0   // of a model's own loss, and of what moving towards it would gain
	mixPrior     = 10.0  // targets that a model's presumed loss weighs as much as
	mixLeast     = -10.0 // the most that one target speaks for a model, in losses of the mixture
)

// Mixture averages the forecasts of several models, quantile by quantile, with
// weights that it learns from what came of them. A model's weight falls with its own
// loss, and with the loss that moving towards it would have added: its pinball loss
// linearised at the mixture (the gradient trick of prediction with expert advice,
// Cesa-Bianchi and Lugosi 2006, for quantiles as in Berrisch and Ziel 2021), which
// tells two models that err together from two whose errors cancel. What was learnt
// fades with a half-life of 150 steps; the first five steps ahead and those beyond
// have weights of their own. The zero value has learnt nothing.
type Mixture struct {
	ranges [2]map[string]*mixed
}

// mixed is what is known of a model: sums over the same targets, faded.
type mixed struct {
	loss    float64 // its own
	against float64 // the mixture's
	pull    float64 // its own, linearised at the mixture, less the mixture's
	n       float64
}

// Said is a model's forecast.
type Said struct {
	Name string
	Quantiles
	// Presumed is the model's loss over the mixture's where something is known of it
	// beforehand, from a trial or from its fit; 0 is unknown.
	Presumed float64
}

// Fade lets so many steps pass.
func (m *Mixture) Fade(steps int64) {
	by := math.Exp2(-float64(max(0, steps)) / mixHalf)
	for _, r := range m.ranges {
		for _, s := range r {
			s.loss, s.against, s.pull, s.n = by*s.loss, by*s.against, by*s.pull, by*s.n
		}
	}
}

// Told is what a model said of one step: its three quantiles, ascending.
type Told struct {
	Name string
	Q    [3]float64
}

// Learn takes what happened at index i of forecasts that were made together: what
// the models said of it, and what the mixture of them was.
func (m *Mixture) Learn(i int, y float64, said []Told, mixture [3]float64) {
	if math.IsNaN(y) || len(said) == 0 {
		return
	}
	r := &m.ranges[mixRange(i)]
	if *r == nil {
		*r = map[string]*mixed{}
	}
	tiny := 1e-9*math.Abs(y) + 1e-12 // so that models without any loss are equal
	taus := [...]float64{0.1, 0.5, 0.9}
	const each = 1.0 / float64(len(taus))
	against := tiny
	for l, tau := range taus {
		against += each * Pinball(y, mixture[l], tau)
	}
	for _, s := range said {
		loss, pull := tiny, 0.0
		for l, tau := range taus {
			loss += each * Pinball(y, s.Q[l], tau)
			slope := -tau
			if y < mixture[l] {
				slope = 1 - tau
			}
			pull += each * slope * (s.Q[l] - mixture[l])
		}
		k := (*r)[s.Name]
		if k == nil {
			k = &mixed{}
			(*r)[s.Name] = k
		}
		k.loss += loss
		k.against += against
		k.pull += max(pull, mixLeast*against)
		k.n++
	}
}

func mixRange(i int) int {
	if i < mixShort {
		return 0
	}
	return 1
}

// Blend mixes forecasts of equal length. A model of which nothing is known has no
// say, unless that holds for all; then all weigh the same. ok is false without a
// forecast.
func (m *Mixture) Blend(said []Said) (out Quantiles, ok bool) {
	if len(said) == 0 {
		return Quantiles{}, false
	}
	out = NewQuantiles(len(said[0].P50))
	var weights [2][]float64
	for r := range weights {
		weights[r] = m.weights(r, said)
	}
	for k, s := range said {
		for i := range out.P50 {
			w := weights[mixRange(i)][k]
			out.P10[i] += w * s.P10[i]
			out.P50[i] += w * s.P50[i]
			out.P90[i] += w * s.P90[i]
		}
	}
	return out, true
}

// weights sum to 1. The second range leans on the first until it has seen something.
func (m *Mixture) weights(r int, said []Said) []float64 {
	known := m.ranges[r]
	if len(known) == 0 {
		known = m.ranges[0]
	}
	out, top := make([]float64, len(said)), math.Inf(-1)
	for i, s := range said {
		out[i] = known[s.Name].score(s.Presumed)
		top = max(top, out[i])
	}
	sum := 0.0
	for i, v := range out {
		out[i] = 1
		if !math.IsInf(top, -1) {
			out[i] = math.Exp(v - top)
		}
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}

// score is the logarithm of a weight; minus infinity where nothing is known.
func (k *mixed) score(presumed float64) float64 {
	switch {
	case k != nil && k.against > 0 && presumed > 0:
		prior := mixPrior * k.against / k.n
		return mixSharpness * (-math.Log((k.loss+prior*presumed)/(k.against+prior)) - k.pull/(k.against+prior))
	case k != nil && k.against > 0:
		return mixSharpness * (-math.Log(k.loss/k.against) - k.pull/k.against)
	case presumed > 0:
		return -mixSharpness * math.Log(presumed)
	}
	return math.Inf(-1)
}
