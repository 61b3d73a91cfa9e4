package baseline

import "slices"

// minimize is Nelder and Mead's downhill simplex (1965) from start, with the
// usual coefficients (1, 2, 1/2, 1/2). It calls f at most evals times plus one
// shrink, so its time is bounded; it is deterministic.
func minimize(f func([]float64) float64, start []float64, size float64, evals int) ([]float64, float64) {
	n := len(start)
	type vertex struct {
		x []float64
		v float64
	}
	points := make([]vertex, 0, n+1)
	points = append(points, vertex{slices.Clone(start), f(start)})
	for i := range n {
		x := slices.Clone(start)
		x[i] += size
		points = append(points, vertex{x, f(x)})
	}
	evals -= n + 1
	toward := func(from, to []float64, t float64) vertex {
		x := make([]float64, n)
		for i := range x {
			x[i] = from[i] + t*(to[i]-from[i])
		}
		evals--
		return vertex{x, f(x)}
	}
	for evals > 0 {
		slices.SortStableFunc(points, func(a, b vertex) int {
			switch {
			case a.v < b.v:
				return -1
			case a.v > b.v:
				return 1
			}
			return 0
		})
		worst := points[n]
		centre := make([]float64, n)
		for _, p := range points[:n] {
			for i := range centre {
				centre[i] += p.x[i] / float64(n)
			}
		}
		r := toward(centre, worst.x, -1)
		switch {
		case r.v < points[0].v:
			if e := toward(centre, worst.x, -2); e.v < r.v {
				r = e
			}
			points[n] = r
		case r.v < points[n-1].v:
			points[n] = r
		default:
			if r.v < worst.v {
				worst, points[n] = r, r
			}
			if c := toward(centre, worst.x, 0.5); c.v < worst.v {
				points[n] = c
				continue
			}
			for k := 1; k <= n; k++ {
				points[k] = toward(points[0].x, points[k].x, 0.5)
			}
		}
	}
	best := slices.MinFunc(points, func(a, b vertex) int {
		if a.v < b.v {
			return -1
		}
		return 1
	})
	return best.x, best.v
}
