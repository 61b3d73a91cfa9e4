package models

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
)

// DefaultPool is where a task goes that names no pool: exec workers, as many as
// the CPUs that the cgroup allows.
const DefaultPool = "default"

// Limits of one task document; larger ones are refused.
const (
	MaxTaskIDLength   = 200
	MaxTaskBytes      = 256 << 10
	MaxDependencies   = 1000
	MaxRetries        = 1000
	maxLabelLength    = 200
	maxPoolNameLength = 63
	maxPoolConfig     = 256 << 10
	maxMemory         = 1 << 50
	maxWishes         = 100
)

// What happens to a task when one of its dependencies ends FAILED or CANCELLED.
const (
	DependencyCancel = "cancel" // cancel it too (the default)
	DependencyRun    = "run"    // run it all the same
	DependencyWait   = "wait"   // leave it blocked until the dependency is retried and succeeds
)

// Resources is what a task asks of its host.
type Resources struct {
	CPU    float64 `json:"cpu,omitempty"`    // cores
	Memory Bytes   `json:"memory,omitempty"` // resident bytes
}

// Affinity says where a task would rather run. All of it is weighed against the
// load of the agents, and none of it is a condition.
type Affinity struct {
	Near         string   `json:"near,omitempty"`          // on the agent that ran this task
	Capabilities []string `json:"capabilities,omitempty"`  // on an agent that has these, or some of them
	Label        string   `json:"label,omitempty"`         // where tasks with its own value of this label ran
	Data         string   `json:"data,omitempty"`          // where tasks that name the same data ran
	AntiAffinity string   `json:"anti_affinity,omitempty"` // away from tasks with its own value of this label
}

// TaskSpec is a task as submitted. The zero value is not usable: start from
// NewTaskSpec, which holds the defaults, or from DecodeTasks.
type TaskSpec struct {
	TaskID              string            `json:"task_id"`
	Description         string            `json:"description,omitempty"`
	Priority            Priority          `json:"priority"`
	Dependencies        []string          `json:"dependencies,omitempty"`
	OnDependencyFailure string            `json:"on_dependency_failure,omitempty"`
	AssignedTo          string            `json:"assigned_to,omitempty"` // the agent it is pinned to
	Pool                string            `json:"pool"`
	Capabilities        []string          `json:"capabilities,omitempty"`
	Affinity            *Affinity         `json:"affinity,omitempty"`
	Run                 []string          `json:"run,omitempty"`   // exec pools: the command and its arguments
	HTTP                *HTTPRequest      `json:"http,omitempty"`  // http pools: the request
	Input               json.RawMessage   `json:"input,omitempty"` // stdio and http pools: any JSON value; the description where absent
	Env                 map[string]string `json:"env,omitempty"`
	Dir                 string            `json:"dir,omitempty"`
	Stdin               string            `json:"stdin,omitempty"`
	Timeout             Duration          `json:"timeout,omitempty"` // of one attempt; 0 is none
	Retries             int               `json:"retries,omitempty"` // attempts after the first
	Backoff             Duration          `json:"backoff,omitempty"` // before the first retry; doubles, with jitter
	NotBefore           *time.Time        `json:"not_before,omitempty"`
	Deadline            *time.Time        `json:"deadline,omitempty"`
	Resources           *Resources        `json:"resources,omitempty"`
	Labels              map[string]string `json:"labels,omitempty"`
	Items               *Items            `json:"items,omitempty"`        // it fans out into shards, each with some of them
	Shard               ShardSize         `json:"shard,omitempty"`        // items a shard: a number, 1 where absent, or "auto"
	MaxFailures         int               `json:"max_failures,omitempty"` // shards that may fail before the rest is cancelled
}

// DefaultBackoff is the wait before a first retry where the task names none.
const DefaultBackoff = Duration(time.Second)

// NewTaskSpec is a task document with the defaults filled in.
func NewTaskSpec() TaskSpec {
	return TaskSpec{Priority: PriorityNormal, Pool: DefaultPool}
}

