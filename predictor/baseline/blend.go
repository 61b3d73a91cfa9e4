package baseline

import "math"

const (
	blendShort     = 5   // steps ahead that are weighed by themselves
	blendSharpness = 4.0 // weights go with the inverse loss to this power, so that a bad model fades
)

// Losses are a model's mean recent losses: of the first five steps ahead, and of
// those beyond. 0 is unknown.
type Losses struct{ Short, Long float64 }

// Blend averages forecasts, quantile by quantile, each weighted by the inverse of
// its recent loss. One whose loss is unknown has no say, unless all are; then all
// weigh the same. ok is false without a forecast.
func Blend(forecasts []Quantiles, losses []Losses) (out Quantiles, ok bool) {
	if len(forecasts) == 0 {
		return Quantiles{}, false
	}
	out = NewQuantiles(len(forecasts[0].P50))
	short := blendWeights(losses, func(l Losses) float64 { return l.Short })
	long := blendWeights(losses, func(l Losses) float64 {
		if l.Long > 0 {
			return l.Long
		}
		return l.Short
	})
	for k, q := range forecasts {
		for i := range out.P50 {
			w := long[k]
			if i < blendShort {
				w = short[k]
			}
			out.P10[i] += w * q.P10[i]
			out.P50[i] += w * q.P50[i]
			out.P90[i] += w * q.P90[i]
		}
	}
	return out, true
}

// blendWeights sum to 1.
func blendWeights(losses []Losses, of func(Losses) float64) []float64 {
	best := math.Inf(1)
	for _, l := range losses {
		if v := of(l); v > 0 {
			best = min(best, v)
		}
	}
	out, sum := make([]float64, len(losses)), 0.0
	for i, l := range losses {
		switch v := of(l); {
		case math.IsInf(best, 1):
			out[i] = 1
		case v > 0:
			out[i] = math.Pow(best/v, blendSharpness)
		}
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}
