package lstm

import (
	"cmp"
	"slices"
)

// miss is how far a target was from the median, in distances of the outer quantile
// from it, and that distance.
type miss struct{ ratio, room float64 }

// calibrate fits, for each step ahead, what the distances below and above the
// median must be multiplied by so that a tenth of the validation targets falls
// below P10 and a tenth above P90: conformalized quantile regression in its
// normalised, one-sided form. A target counts by the width of its own interval,
// which makes the factor the one of least pinball loss, and keeps idle stretches,
// all of one value, from deciding for the busy ones. Steps ahead are pooled with
// those around them, and with few targets the factor is drawn towards 1.
func calibrate(raw, targets, weights []float32, d dims, stretch [][2]float32) {
	below, above := make([][]miss, d.horizon), make([][]miss, d.horizon)
	var q, slopes [NumQuantiles]float32
	for i, w := range weights {
		if w == 0 {
			continue
		}
		h := i % d.horizon
		spread(raw[i*NumQuantiles:(i+1)*NumQuantiles], q[:], slopes[:])
		median := q[middle]
		below[h] = append(below[h], missOf(median-targets[i], median-q[0], w))
		above[h] = append(above[h], missOf(targets[i]-median, q[NumQuantiles-1]-median, w))
	}
	reach := max(1, d.horizon/8)
	for h := range d.horizon {
		from, to := max(0, h-reach), min(d.horizon, h+reach+1)
		stretch[h] = [2]float32{factor(below[from:to]), factor(above[from:to])}
	}
}

func missOf(away, room, weight float32) miss {
	room = max(room, 1e-4)
	return miss{float64(away) / float64(room), float64(room) * float64(weight)}
}

// doubt is how many targets that ask for no change are taken to stand beside those
// seen: neighbours in time are alike, so a slice tells less than its length.
const doubt = 100

// factor is the conformal quantile of pooled misses, drawn towards 1.
func factor(pool [][]miss) float32 {
	all := slices.Concat(pool...)
	if len(all) == 0 {
		return 1
	}
	slices.SortFunc(all, func(a, b miss) int { return cmp.Compare(a.ratio, b.ratio) })
	total := 0.0
	for _, m := range all {
		total += m.room
	}
	n := float64(len(all)) / float64(len(pool)) // targets of one step: those of its neighbours are nearly the same
	goal, sum, ratio := min(1, 0.9*(1+1/max(n, 1)))*total, 0.0, 1.0
	for _, m := range all {
		ratio = m.ratio
		if sum += m.room; sum >= goal {
			break
		}
	}
	f := min(max(ratio, 0.25), 4)
	return float32((f*n + doubt) / (n + doubt))
}
