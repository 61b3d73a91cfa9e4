package scheduler

import (
	"testing"

	"loadstar/models"
)

func TestAnAttemptThatIsGivenBackWaitsAgainAsTheSameAttempt(t *testing.T) {
	b := onBench(t, oneSlot)
	b.submit("x")
	r := b.runs[0]
	b.runs = nil
	give := func(lease Lease) *Output {
		return b.do(Input{Report: &Report{Agent: "a", Returned: &Returned{TaskID: "x", Lease: lease}}})
	}
	if o := give(r.Lease + 1); len(o.Records) > 0 || b.core.refused != 1 {
		t.Errorf("another lease's attempt was taken back: %v, %d refused", o.Records, b.core.refused)
	}
	give(r.Lease)
	if len(b.runs) != 1 || b.runs[0].Attempt != 1 || b.runs[0].Lease == r.Lease {
		t.Fatalf("%+v", b.runs)
	}
	if o := give(r.Lease); len(o.Records) > 0 {
		t.Errorf("a stale one was taken back: %v", o.Records)
	}
	b.do(Input{Report: &Report{Agent: "a", Started: &Started{TaskID: "x", Lease: b.runs[0].Lease, At: b.now}}})
	if o := give(b.runs[0].Lease); len(o.Records) > 0 || b.task("x").State != models.Running {
		t.Errorf("a running one was taken back: %v", o.Records)
	}
}

func TestAnAttemptThatIsGivenBackWhileItIsCancelledIsCancelled(t *testing.T) {
	b := onBench(t, oneSlot)
	b.submit("x")
	b.do(Input{Cancel: &models.Selection{IDs: []string{"x"}}})
	b.do(Input{Report: &Report{Agent: "a", Returned: &Returned{TaskID: "x", Lease: b.runs[0].Lease}}})
	if got := b.task("x"); got.State != models.Cancelled || len(got.Attempts) != 1 || got.Attempts[0].Outcome != "CANCELLED" {
		t.Errorf("%+v", got)
	}
}
