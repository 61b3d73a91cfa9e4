package autoscale

import "math"

// queueModel is an M/M/n queue, corrected for the variability of the service
// time, seen at one offered load. It walks n upward by the Erlang-B recursion
//
//	B(0) = 1,  B(k) = a B(k-1) / (k + a B(k-1))
//
// (Jagerman's stable form), so that asking for n = 1, 2, 3, … costs O(1) each.
type queueModel struct {
	load     float64 // offered load a, in busy workers
	serviceS float64 // mean service time, seconds
	scv      float64 // squared coefficient of variation of the service time
	n        int
	blocking float64 // Erlang-B of n servers
}

func newQueueModel(load, serviceS, scv float64) queueModel {
	return queueModel{load: load, serviceS: serviceS, scv: scv, blocking: 1}
}

// next adds one server.
func (q *queueModel) next() {
	q.n++
	ab := q.load * q.blocking
	q.blocking = ab / (float64(q.n) + ab)
}

// waitExceeds is P(wait > t seconds) with the present number of servers:
// Erlang-C times an exponential tail. The tail's rate carries the Allen-Cunneen
// factor 2/(ca²+cs²) with Poisson arrivals (ca² = 1); it is exact for
// exponential service times.
func (q *queueModel) waitExceeds(t float64) float64 {
	if q.load <= 0 {
		return 0
	}
	n := float64(q.n)
	if n <= q.load {
		return 1
	}
	rho := q.load / n
	waits := q.blocking / (1 - rho*(1-q.blocking)) // Erlang-C
	rate := (n - q.load) / q.serviceS * 2 / (1 + q.scv)
	return waits * math.Exp(-rate*t)
}

// Workers is the smallest number of workers, at most limit, with which the share
// of tasks that wait longer than waitS seconds stays within violations, averaged
// over equally likely offered loads (in busy workers). The average over the
// loads, rather than the size for one of them, is what an uncertain rate asks for
// (Zan, Hasenbein and Morton, arXiv 1304.6701).
//
// serviceS is the mean service time in seconds; scv its squared coefficient of
// variation. No load needs no worker.
func Workers(loads []float64, serviceS, scv, waitS, violations float64, limit int) int {
	queues := make([]queueModel, 0, len(loads))
	for _, a := range loads {
		if a > 0 && !math.IsNaN(a) && !math.IsInf(a, 0) {
			queues = append(queues, newQueueModel(a, serviceS, scv))
		}
	}
	if len(queues) == 0 {
		return 0
	}
	for n := 1; n < limit; n++ {
		late := 0.0
		for i := range queues {
			queues[i].next()
			late += queues[i].waitExceeds(waitS)
		}
		if late <= violations*float64(len(loads)) {
			return n
		}
	}
	return limit
}
