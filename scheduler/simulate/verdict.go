package simulate

import (
	"fmt"
	"math"
	"slices"
	"time"
)

const (
	neededGrowth = 0.25 // demand must grow so much within one cold start, once in a hundred
	neededSkill  = 0.2  // and so much of the error of knowing the past must be foreseen
)

// Verdict says whether prediction can pay on a trace, before any policy is run.
type Verdict struct {
	// GrowthP99 is the 99th percentile, over the bins after the warm-up, of the
	// relative growth of the offered load from the cold start's length before a
	// moment to the same length after it.
	GrowthP99 float64 `json:"growth_p99"`
	// Skill is 1 − the forecast's mean absolute error at one cold start ahead over
	// the best of three simple rules': the last value, the mean of the last five
	// minutes, the value a day ago. Nil where nothing was forecast.
	Skill    *float64 `json:"skill"`
	Coverage *float64 `json:"coverage"` // share of the loads within P10 to P90 then; 0.8 is right
	Model    string   `json:"model"`    // which forecast most of the time
	Needed   bool     `json:"needed"`
	Text     string   `json:"text"`
}

// floorBusy keeps growth from an idle pool finite: loads below half a worker count as that.
const floorBusy = 0.5

func (p *problem) verdict() Verdict {
	v := Verdict{GrowthP99: p.growth(0.99)}
	p.skill(&v)
	v.Needed, v.Text = p.judge(&v)
	return v
}

func (p *problem) judge(v *Verdict) (needed bool, text string) {
	cold := p.cfg.ColdStart
	grows := fmt.Sprintf("Within one cold start of %s demand grows by %.0f %% or more in one moment of a hundred", cold, 100*v.GrowthP99)
	switch {
	case cold <= p.cfg.SLO:
		return false, fmt.Sprintf("You do not need prediction here: a worker is up in %s, within the wait target of %s, so reacting is early enough.", cold, p.cfg.SLO)
	case v.GrowthP99 < neededGrowth:
		return false, fmt.Sprintf("You do not need prediction here: in 99 moments of a hundred demand grows by less than %.0f %% within one cold start of %s, which a reactive rule's spare workers cover.", 100*v.GrowthP99, cold)
	case v.Skill == nil:
		return false, grows + ", but there was too little history for a forecast."
	case *v.Skill < neededSkill:
		return false, fmt.Sprintf("You do not need prediction here: %s, but the forecast foresees little of it (skill %.2f over the best simple rule). Spare workers are what helps.", lower(grows), *v.Skill)
	}
	return true, fmt.Sprintf("Prediction can pay here: %s, and the forecast foresees it (skill %.2f over the best simple rule).", lower(grows), *v.Skill)
}

func lower(s string) string { return "w" + s[1:] }

// growth is a quantile of the relative growth within one cold start.
func (p *problem) growth(q float64) float64 {
	n := max(1, int(math.Round(float64(p.cfg.ColdStart)/float64(p.w.Bin))))
	first := max(n, int(p.cfg.from(p.w)/p.w.Bin))
	var all []float64
	for i := first; i+n <= len(p.w.Rate); i++ {
		before, after := mean(p.w.Rate[i-n:i]), mean(p.w.Rate[i:i+n])
		all = append(all, math.Max(after, floorBusy)/math.Max(before, floorBusy)-1)
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return finite(rank(all, q))
}

func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}

// skill scores the forecasts one cold start ahead. Loads are averaged over the
// bins of one cold start, so that the noise of a single bin, which nobody can
// foresee, does not hide what can be.
func (p *problem) skill(v *Verdict) {
	lead := max(1, int(math.Ceil(float64(p.cfg.ColdStart)/float64(p.w.Bin))))
	day := int(24 * time.Hour / p.w.Bin)
	const five = 5 * time.Minute
	short := max(1, int(five/p.w.Bin))
	var ours, last, some, daily, inside, n, dayN float64
	counts := map[string]int{}
	load := p.w.Load
	for k := max(short, int(p.cfg.from(p.w)/p.w.Bin)); k+lead <= len(load) && k < len(p.forecasts); k++ {
		f := p.forecasts[k]
		if f == nil || len(f.Values) < lead || len(f.Levels) != len(f.Values[lead-1]) {
			continue
		}
		y := load[k+lead-1]
		row := f.Values[lead-1]
		mid := row[len(row)/2]
		ours += math.Abs(y - mid)
		last += math.Abs(y - load[k-1])
		some += math.Abs(y - mean(load[k-short:k]))
		if at := k + lead - 1 - day; at >= 0 && at < k {
			daily += math.Abs(y - load[at])
			dayN++
		}
		if row[0] <= y && y <= row[len(row)-1] {
			inside++
		}
		counts[f.Model]++
		n++
	}
	if n == 0 {
		return
	}
	best := math.Min(last, some) / n
	if dayN > 0 {
		best = math.Min(best, daily/dayN)
	}
	s, c := 0.0, inside/n
	if best > 0 {
		s = finite(1 - ours/n/best)
	}
	v.Skill, v.Coverage = &s, &c
	for _, name := range sortedKeys(counts) {
		if v.Model == "" || counts[name] > counts[v.Model] {
			v.Model = name
		}
	}
}

func sortedKeys(m map[string]int) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
