package autoscale

import (
	"fmt"
	"time"

	"loadstar/models"
)

// When a forecast counts. The numbers are the ones of docs/forecasting.md.
const (
	minScored    = 30   // scored targets before skill and coverage mean anything
	minCoverage  = 0.65 // of the nominal 0.80 between P10 and P90
	staleSteps   = 3    // a forecast older than so many steps or decisions is stale
	hostCPUCap   = 0.95 // a host forecast busier than this gets no worker ahead of need
	memoryMargin = 0.10 // of the free memory is left alone
)

// gate says whether the forecast may add workers, and why not where it may not.
func gate(p models.PoolSpec, in *models.DecisionInput) (open bool, why string) {
	coldStart := in.LeadS - in.IntervalS
	switch {
	case p.Policy == models.PolicyReactive:
		return false, "the policy is reactive"
	case p.Kind.Slots():
		return false, fmt.Sprintf("a slot of kind %s has no cold start, so nothing is gained by opening it early", p.Kind)
	case coldStart <= p.SLO.Std().Seconds()-in.IntervalS:
		return false, fmt.Sprintf("a worker is up in %.1fs, within the wait target of %s: reacting is early enough", coldStart, p.SLO)
	case advised(in):
		return gateAdvised(in)
	}
	return gateForecast(in)
}

// gateAdvised goes by what the rules would have cost: the best one counts where it
// looks further than the present rate, and where it goes by the forecast's model,
// that must be in order.
func gateAdvised(in *models.DecisionInput) (open bool, why string) {
	best, rate := in.Advice.Best, in.Advice.Rate
	cost := func(r *models.AdvisedRule) string {
		return fmt.Sprintf("%.2g %% late with %.1f workers", 100*r.Late, r.Workers)
	}
	if !best.Forecast {
		return false, fmt.Sprintf("no forecast would lately have been worth more than the present rate with spare workers (%s)", cost(best))
	}
	if best.Model {
		if open, why := gateForecast(in); !open {
			return false, why
		}
	}
	why = fmt.Sprintf("%s would lately have left %s", best.Rule, cost(best))
	if rate != nil {
		why += fmt.Sprintf(", the present rate %s", cost(rate))
	}
	return true, why
}

// gateForecast says whether the forecast's model is to be trusted.
func gateForecast(in *models.DecisionInput) (open bool, why string) {
	f := in.Forecast
	switch {
	case f == nil || len(f.Values) == 0:
		return false, "there is no forecast yet"
	case in.Now.Sub(f.IssuedAt) > staleAfter(f, in):
		return false, fmt.Sprintf("the forecast is %s old", in.Now.Sub(f.IssuedAt).Round(time.Second))
	case f.Drift:
		return false, "the series has drifted from what the forecast learned"
	case f.Scored < minScored:
		return false, fmt.Sprintf("%d of %d forecasts scored before it is trusted", f.Scored, minScored)
	case f.Skill < 0, f.Skill == 0 && f.Model != models.ModelSNaive: // seasonal naive itself has skill 0 by definition
		return false, fmt.Sprintf("the forecast is no better than seasonal naive lately (skill %.2f)", f.Skill)
	case f.Coverage < minCoverage:
		return false, fmt.Sprintf("only %.0f %% of what came fell within P10 to P90", 100*f.Coverage)
	}
	return true, fmt.Sprintf("%s is trusted: skill %.2f, coverage %.0f %% over %d scored forecasts", f.Model, f.Skill, 100*f.Coverage, f.Scored)
}

func staleAfter(f *models.DemandForecast, in *models.DecisionInput) time.Duration {
	return time.Duration(staleSteps * max(f.StepS, in.IntervalS) * float64(time.Second))
}
