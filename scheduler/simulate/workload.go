package simulate

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"loadstar/models"
)

// Job is one task of a workload; its times are from the workload's start.
type Job struct {
	At  time.Duration // of its arrival
	Run time.Duration // of its work
}

// Workload is what arrives: the same for every policy.
type Workload struct {
	Start time.Time
	Bin   time.Duration
	Jobs  []Job // by At
	// Load is the offered load of each bin in busy workers, as a daemon would have
	// recorded it when the bin ended: arrivals × the mean run time known by then.
	Load []float64
	// Rate is the expected offered load of each bin, in busy workers, without the
	// noise of single arrivals.
	Rate []float64
}

// End is the workload's length.
func (w *Workload) End() time.Duration { return time.Duration(len(w.Load)) * w.Bin }

// Service is how long tasks run that the trace gives no run time of: lognormal.
type Service struct {
	Mean time.Duration // default 8s
	CV   float64       // coefficient of variation; default 0.5, negative is none
}

func (s Service) withDefaults() Service {
	if s.Mean == 0 {
		s.Mean = 8 * time.Second
	}
	if s.CV == 0 {
		s.CV = 0.5
	}
	s.CV = math.Max(s.CV, 0)
	return s
}

func (s Service) draw(rng *rand.Rand) time.Duration {
	sigma2 := math.Log1p(s.CV * s.CV)
	x := math.Exp(math.Sqrt(sigma2)*rng.NormFloat64() - sigma2/2)
	return max(time.Millisecond, time.Duration(float64(s.Mean)*x))
}

const (
	thinBelow = 0.1 // scales below draw a Poisson number: thinning leaves nothing else
	maxJobs   = 20_000_000
)

// FromCounts makes a workload of the requests counted in each bin (NaN or negative
// counts none). meanBusy scales them so that so many workers are busy on average;
// 0 leaves them as they are. Arrivals are spread evenly at random over their bin.
// Where requests are thinned out to less than a tenth, those left are a Poisson
// number; else counts are scaled and rounded at random, which adds no noise.
func FromCounts(start time.Time, bin time.Duration, counts []float64, s Service, meanBusy float64, seed uint64) (*Workload, error) {
	s = s.withDefaults()
	switch {
	case bin < time.Second:
		return nil, models.Invalid("bin", "%s is shorter than 1s", bin)
	case len(counts) < 2:
		return nil, models.Invalid("trace", "%d bins are too few", len(counts))
	case math.IsNaN(meanBusy) || meanBusy < 0 || math.IsInf(meanBusy, 0):
		return nil, models.Invalid("mean_busy", "%v is not a number of workers", meanBusy)
	}
	total := 0.0
	for _, c := range counts {
		total += count(c)
	}
	if total <= 0 || math.IsInf(total, 0) {
		return nil, models.Invalid("trace", "there is no request in it")
	}
	perBusy := s.Mean.Seconds() / bin.Seconds() // busy workers of one request a bin
	scale := 1.0
	if meanBusy > 0 {
		scale = meanBusy / (total / float64(len(counts)) * perBusy)
	}
	if scale*total > maxJobs {
		return nil, models.Invalid("mean_busy", "%.0f tasks are more than %d: choose a smaller one", scale*total, maxJobs)
	}
	w := &Workload{Start: start, Bin: bin, Rate: make([]float64, len(counts)), Jobs: make([]Job, 0, int(scale*total*1.01)+16)}
	for i, c := range counts {
		mean := count(c) * scale
		w.Rate[i] = mean * perBusy
		rng := stream(seed, streamBin, i)
		n := int(math.Floor(mean + rng.Float64()))
		if scale < thinBelow {
			n = poisson(rng, mean)
		}
		first := len(w.Jobs)
		for range n {
			w.Jobs = append(w.Jobs, Job{At: time.Duration(i)*bin + time.Duration(rng.Float64()*float64(bin)), Run: s.draw(rng)})
		}
		slices.SortStableFunc(w.Jobs[first:], byArrival)
	}
	w.record(len(counts))
	return w, nil
}

