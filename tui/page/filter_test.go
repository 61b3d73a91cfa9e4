package page

import (
	"testing"
	"time"

	"loadstar/models"
)

func TestAFilterIsReadAndWrittenAlike(t *testing.T) {
	for in, want := range map[string]string{
		"":                                   "",
		"two words":                          "two words",
		"state:fail,run pool:gpu x":          "state:FAILED,RUNNING pool:gpu x",
		"state:!success":                     "state:PENDING,ASSIGNED,RUNNING,FAILED,CANCELLED",
		"label:team=a wait:>10s prio:>=70":   "label:team=a wait:>10s prio:>=70",
		"run:<1m try:>1 exit:!0 agent:box":   "run:<1m try:>1 exit:!0 agent:box",
		"~rndr error:!oom pool:!mail age:1h": "~rndr error:!oom pool:!mail age:1h",
		"http://host:80/x":                   "http://host:80/x",
	} {
		f, err := ParseFilter(in)
		if err != nil {
			t.Errorf("%q: %v", in, err)
			continue
		}
		if got := f.String(); got != want {
			t.Errorf("%q reads as %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{
		"wait:>soon":   `wait: "soon" is not a duration, as 10s or 1h30m`,
		"try:>x":       `try: "x" is not a whole number`,
		"prio:urgent":  `prio: "urgent" is not a name or a number from 0 to 100`,
		"agent:":       "agent: a value is missing",
		"agent:>a":     "agent: it is text, which is not more or less",
		"label:x":      `label: "x" is not key=value`,
		"state:gone":   `state: "gone" is not one of PENDING, ASSIGNED, RUNNING, SUCCESS, FAILED, CANCELLED`,
		"pool:no/name": `pool: "no/name" is not a pool's name (1 to 63 letters, digits, '-' or '_')`,
	} {
		if _, err := ParseFilter(in); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", in, err, want)
		}
	}
}

func TestTermsSelectTasks(t *testing.T) {
	now := time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)
	started, ended, code := now.Add(-50*time.Second), now.Add(-20*time.Second), 2
	k := models.Task{TaskSpec: models.NewTaskSpec(), State: models.Failed, Attempt: 2, Agent: "box-1", Error: "exit status 2", SubmittedAt: now.Add(-time.Minute), StartedAt: &started, FinishedAt: &ended, ExitCode: &code}
	k.TaskID, k.Description, k.Pool, k.Priority = "night-7", "Render scene", "render", 70
	for text, want := range map[string]bool{
		"wait:>5s": true, "wait:>10s": false, "wait:>=10s": true, "wait:10s": true, "run:<1m": true, "run:>1m": false,
		"age:<2m": true, "prio:high": true, "prio:>70": false, "try:>1": true, "exit:!0": true, "exit:2": true, "exit:<2": false,
		"agent:BOX": true, "agent:!box": false, "error:status": true, "id:night": true, "pool:!render": false, "pool:!mail": true,
		"~nrsc": true, "~scrend": false, "reason:queued": false,
	} {
		f, err := ParseFilter(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Match(&k, now); got != want {
			t.Errorf("%s selects it: %t, want %t", text, got, want)
		}
	}
}

func TestATaskIsShownAsItStoodThen(t *testing.T) {
	base := time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)
	at := func(s int) *time.Time { v := base.Add(time.Duration(s) * time.Second); return &v }
	k := models.Task{TaskSpec: models.NewTaskSpec(), State: models.Success, Attempt: 2, SubmittedAt: *at(0), StartedAt: at(30), FinishedAt: at(40), Attempts: []models.Attempt{
		{Attempt: 1, Agent: "a", Outcome: "FAILED", AssignedAt: at(5), StartedAt: at(6), FinishedAt: at(20)},
		{Attempt: 2, Agent: "b", Outcome: "SUCCESS", AssignedAt: at(28), StartedAt: at(30), FinishedAt: at(40)},
	}}
	for _, c := range []struct {
		s       int
		ok      bool
		state   models.State
		attempt int
		agent   string
	}{
		{-1, false, "", 0, ""},
		{0, true, models.Pending, 1, ""},
		{5, true, models.Assigned, 1, "a"},
		{10, true, models.Running, 1, "a"},
		{25, true, models.Pending, 2, ""},
		{29, true, models.Assigned, 2, "b"},
		{35, true, models.Running, 2, "b"},
		{40, true, models.Success, 2, ""},
	} {
		then, ok := taskAt(&k, *at(c.s))
		if ok != c.ok || then.State != c.state || then.Attempt != c.attempt || then.Agent != c.agent {
			t.Errorf("at %d s: %t %s, attempt %d on %q; want %+v", c.s, ok, then.State, then.Attempt, then.Agent, c)
		}
	}
}
