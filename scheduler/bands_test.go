package scheduler

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"loadstar/models"
)

func TestAQueueIsToldByPriority(t *testing.T) {
	b := onBench(t, oneSlot)
	b.submit("running")
	b.submit("low", priority(30))
	b.now = b.now.Add(4 * time.Second)
	b.submit("normal")
	b.submit("second")
	b.now = b.now.Add(time.Second)
	b.submit("high", priority(70))
	b.do(Input{Prioritize: &PriorityCall{Selection: models.Selection{IDs: []string{"second"}}, Priority: 90}})
	b.end("SUCCESS") // the next to run is second
	b.end("SUCCESS")
	b.now = b.now.Add(2 * time.Second)
	got := b.core.Queues(b.now)
	if len(got) != 1 {
		t.Fatalf("%d queues", len(got))
	}
	want := models.PriorityBands()
	want[0].Started = 1
	want[0].WaitMS = models.Quantiles{P50: 1000, P95: 1000, P99: 1000}
	want[2].Queued, want[2].OldestWaitS, want[2].Started = 1, 3, 1
	want[2].WaitMS = models.Quantiles{P50: 5000, P95: 5000, P99: 5000} // its start is told with its end here
	want[3].Queued, want[3].OldestWaitS = 1, 7
	if d := cmp.Diff(want[:], got[0].Bands); d != "" {
		t.Error(d)
	}
	whole := models.QueueStatus{Pool: "default", Queued: 2, OldestWaitS: 7}
	if d := cmp.Diff(whole, got[0], cmpopts.IgnoreFields(models.QueueStatus{}, "Bands", "Counters")); d != "" {
		t.Error(d)
	}
}

func TestABandBeyondWhatIsLookedAtHasABound(t *testing.T) {
	b := onBench(t, oneSlot)
	b.submit("running")
	for i := range bandScan + 10 {
		b.submit("low-"+string(rune('a'+i%26))+time.Duration(i).String(), priority(30))
	}
	b.now = b.now.Add(5 * time.Second)
	b.submit("high", priority(70))
	b.now = b.now.Add(time.Second)
	bands := b.core.Queues(b.now)[0].Bands
	if got := bands[1]; got.Queued != 1 || !got.AtMost || got.OldestWaitS != 6 {
		t.Errorf("high is %+v", got)
	}
	if got := bands[3]; got.AtMost || got.OldestWaitS != 6 {
		t.Errorf("low is %+v", got)
	}
}
