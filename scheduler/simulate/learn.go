package simulate

import (
	"time"

	"loadstar/models"
	"loadstar/scheduler/autoscale"
)

// advised is the daemon's own rule with its advisor, which has seen the trace up to
// the run's beginning as it would have live.
func (p *problem) advised(spec models.PoolSpec) Sizer {
	p.once.Do(func() { p.learned = p.learn(spec.WithDefaults()) })
	advisor := p.learned.Clone()
	return func(spec models.PoolSpec, in models.DecisionInput) models.Decision {
		in.Advice = advisor.Step(spec, &in)
		return autoscale.Decide(spec, in)
	}
}

// learn has a new advisor see what comes before a run, decision by decision. What
// it looks at does not depend on the pool's size.
func (p *problem) learn(spec models.PoolSpec) *autoscale.Advisor {
	a := autoscale.NewAdvisor()
	in := models.DecisionInput{
		ServiceS: 0, IntervalS: p.cfg.Interval.Seconds(),
		LeadS: (p.cfg.ColdStart*expectedCold/100 + p.cfg.Interval + metricLag).Seconds(),
	}
	came, ended := 0, 0
	mean, variance := 0.0, 0.0
	for now := time.Duration(0); now < p.begin(); now += p.cfg.Interval {
		for came < len(p.w.Jobs) && p.w.Jobs[came].At < now {
			came++
		}
		for ; ended < came && p.w.Jobs[ended].At+p.w.Jobs[ended].Run <= now; ended++ { // as the core measures
			alpha := max(serviceAlpha, 1/float64(ended+1))
			d := p.w.Jobs[ended].Run.Seconds() - mean
			mean += alpha * d
			variance = (1 - alpha) * (variance + alpha*d*d)
		}
		in.Now, in.Arrived, in.ServiceS = p.w.Start.Add(now), uint64(came), mean //nolint:gosec // a count
		if mean > 0 {
			in.ServiceCV2 = variance / (mean * mean)
		}
		in.Forecast = p.forecastAt(now)
		a.Step(spec, &in)
	}
	a.Restart()
	return a
}

// expectedCold is the 90th percentile of the cold starts over the one asked for, in
// percent: they are drawn from 0.8 to 1.2 times that.
const expectedCold = 116

// forecastAt is the newest forecast that is there: it takes a second to be made.
func (p *problem) forecastAt(now time.Duration) *models.DemandForecast {
	if p.forecasts == nil || now < metricLag {
		return nil
	}
	return p.forecasts[min(int((now-metricLag)/p.w.Bin), len(p.forecasts)-1)]
}