// Validate checks what can be checked of one document alone; what depends on the
// pool or on other tasks is checked where it is accepted. The error is a *FieldError.
func (t *TaskSpec) Validate() error {
	for _, check := range []func() error{t.checkNames, t.checkCommand, t.checkTimes, t.checkItems} {
		if err := check(); err != nil {
			if fe, ok := err.(*FieldError); ok && fe.TaskID == "" { //nolint:errorlint // made just above
				fe.TaskID = t.TaskID
			}
			return err
		}
	}
	return nil
}

func (t *TaskSpec) checkNames() error {
	if t.TaskID != "" {
		if err := checkName("task_id", t.TaskID, MaxTaskIDLength); err != nil {
			return err
		}
	}
	if err := CheckPoolName("pool", t.Pool); err != nil {
		return err
	}
	if t.Priority < 0 || t.Priority > 100 {
		return Invalid("priority", "%d is not between 0 and 100", t.Priority)
	}
	if len(t.Dependencies) > MaxDependencies {
		return Invalid("dependencies", "%d is more than %d", len(t.Dependencies), MaxDependencies)
	}
	for i, d := range t.Dependencies {
		if err := checkName("dependencies", d, MaxTaskIDLength); err != nil {
			return err
		}
		if d == t.TaskID {
			return Invalid("dependencies", "the task depends on itself")
		}
		if slices.Contains(t.Dependencies[:i], d) {
			return Invalid("dependencies", "%q stands twice", d)
		}
	}
	switch t.OnDependencyFailure {
	case "", DependencyCancel, DependencyRun, DependencyWait:
	default:
		return Invalid("on_dependency_failure", "%q is not cancel, run or wait", t.OnDependencyFailure)
	}
	if err := t.checkAffinity(); err != nil {
		return err
	}
	for k, v := range t.Labels {
		if k == "" || len(k) > maxLabelLength || len(v) > maxLabelLength || strings.ContainsAny(k, "=,") {
			return Invalid("labels", "%q is not a label (1 to %d characters, no '=' or ',' in the key)", k, maxLabelLength)
		}
	}
	return nil
}

func (t *TaskSpec) checkAffinity() error {
	a := t.Affinity
	if a == nil {
		return nil
	}
	for _, f := range [...]struct{ field, label string }{{"affinity.label", a.Label}, {"affinity.anti_affinity", a.AntiAffinity}} {
		if _, there := t.Labels[f.label]; f.label != "" && !there {
			return Invalid(f.field, "the task has no label %q", f.label)
		}
	}
	switch {
	case len(a.Data) > MaxTaskIDLength:
		return Invalid("affinity.data", "it has %d bytes, more than %d", len(a.Data), MaxTaskIDLength)
	case len(a.Capabilities) > maxWishes:
		return Invalid("affinity.capabilities", "%d is more than %d", len(a.Capabilities), maxWishes)
	case slices.Contains(a.Capabilities, ""):
		return Invalid("affinity.capabilities", "one of them is empty")
	}
	return nil
}

func (t *TaskSpec) checkCommand() error {
	if len(t.Run) > 0 && t.Run[0] == "" {
		return Invalid("run", "the command is empty")
	}
	for _, a := range t.Run {
		if strings.ContainsRune(a, 0) {
			return Invalid("run", "an argument holds a NUL character")
		}
	}
	if t.HTTP != nil {
		switch {
		case len(t.Run) > 0:
			return Invalid("http", "a task has either a command (run) or a request, not both")
		case len(t.HTTP.Body) > 0 && len(t.Input) > 0:
			return Invalid("http.body", "a request has either a body or the task's input, not both")
		}
		if err := t.HTTP.validate(); err != nil {
			return err
		}
	}
	if t.Dir != "" && !filepath.IsAbs(t.Dir) {
		return Invalid("dir", "%q is not an absolute path", t.Dir)
	}
	for k, v := range t.Env {
		if k == "" || strings.ContainsAny(k, "=\x00") || strings.ContainsRune(v, 0) {
			return Invalid("env", "%q is not a variable's name and value", k)
		}
	}
	if r := t.Resources; r != nil && (!(r.CPU >= 0 && r.CPU <= 1e6)) {
		return Invalid("resources.cpu", "%v is not a number of cores", r.CPU)
	}
	if r := t.Resources; r != nil && r.Memory < 0 {
		return Invalid("resources.memory", "%d is negative", r.Memory)
	}
	if r := t.Resources; r != nil && r.Memory > maxMemory {
		return Invalid("resources.memory", "%s is more than %s", r.Memory, Bytes(maxMemory))
	}
	return nil
}