// FromJobs makes a workload of a job log. meanBusy repeats (or leaves out) jobs at
// random so that so many workers are busy on average; a repeated job comes at a
// random moment of the same bin. 0 leaves the log as it is.
func FromJobs(start time.Time, bin time.Duration, jobs []Job, meanBusy float64, seed uint64) (*Workload, error) {
	if bin < time.Second {
		return nil, models.Invalid("bin", "%s is shorter than 1s", bin)
	}
	jobs = slices.DeleteFunc(slices.Clone(jobs), func(j Job) bool { return j.At < 0 })
	if len(jobs) == 0 {
		return nil, models.Invalid("trace", "there is no job in it")
	}
	slices.SortStableFunc(jobs, byArrival)
	bins := int(jobs[len(jobs)-1].At/bin) + 1
	work := 0.0
	for i := range jobs {
		jobs[i].Run = max(jobs[i].Run, time.Millisecond)
		work += jobs[i].Run.Seconds()
	}
	span := float64(bins) * bin.Seconds()
	scale := 1.0
	if meanBusy > 0 {
		scale = meanBusy / (work / span)
	}
	if scale*float64(len(jobs)) > maxJobs {
		return nil, models.Invalid("mean_busy", "%.0f tasks are more than %d: choose a smaller one", scale*float64(len(jobs)), maxJobs)
	}
	w := &Workload{Start: start, Bin: bin, Rate: make([]float64, bins)}
	for i, j := range jobs {
		w.Rate[j.At/bin] += scale * j.Run.Seconds() / bin.Seconds()
		if scale == 1 {
			w.Jobs = append(w.Jobs, j)
			continue
		}
		rng := stream(seed, streamBin, i)
		n := int(scale + rng.Float64())
		for k := range n {
			at := j.At
			if k > 0 {
				at = j.At.Truncate(bin) + time.Duration(rng.Float64()*float64(bin))
			}
			w.Jobs = append(w.Jobs, Job{At: at, Run: j.Run})
		}
	}
	slices.SortStableFunc(w.Jobs, byArrival)
	w.record(bins)
	return w, nil
}

// record works out Load. The mean run time weighs the newest ends by a
// five-hundredth, and all alike until there are so many.
func (w *Workload) record(bins int) {
	w.Load = make([]float64, bins)
	ends := make([]Job, len(w.Jobs))
	copy(ends, w.Jobs)
	slices.SortStableFunc(ends, func(a, b Job) int { return sign(a.At + a.Run - b.At - b.Run) })
	mean, seen, next := 0.0, 0, 0
	for i := range w.Load {
		end := time.Duration(i+1) * w.Bin
		for seen < len(ends) && ends[seen].At+ends[seen].Run <= end {
			seen++
			mean += max(1.0/500, 1/float64(seen)) * (ends[seen-1].Run.Seconds() - mean)
		}
		n := 0
		for ; next < len(w.Jobs) && w.Jobs[next].At < end; next++ {
			n++
		}
		w.Load[i] = float64(n) * mean / w.Bin.Seconds()
	}
}

func byArrival(a, b Job) int { return sign(a.At - b.At) }

func sign(d time.Duration) int {
	switch {
	case d < 0:
		return -1
	case d > 0:
		return 1
	}
	return 0
}

func count(c float64) float64 {
	if math.IsNaN(c) || c < 0 {
		return 0
	}
	return c
}

// The random streams; each bin and each worker has its own.
const (
	streamBin    = 1
	streamCold   = 2
	streamOffice = 3
)

func stream(seed uint64, kind, i int) *rand.Rand {
	return rand.New(rand.NewPCG(seed*0x9e3779b97f4a7c15+uint64(kind), uint64(i)*0xbf58476d1ce4e5b9+1)) //nolint:gosec // a simulation
}

// poisson draws a Poisson number: by products of uniforms (Knuth) in parts of 30.
func poisson(rng *rand.Rand, mean float64) int {
	const part = 30
	n := 0
	for ; mean > part; mean -= part {
		n += poisson(rng, part)
	}
	limit, p := math.Exp(-mean), rng.Float64()
	for p > limit {
		n++
		p *= rng.Float64()
	}
	return n
}
