package lstm

import (
	"slices"

	"loadstar/predictor/features"
)

// calibrate fits, for each step ahead, what the distances below and above the
// median must be multiplied by so that a tenth of the validation targets falls
// below P10 and a tenth above P90: conformalized quantile regression in its
// normalised, one-sided form. Steps ahead are pooled with those around them, and
// with few targets the factor is drawn towards 1.
func calibrate(raw, targets, weights []float32, d dims, stretch [][2]float32) {
	below, above := make([][]float64, d.horizon), make([][]float64, d.horizon)
	var q, slopes [NumQuantiles]float32
	for i, w := range weights {
		if w == 0 {
			continue
		}
		h := i % d.horizon
		spread(raw[i*NumQuantiles:(i+1)*NumQuantiles], q[:], slopes[:])
		median := q[middle]
		below[h] = append(below[h], ratio(median-targets[i], median-q[0]))
		above[h] = append(above[h], ratio(targets[i]-median, q[NumQuantiles-1]-median))
	}
	reach := max(1, d.horizon/8)
	for h := range d.horizon {
		from, to := max(0, h-reach), min(d.horizon, h+reach+1)
		stretch[h] = [2]float32{factor(below[from:to]), factor(above[from:to])}
	}
}

func ratio(away, room float32) float64 { return float64(away) / float64(max(room, 1e-4)) }

// factor is the conformal quantile of pooled ratios, drawn towards 1 as if there
// were 30 more targets that ask for no change.
func factor(pool [][]float64) float32 {
	all := slices.Concat(pool...)
	if len(all) == 0 {
		return 1
	}
	slices.Sort(all)
	n := float64(len(all)) / float64(len(pool)) // targets of one step: those of its neighbours are nearly the same
	p := min(1, 0.9*(1+1/max(n, 1)))
	f := min(max(features.Quantile(all, p), 0.25), 4)
	return float32((f*n + 30) / (n + 30))
}
