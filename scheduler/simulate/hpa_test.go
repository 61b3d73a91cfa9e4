package simulate

import (
	"math"
	"testing"
	"time"

	"loadstar/models"
)

func TestTheHorizontalAutoscalersRule(t *testing.T) {
	p := problemOf(t, Config{Warmup: 0.2}, swinging(t, 120, 4, 1))
	for _, c := range []struct {
		name string
		in   models.DecisionInput
		want int
	}{
		{"nothing there and nothing to do", models.DecisionInput{}, 0},
		{"the first task starts the first worker", models.DecisionInput{Queued: 9}, 1},
		{"while none is ready nothing is known", models.DecisionInput{Starting: 3, Queued: 50}, 3},
		{"within a tenth of the target it stays", models.DecisionInput{Ready: 10, Busy: 7, Queued: 0}, 10},
		{"above it grows by the ratio", models.DecisionInput{Ready: 10, Busy: 10, Queued: 0}, 15},
		{"at most to twice what is there", models.DecisionInput{Ready: 10, Busy: 10, Queued: 100}, 20},
		{"or by four where that is more", models.DecisionInput{Ready: 2, Busy: 2, Queued: 100}, 6},
		{"those that start count as idle", models.DecisionInput{Ready: 10, Starting: 10, Busy: 10, Queued: 4}, 20},
		{"below it shrinks", models.DecisionInput{Ready: 10, Busy: 3}, 5},
	} {
		spec, sizer := p.sizer(Reactive, 0.7)
		c.in.Now = midnight
		if d := sizer(spec, c.in); d.Want != min(c.want, spec.Max) {
			t.Errorf("%s: %d, want %d", c.name, d.Want, c.want)
		}
	}
}

func TestHoltWintersLearnsTheDayAndLooksNoFurtherThanItHasSeen(t *testing.T) {
	day := func(i int) float64 { return 5 + 3*math.Sin(2*math.Pi*float64(i)/1440) }
	w := &Workload{Start: midnight, Bin: time.Minute, Load: make([]float64, 4*1440)}
	for i := range w.Load {
		w.Load[i] = day(i)
	}
	now := 3*24*time.Hour + 6*time.Hour
	h := newHoltWinters(w, &Config{ColdStart: 3 * time.Minute})
	for i := int(now / time.Minute); i < len(w.Load); i++ {
		w.Load[i] = 1000 // what is to come
	}
	if got, want := h.ahead(now, 180), day(int(now/time.Minute)); math.Abs(got-want) > 0.3 {
		t.Errorf("%.2f, the day has %.2f", got, want)
	}
	if got := newHoltWinters(w, &Config{}).ahead(5*time.Hour, 180); got != 0 {
		t.Errorf("%.2f before the first day is over", got)
	}
}
