package scheduler

import (
	"errors"
	"testing"

	"loadstar/models"
)

func TestTheSlotsOfAnHTTPPoolAreCountedAndNothingIsStartedForThem(t *testing.T) {
	b := onBench(t, models.PoolSpec{Name: "hooks", Kind: models.KindHTTP, URL: "http://h/", Max: 2})
	for _, id := range []string{"x", "y", "z"} {
		b.submit(id, func(s *models.TaskSpec) {
			s.Pool, s.Run, s.HTTP = "hooks", nil, &models.HTTPRequest{}
		})
	}
	if len(b.runs) != 2 || len(b.out) != 0 {
		t.Fatalf("%d run of 2 slots, and %d other commands were given", len(b.runs), len(b.out))
	}
	if r := b.runs[0]; r.Kind != models.KindHTTP || r.URL != "http://h/" || r.Worker != "" {
		t.Errorf("%+v", r)
	}
	b.end("SUCCESS")
	if len(b.runs) != 2 {
		t.Error("the free slot is not used")
	}
	if x := b.task("x"); x.State != models.Success || x.ExitCode != nil {
		t.Errorf("%s with exit code %v", x.State, x.ExitCode)
	}
	status, err := b.core.PoolStatus("hooks", b.now)
	if err != nil || status.Ready != 2 || status.Busy != 2 || status.ColdStartS != 0 {
		t.Errorf("%+v, %v", status, err)
	}
}

func TestATaskThatIsNotOfItsPoolsKindIsRefusedNamingTheField(t *testing.T) {
	b := onBench(t, models.PoolSpec{Name: "hooks", Kind: models.KindHTTP, Max: 2})
	s := models.NewTaskSpec()
	s.TaskID, s.Pool, s.Run = "x", "hooks", []string{"true"}
	sub, err := NewSubmission([]models.TaskSpec{s}, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	var fe *models.FieldError
	if o := b.do(Input{Submit: sub}); !errors.As(o.Err, &fe) || fe.Field != "run" || fe.TaskID != "x" {
		t.Errorf("%v", o.Err)
	}
}