func (t *TaskSpec) checkTimes() error {
	switch {
	case t.Retries < 0 || t.Retries > MaxRetries:
		return Invalid("retries", "%d is not between 0 and %d", t.Retries, MaxRetries)
	case t.Timeout < 0:
		return Invalid("timeout", "%s is negative", t.Timeout)
	case t.Backoff < 0:
		return Invalid("backoff", "%s is negative", t.Backoff)
	case t.NotBefore != nil && t.Deadline != nil && t.Deadline.Before(*t.NotBefore):
		return Invalid("deadline", "it is before not_before")
	}
	return nil
}

// CheckPoolName refuses a name that is not 1 to 63 letters, digits, '-' and '_'.
func CheckPoolName(field, name string) error {
	ok := name != "" && len(name) <= maxPoolNameLength
	for _, r := range name {
		ok = ok && (r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z')
	}
	if !ok {
		return Invalid(field, "%q is not a pool's name (1 to %d letters, digits, '-' or '_')", name, maxPoolNameLength)
	}
	return nil
}

func checkName(field, name string, longest int) error {
	if name == "" || len(name) > longest {
		return Invalid(field, "%q is not 1 to %d bytes long", name, longest)
	}
	for _, r := range name {
		if unicode.IsControl(r) || unicode.IsSpace(r) || r == '/' || r == unicode.ReplacementChar {
			return Invalid(field, "%q holds a space, a slash or a control character", name)
		}
	}
	return nil
}

// Attempt is one try at running a task.
type Attempt struct {
	Attempt    int        `json:"attempt"` // from 1
	Agent      string     `json:"agent,omitempty"`
	Worker     string     `json:"worker,omitempty"`
	Outcome    string     `json:"outcome,omitempty"` // SUCCESS, FAILED, CANCELLED, TIMEOUT, LOST; empty while it runs
	ExitCode   *int       `json:"exit_code,omitempty"`
	Error      string     `json:"error,omitempty"`
	AssignedAt *time.Time `json:"assigned_at,omitempty"`
	StartedAt  *time.Time `json:"started_at,omitempty"`
	FinishedAt *time.Time `json:"finished_at,omitempty"`
}

// How an attempt ended, beyond the final states.
const (
	OutcomeTimeout = "TIMEOUT" // the attempt ran longer than its timeout
	OutcomeLost    = "LOST"    // the worker, agent or daemon went away while it ran
)

// Task is a task as submitted and what became of it.
type Task struct {
	TaskSpec
	State       State      `json:"state"`
	Reason      Reason     `json:"reason,omitempty"` // why it is PENDING, else empty
	Detail      string     `json:"detail,omitempty"` // the reason in words: "waits for task-000", "retry in 3s"
	Attempt     int        `json:"attempt"`          // from 1: the attempt that runs, ran last or is waited for
	Agent       string     `json:"agent,omitempty"`
	Worker      string     `json:"worker,omitempty"`
	ExitCode    *int       `json:"exit_code,omitempty"`
	Error       string     `json:"error,omitempty"`
	SubmittedAt time.Time  `json:"submitted_at"`
	StartedAt   *time.Time `json:"started_at,omitempty"`  // of the last attempt
	FinishedAt  *time.Time `json:"finished_at,omitempty"` // when it became final
	Attempts    []Attempt  `json:"attempts"`
	Parent      string     `json:"parent,omitempty"`   // of a shard: the task that its items are of
	Progress    *Progress  `json:"progress,omitempty"` // of a task with items
}

// Wait is the time from submission to the last attempt's start; ok is false
// while it has not started.
func (t *Task) Wait() (wait time.Duration, ok bool) {
	if t.StartedAt == nil {
		return 0, false
	}
	return max(0, t.StartedAt.Sub(t.SubmittedAt)), true
}

// RunTime is the last attempt's time from start to end; ok is false while it has not ended.
func (t *Task) RunTime() (run time.Duration, ok bool) {
	if t.StartedAt == nil || t.FinishedAt == nil {
		return 0, false
	}
	return max(0, t.FinishedAt.Sub(*t.StartedAt)), true
}

// TaskFilter selects tasks; the zero value selects all. Fields are joined by AND.
type TaskFilter struct {
	States []State           `json:"states,omitempty"`
	Pool   string            `json:"pool,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
	Text   string            `json:"text,omitempty"`   // in the id, description, command or request's url, any case
	Limit  int               `json:"limit,omitempty"`  // at most so many; 0 is the server's default page
	Cursor string            `json:"cursor,omitempty"` // where the last page ended
	Oldest bool              `json:"oldest,omitempty"` // oldest first; the default is newest first
	Parent string            `json:"parent,omitempty"` // shards of this task
}

// Empty reports whether the filter selects everything.
func (f TaskFilter) Empty() bool {
	return len(f.States) == 0 && f.Pool == "" && len(f.Labels) == 0 && f.Text == "" && f.Parent == ""
}

// Matches reports whether the filter selects the task; Limit and Cursor do not count.
func (f TaskFilter) Matches(t *Task) bool {
	if len(f.States) > 0 && !slices.Contains(f.States, t.State) || f.Pool != "" && f.Pool != t.Pool ||
		f.Parent != "" && f.Parent != t.Parent {
		return false
	}
	for k, v := range f.Labels {
		if t.Labels[k] != v {
			return false
		}
	}
	if f.Text == "" {
		return true
	}
	hay := t.TaskID + " " + t.Description + " " + strings.Join(t.Run, " ")
	if t.HTTP != nil {
		hay += " " + t.HTTP.URL
	}
	hay = strings.ToLower(hay)
	return strings.Contains(hay, strings.ToLower(f.Text))
}

// TaskPage is a part of a listing.
type TaskPage struct {
	Tasks []Task `json:"tasks"`
	Next  string `json:"next,omitempty"` // the cursor of the next page; empty at the end
	Total int    `json:"total"`          // how many the filter selects in all
}

// Selection names the tasks that a bulk call acts on: by id, or all that a filter matches.
type Selection struct {
	IDs    []string    `json:"ids,omitempty"`
	Filter *TaskFilter `json:"filter,omitempty"`
}

// Refusal is a task that a bulk call left alone, and why.
type Refusal struct {
	TaskID string `json:"task_id"`
	Why    string `json:"why"`
}

// BulkResult is what a bulk call did.
type BulkResult struct {
	Changed []string  `json:"changed"`
	Refused []Refusal `json:"refused,omitempty"`
}

// Explanation says why a task is where it is.
type Explanation struct {
	TaskID string   `json:"task_id"`
	State  State    `json:"state"`
	Reason Reason   `json:"reason,omitempty"`
	Text   string   `json:"text"`            // one plain sentence
	Facts  []string `json:"facts,omitempty"` // what it rests on, one a line
}

// String names the task for a person: its command, or its description.
func (t *TaskSpec) String() string {
	switch {
	case t.Description != "":
		return t.Description
	case len(t.Run) > 0:
		return strings.Join(t.Run, " ")
	case t.HTTP != nil && t.HTTP.URL != "":
		return t.HTTP.String()
	case len(t.Input) > 0:
		return string(t.Input)
	}
	return fmt.Sprintf("task %s", t.TaskID)
}
