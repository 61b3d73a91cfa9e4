package autoscale

import (
	"strings"
	"testing"
	"time"

	"loadstar/models"
)

// learned is a sizer whose pool has seen a pattern.
func learned(t *testing.T, days float64) (*Sizer, models.DecisionInput) {
	t.Helper()
	s := NewSizer()
	s.advisors["p"] = drive(t, monday, days, bursty, nil)
	return s, models.DecisionInput{
		Now: monday.Add(time.Duration(days * float64(24*time.Hour))), LeadS: 180, IntervalS: 15, ServiceS: 8, ArrivalsPerS: 0.6,
		HostCPU: -1, HostCPUForecast: -1, FreeMemory: -1,
	}
}

func TestThePlanShowsTheBurstsThatAreToCome(t *testing.T) {
	s, in := learned(t, 1.75)
	before := *s.advisors["p"].advice
	plan := s.Plan(slowPool(), in, time.Minute, 60)
	if len(plan) != 60 || plan[0].At != in.Now || plan[59].At != in.Now.Add(59*time.Minute) {
		t.Fatalf("%d steps", len(plan))
	}
	calm, burst := plan[30], plan[58] // a burst begins in two minutes
	if calm.Workers > 20 || burst.Workers < 40 || !strings.Contains(burst.Why, "expect") {
		t.Errorf("calm %+v, before a burst %+v", calm, burst)
	}
	if before != *s.advisors["p"].advice {
		t.Error("planning has changed the advice")
	}
}

func TestWithoutAnExpectationThePlanKeepsToThePresentRate(t *testing.T) {
	in := calmInput()
	in.Forecast = nil
	for _, step := range NewSizer().Plan(stdioPool(), in, time.Minute, 3) {
		if step.Workers < 2 || step.Workers > 5 || !strings.Contains(step.Why, "there is no forecast yet") {
			t.Errorf("%+v", step)
		}
	}
	static := stdioPool()
	static.Policy = models.PolicyStatic
	if plan := NewSizer().Plan(static, in, time.Minute, 1); plan[0].Workers != static.Max {
		t.Errorf("%+v", plan[0])
	}
}

func TestThePlanFollowsTheForecast(t *testing.T) {
	in := calmInput()
	plan := NewSizer().Plan(stdioPool(), in, time.Second, 20)
	peak := 0
	for _, step := range plan {
		peak = max(peak, step.Workers)
	}
	if peak < 9 || plan[19].Workers >= peak || !strings.Contains(plan[0].Why, "lstm expects") {
		t.Errorf("peak %d, at last %+v", peak, plan[19])
	}
}
