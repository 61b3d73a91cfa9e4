package agent

import (
	"testing"
	"testing/synctest"
	"time"

	"loadstar/models"
	"loadstar/scheduler"
)

// within is a run command that lets no more than slots of its pool run at once.
func within(slots int, c scheduler.Command) scheduler.Command {
	c.Run.Slots = slots
	return c
}

func urgent(p models.Priority, c scheduler.Command) scheduler.Command {
	c.Run.Task.Priority = p
	return c
}

func TestWhatIsBeyondTheSlotsWaitsAndTheMoreUrgentIsNext(t *testing.T) {
	s := newStand(t, nil)
	s.Send([]scheduler.Command{
		within(1, run("a", 1, "", sh("sleep 1000"))),
		within(1, urgent(50, run("b", 2, "", sh("exit 0")))),
		within(1, urgent(50, run("c", 3, "", sh("exit 0")))),
		within(1, urgent(90, run("d", 4, "", sh("exit 0")))),
	})
	s.expect("started a/1")
	s.Send([]scheduler.Command{{Kill: &scheduler.Kill{TaskID: "a", Lease: 1}}})
	s.expect("finished a/1 CANCELLED 137", "started d/4", "finished d/4 SUCCESS 0", "started b/2", "finished b/2 SUCCESS 0", "started c/3", "finished c/3 SUCCESS 0")
}

func TestWhatHasNotBegunIsGivenBackOnRecallAndWhatRunsGoesOn(t *testing.T) {
	s := newStand(t, nil)
	s.Send([]scheduler.Command{
		within(1, run("a", 1, "", sh("sleep 1000"))),
		within(1, run("b", 2, "", sh("exit 0"))),
		within(1, run("c", 3, "", sh("exit 0"))),
	})
	s.expect("started a/1")
	s.Send([]scheduler.Command{
		{Recall: &scheduler.Recall{TaskID: "a", Lease: 1}},
		{Recall: &scheduler.Recall{TaskID: "b", Lease: 1}},
		{Recall: &scheduler.Recall{TaskID: "b", Lease: 2}},
		{Kill: &scheduler.Kill{TaskID: "c", Lease: 3, Grace: patience}},
		within(1, run("b", 4, "", sh("exit 0"))), // the same attempt, assigned anew
	})
	s.expect("returned b/2", "finished c/3 CANCELLED -")
	s.Send([]scheduler.Command{{Limit: &scheduler.Limit{Pool: "", Slots: 2}}})
	s.expect("started b/4", "finished b/4 SUCCESS 0")
}

// A report is only held back while work waits for a slot here, and then by no more
// than the delay.
func TestReportsAreGatheredWhileWorkWaitsAndALoneTasksNever(t *testing.T) {
	s := newStand(t, nil)
	synctest.Test(t, func(t *testing.T) {
		a, err := New(Config{Slots: 1, Logs: s.logs, BatchMax: 3})
		if err != nil {
			t.Fatal(err)
		}
		defer a.http.Close()
		took := func(waiting int32, reports int) time.Duration {
			a.waiting.Store(waiting)
			a.outbox.Take()
			for range reports {
				a.report(scheduler.Report{Started: &scheduler.Started{}})
			}
			began := time.Now()
			a.gather(nil)
			return time.Since(began)
		}
		for _, c := range []struct {
			waiting int32
			reports int
			want    time.Duration
		}{{0, 1, 0}, {0, 3, 0}, {1, 0, 0}, {1, 1, 2 * time.Millisecond}, {1, 3, 0}} {
			if got := took(c.waiting, c.reports); got != c.want {
				t.Errorf("%d reports while %d attempts wait: held back for %s, want %s", c.reports, c.waiting, got, c.want)
			}
		}
	})
}
