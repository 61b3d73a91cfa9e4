package demo

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"loadstar/models"
)

const (
	daySeconds = 24 * 60 * 60
	startHour  = 4 // of the day, when the show begins
)

// Trace is a demand on the show's clock: tasks expected in each second, for the
// past that goes into the history and for the time of the show.
type Trace struct {
	Name     string
	Day      int       // seconds of the show that one day takes
	Past     []float64 // tasks in each second before the start, as they came
	Live     []float64 // tasks expected in each second of the show
	ServiceS float64   // mean service time of a task, seconds
	Scale    float64   // what the source's values were multiplied by, to fit the pool
}

// burst is a time of day at which tasks come all at once, as a cron job, a
// nightly build or the start of a shift brings them.
type burst struct {
	hour    float64 // of the day
	minutes float64
	rate    float64 // tasks a second of the show
}

// Generate makes a day-and-burst demand: an office day's swell, and three bursts
// at the same times every day, each day a little different. speed is how many
// seconds of the day pass in one second of the show; pastDays full days precede
// the start, which is at 04:00. Equal arguments give equal traces.
func Generate(speed float64, pastDays int, length time.Duration, seed uint64) Trace {
	day := max(24, int(math.Round(daySeconds/speed)))
	t := Trace{Name: "generated office day with three bursts", Day: day, ServiceS: 0.8, Scale: 1}
	rng := rand.New(rand.NewPCG(seed, 1))
	bursts := []burst{{8.5, 105, 6.5}, {13, 90, 5}, {18.5, 105, 7.5}}
	start := int(startHour / 24 * float64(day)) // the show's first second, on the day's clock
	level := 1.0
	rate := func(second int) float64 {
		hour := 24 * float64((second%day+day)%day) / float64(day)
		r := 0.35 + 1.1*math.Pow(math.Max(0, math.Sin(math.Pi*(hour-6)/14)), 1.5)
		for _, b := range bursts {
			if hour >= b.hour && hour < b.hour+b.minutes/60 {
				r += b.rate
			}
		}
		return level * r
	}
	for s := start - pastDays*day; s < start; s++ {
		if (s-start)%day == 0 {
			level = 0.9 + 0.2*rng.Float64()
		}
		t.Past = append(t.Past, poisson(rng, rate(s)))
	}
	level = 0.9 + 0.2*rng.Float64()
	for s := range int(math.Ceil(length.Seconds())) {
		t.Live = append(t.Live, rate(start+s))
	}
	return t
}

// FromSeries makes a demand of a recorded series of counts: resampled onto the
// show's seconds at the given speed and scaled to a mean offered load of
// meanBusy workers. The last length of it is the show, what stands before it the
// past.
func FromSeries(name string, points []models.Point, stepS, speed float64, length time.Duration, meanBusy float64) (Trace, error) {
	t := Trace{Name: name, Day: max(1, int(math.Round(daySeconds/speed))), ServiceS: 0.8}
	seconds := resample(points, stepS, speed)
	live := int(math.Ceil(length.Seconds()))
	if past := len(seconds) - live; past < t.Day || past < 60 {
		return t, models.Invalid("--trace", "%s lasts %d s at speed %g: it must leave a day (%d s) and a minute before the %d s of the show", name, len(seconds), speed, t.Day, live)
	}
	mean := 0.0
	for _, v := range seconds {
		mean += v / float64(len(seconds))
	}
	if !(mean > 0) {
		return t, models.Invalid("--trace", "%s has no arrivals in it", name)
	}
	t.Scale = meanBusy / t.ServiceS / mean
	for i := range seconds {
		seconds[i] *= t.Scale
	}
	const keepDays = 10
	from := max(0, len(seconds)-live-keepDays*t.Day)
	t.Past, t.Live = seconds[from:len(seconds)-live], seconds[len(seconds)-live:]
	return t, nil
}

// resample spreads each step's count evenly over the show's seconds that it covers.
func resample(points []models.Point, stepS, speed float64) []float64 {
	if len(points) == 0 || stepS <= 0 || speed <= 0 {
		return nil
	}
	first := points[0].At
	total := points[len(points)-1].At.Sub(first).Seconds() + stepS
	out := make([]float64, int(total/speed))
	for _, p := range points {
		from := p.At.Sub(first).Seconds() / speed
		to := from + stepS/speed
		for s := int(from); s < len(out) && float64(s) < to; s++ {
			overlap := math.Min(to, float64(s+1)) - math.Max(from, float64(s))
			out[s] += p.Value * overlap / (to - from)
		}
	}
	return out
}

// poisson draws a count by Knuth's product of uniforms; the rates here are small.
func poisson(rng *rand.Rand, mean float64) float64 {
	limit, product, n := math.Exp(-mean), rng.Float64(), 0.0
	for product > limit {
		product *= rng.Float64()
		n++
	}
	return n
}

// Arrival is a task to come: when, from the start, and how long it will take.
type Arrival struct {
	At      time.Duration
	Service time.Duration
}

// Arrivals draws the show's tasks: a Poisson number in each second at uniform
// moments, each with a lognormal service time (coefficient of variation 0.5).
func (t Trace) Arrivals(seed uint64) []Arrival {
	rng := rand.New(rand.NewPCG(seed, 2))
	const cv2 = 0.25
	sigma := math.Sqrt(math.Log(1 + cv2))
	mu := math.Log(t.ServiceS) - sigma*sigma/2
	var all []Arrival
	for s, mean := range t.Live {
		for range int(poisson(rng, math.Min(mean, 500))) {
			at := time.Duration((float64(s) + rng.Float64()) * float64(time.Second))
			service := math.Exp(mu + sigma*rng.NormFloat64())
			all = append(all, Arrival{At: at, Service: time.Duration(service * float64(time.Second))})
		}
	}
	sortArrivals(all)
	return all
}

// Clock is the compressed day's time at a moment of the show, as "day 3 08:30".
func (t Trace) Clock(elapsed time.Duration) string {
	minutes := startHour*60 + int(elapsed.Seconds()*24*60/float64(t.Day))
	return fmt.Sprintf("day %d %02d:%02d", 1+minutes/(24*60), minutes/60%24, minutes%60)
}

// History is the past as the collector would have kept it, up to the given
// moment: arrivals (tasks/s) and offered load (busy workers) a second.
func (t Trace) History(until time.Time) (arrivals, load []models.Point) {
	from := until.Truncate(time.Second).Add(-time.Duration(len(t.Past)) * time.Second)
	for i, v := range t.Past {
		at := from.Add(time.Duration(i) * time.Second)
		arrivals = append(arrivals, models.Point{At: at, Value: v})
		load = append(load, models.Point{At: at, Value: v * t.ServiceS})
	}
	return arrivals, load
}

func sortArrivals(all []Arrival) {
	slices.SortFunc(all, func(a, b Arrival) int { return cmp.Compare(a.At, b.At) })
}
