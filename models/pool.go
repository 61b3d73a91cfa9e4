package models

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// PoolKind is how a pool's workers run tasks.
type PoolKind string

// The kinds of pool.
const (
	KindExec  PoolKind = "exec"  // a process a task; a worker is a slot
	KindStdio PoolKind = "stdio" // a long-lived process a worker, spoken to in JSON-RPC
	KindHTTP  PoolKind = "http"  // a request a task; a worker is a slot
)

// Slots reports whether a worker of the kind is but a slot: nothing is started for
// it, so it has no cold start and costs nothing while it is idle.
func (k PoolKind) Slots() bool { return k == KindExec || k == KindHTTP }

// PoolPolicy is how a pool's size is chosen.
type PoolPolicy string

// The policies.
const (
	PolicyPredictive PoolPolicy = "predictive" // max(reactive, forecast)
	PolicyReactive   PoolPolicy = "reactive"   // what the queue and the busy workers ask for now
	PolicyStatic     PoolPolicy = "static"     // always max
	PolicyRecommend  PoolPolicy = "recommend"  // decide and record, act on nothing
)

// PoolPolicies lists every policy.
func PoolPolicies() []PoolPolicy {
	return []PoolPolicy{PolicyPredictive, PolicyReactive, PolicyStatic, PolicyRecommend}
}

// PoolSpec is a pool as configured.
type PoolSpec struct {
	Name            string            `json:"name"`
	Kind            PoolKind          `json:"kind"`
	Command         []string          `json:"command,omitempty"` // stdio: how a worker is started
	Config          json.RawMessage   `json:"config,omitempty"`  // stdio: a JSON object that each worker is told in initialize
	Env             map[string]string `json:"env,omitempty"`
	Dir             string            `json:"dir,omitempty"`
	URL             string            `json:"url,omitempty"` // http: where a task without an address of its own goes
	Capabilities    []string          `json:"capabilities,omitempty"`
	Min             int               `json:"min"`                     // workers kept, whatever the load
	Max             int               `json:"max"`                     // workers at most
	Policy          PoolPolicy        `json:"policy"`                  // how its size is chosen
	Dispatch        DispatchPolicy    `json:"dispatch"`                // how its tasks are given out
	Caps            map[string]int    `json:"caps,omitempty"`          // label=value or label: how many of such tasks agents may have at once
	SLO             Duration          `json:"slo"`                     // the wait from queued to started that is aimed at
	Violations      float64           `json:"violations"`              // share of tasks that may wait longer, 0 to 1
	ColdStart       Duration          `json:"cold_start"`              // prior, until it was measured
	StartTimeout    Duration          `json:"start_timeout,omitempty"` // stdio: a worker that is not ready by then is killed; 0 is 10 min
	IdleTimeout     Duration          `json:"idle_timeout"`            // an idle worker above the wanted size is kept so long
	MemoryPerWorker Bytes             `json:"memory_per_worker"`       // resident bytes, for the headroom; 0 is unknown
	Paused          bool              `json:"paused"`
}

// Validate checks the pool; the error is a *FieldError.
func (p *PoolSpec) Validate() error {
	if err := CheckPoolName("name", p.Name); err != nil {
		return err
	}
	field := func(name string) string { return "pools." + p.Name + "." + name }
	switch {
	case p.Kind != KindExec && p.Kind != KindStdio && p.Kind != KindHTTP:
		return Invalid(field("kind"), "%q is not exec, stdio or http", p.Kind)
	case p.Kind == KindStdio && (len(p.Command) == 0 || p.Command[0] == ""):
		return Invalid(field("command"), "a stdio pool needs the command of its workers")
	case p.Kind == KindHTTP && len(p.Command) > 0:
		return Invalid(field("command"), "an http pool sends requests and starts no process")
	case p.Kind != KindStdio && (len(p.Config) > 0 || p.StartTimeout != 0):
		return Invalid(field("config, start_timeout"), "only the workers of a stdio pool have them")
	case len(p.Config) > 0 && !isObject(p.Config):
		return Invalid(field("config"), "it is not a mapping (a JSON object)")
	case len(p.Config) > maxPoolConfig:
		return Invalid(field("config"), "it has %d bytes, more than %d", len(p.Config), maxPoolConfig)
	case p.StartTimeout < 0:
		return Invalid(field("start_timeout"), "%s is negative", p.StartTimeout)
	case p.Kind != KindHTTP && p.URL != "":
		return Invalid(field("url"), "only an http pool has one")
	case p.Min < 0:
		return Invalid(field("min"), "%d is negative", p.Min)
	case p.Max < 1 || p.Max > 100_000:
		return Invalid(field("max"), "%d is not between 1 and 100000", p.Max)
	case p.Min > p.Max:
		return Invalid(field("min"), "%d is more than max %d", p.Min, p.Max)
	case !slices.Contains(PoolPolicies(), p.Policy):
		return Invalid(field("policy"), "%q is not predictive, reactive, static or recommend", p.Policy)
	case !slices.Contains(DispatchPolicies(), p.Dispatch):
		return Invalid(field("dispatch"), "%q is not priority, fifo, load-aware, weighted or two-choices", p.Dispatch)
	case p.SLO <= 0:
		return Invalid(field("slo"), "%s is not positive", p.SLO)
	case !(p.Violations > 0 && p.Violations < 1): // NaN too
		return Invalid(field("violations"), "%v is not between 0 and 1", p.Violations)
	case p.ColdStart < 0 || p.IdleTimeout < 0 || p.MemoryPerWorker < 0:
		return Invalid(field("cold_start, idle_timeout, memory_per_worker"), "none may be negative")
	}
	if err := CheckCaps(field("caps"), p.Caps); err != nil {
		return err
	}
	if p.URL != "" {
		return checkURL(field("url"), p.URL)
	}
	return nil
}

// CheckTask refuses a valid task that lacks what the pool's workers run, or that
// asks for what they cannot do; the error is a *FieldError.
func (p *PoolSpec) CheckTask(t *TaskSpec) error {
	fail := func(field, format string, args ...any) error {
		return &FieldError{TaskID: t.TaskID, Field: field, Problem: fmt.Sprintf(format, args...)}
	}
	hasInput := len(t.Input) > 0 || t.Description != "" || t.Items != nil
	switch {
	case p.Kind == KindExec && len(t.Run) == 0:
		return fail("run", "the pool %s runs commands, and there is none", p.Name)
	case p.Kind == KindStdio && len(t.Run) > 0:
		return fail("run", "the workers of pool %s take an input, not a command", p.Name)
	case p.Kind == KindStdio && t.HTTP != nil:
		return fail("http", "the workers of pool %s take an input, not a request", p.Name)
	case p.Kind == KindStdio && !hasInput:
		return fail("input", "the workers of pool %s take an input, or else a description, and there is neither", p.Name)
	case p.Kind == KindHTTP && len(t.Run) > 0:
		return fail("run", "the pool %s sends requests and runs no command", p.Name)
	case p.Kind == KindHTTP && t.HTTP == nil && p.URL == "":
		return fail("http", "the pool %s has no url of its own, so that a task must hold a request", p.Name)
	case p.Kind == KindHTTP && t.HTTP != nil && t.HTTP.URL == "" && p.URL == "":
		return fail("http.url", "the pool %s has no url of its own, so that a request must name one", p.Name)
	case p.Kind == KindHTTP && t.HTTP == nil && !hasInput:
		return fail("input", "the pool %s sends a request, an input, or else a description, and there is none of them", p.Name)
	case p.Kind == KindHTTP && (len(t.Env) > 0 || t.Dir != "" || t.Stdin != ""):
		return fail("env, dir, stdin", "the pool %s starts no process that could have them", p.Name)
	}
	return nil
}

// WithDefaults fills what was left empty: kind exec, policy predictive, dispatch
// priority, slo 10s, violations 1 %, idle_timeout 30s.
func (p PoolSpec) WithDefaults() PoolSpec {
	if p.Kind == "" {
		p.Kind = KindExec
	}
	if p.Policy == "" {
		p.Policy = PolicyPredictive
	}
	if p.Dispatch == "" {
		p.Dispatch = DispatchPriority
	}
	if p.SLO == 0 {
		p.SLO = Duration(10 * time.Second)
	}
	if p.Violations == 0 {
		p.Violations = 0.01
	}
	if p.IdleTimeout == 0 {
		p.IdleTimeout = Duration(30 * time.Second)
	}
	return p
}

// PoolPatch changes a running pool; nil fields stay.
type PoolPatch struct {
	Min      *int            `json:"min,omitempty"`
	Max      *int            `json:"max,omitempty"`
	Policy   *PoolPolicy     `json:"policy,omitempty"`
	Dispatch *DispatchPolicy `json:"dispatch,omitempty"`
	Caps     map[string]int  `json:"caps,omitempty"` // those named are set; 0 takes one away
	Paused   *bool           `json:"paused,omitempty"`
}

// Empty reports whether the patch changes nothing.
func (c PoolPatch) Empty() bool {
	return c.Min == nil && c.Max == nil && c.Policy == nil && c.Dispatch == nil && len(c.Caps) == 0 && c.Paused == nil
}

// Apply is the pool with the patch's fields set, or a *FieldError.
func (c PoolPatch) Apply(p PoolSpec) (PoolSpec, error) {
	if c.Min != nil {
		p.Min = *c.Min
	}
	if c.Max != nil {
		p.Max = *c.Max
	}
	if c.Policy != nil {
		p.Policy = *c.Policy
	}
	if c.Dispatch != nil {
		p.Dispatch = *c.Dispatch
	}
	if c.Paused != nil {
		p.Paused = *c.Paused
	}
	p.Caps = mergeCaps(p.Caps, c.Caps, false)
	return p, p.Validate()
}

// Over is the two patches as one: under first, then c.
func (c PoolPatch) Over(under PoolPatch) PoolPatch {
	c.Min, c.Max = cmp.Or(c.Min, under.Min), cmp.Or(c.Max, under.Max)
	c.Policy, c.Dispatch, c.Paused = cmp.Or(c.Policy, under.Policy), cmp.Or(c.Dispatch, under.Dispatch), cmp.Or(c.Paused, under.Paused)
	c.Caps = mergeCaps(under.Caps, c.Caps, true)
	return c
}

// PoolStatus is a pool and how it stands.
type PoolStatus struct {
	PoolSpec
	Ready        int        `json:"ready"`         // workers up, busy ones included
	Busy         int        `json:"busy"`          // workers with a task
	Starting     int        `json:"starting"`      // workers in their cold start
	Wanted       int        `json:"wanted"`        // what the last decision asked for
	Queued       int        `json:"queued"`        // tasks ready to run that wait for a worker
	Waiting      int        `json:"waiting"`       // tasks blocked, scheduled or in backoff
	OldestWaitS  float64    `json:"oldest_wait_s"` // of the queued ones
	ColdStartS   float64    `json:"cold_start_s"`  // P90 of those measured, else the prior
	ColdStarts   int        `json:"cold_starts"`   // how many were measured
	Prestarted   int        `json:"prestarted"`    // workers started ahead of any reactive need
	ServiceS     float64    `json:"service_s"`     // recent mean run time
	ServiceCV2   float64    `json:"service_cv2"`   // its squared coefficient of variation
	ArrivalsPerS float64    `json:"arrivals_per_s"`
	Trouble      string     `json:"trouble,omitempty"` // why workers do not start, else empty
	Decision     *Decision  `json:"decision,omitempty"`
	Counters     PoolTotals `json:"counters"`
}

// PoolTotals only ever grow while the daemon runs; their differences are rates.
type PoolTotals struct {
	Arrived  uint64  `json:"arrived"`  // tasks that became ready to run for the first time
	Started  uint64  `json:"started"`  // attempts
	Finished uint64  `json:"finished"` // attempts
	WaitS    float64 `json:"wait_s"`   // summed over started attempts: from ready to start
	RunS     float64 `json:"run_s"`    // summed over finished attempts
}

// Agent is a host's executor that has joined.
type Agent struct {
	ID           string    `json:"id"`
	Host         string    `json:"host,omitempty"`
	Capabilities []string  `json:"capabilities"`
	Slots        int       `json:"slots"`
	Weight       int       `json:"weight,omitempty"` // its base weight under the dispatch policy weighted; 0 is 100
	Busy         int       `json:"busy"`
	CPUs         float64   `json:"cpus,omitempty"`         // cores that its tasks may ask for together; 0 is unknown, no limit
	MemoryTotal  Bytes     `json:"memory_total,omitempty"` // likewise, in bytes
	LoadScore    float64   `json:"load_score"`             // 0 idle to 1 full: weighted cpu, memory and io
	CPU          float64   `json:"cpu"`                    // 0 to 1
	Memory       float64   `json:"memory"`                 // 0 to 1
	IO           float64   `json:"io"`                     // 0 to 1
	LastHeard    time.Time `json:"last_heard"`
	State        string    `json:"state"` // ready, draining, lost
}

// Cap is a limit that changed a pool's wanted size.
type Cap struct {
	Name   string `json:"name"` // min, max, headroom_memory, headroom_cpu, scale_in
	Before int    `json:"before"`
	After  int    `json:"after"`
	Why    string `json:"why"`
}

func (c Cap) String() string { return fmt.Sprintf("%s %d→%d (%s)", c.Name, c.Before, c.After, c.Why) }

// Decision is one choice of a pool's size, with every number it used.
type Decision struct {
	Pool        string        `json:"pool"`
	At          time.Time     `json:"at"`
	Policy      PoolPolicy    `json:"policy"`
	Inputs      DecisionInput `json:"inputs"`
	Reactive    int           `json:"reactive"`  // workers asked for by what is here now
	Predicted   int           `json:"predicted"` // workers asked for by the forecast, before the gate
	PredictedAt *time.Time    `json:"predicted_at,omitempty"`
	Gate        bool          `json:"gate"` // whether the forecast counts
	GateWhy     string        `json:"gate_why"`
	Caps        []Cap         `json:"caps,omitempty"`
	Want        int           `json:"want"`    // the size decided
	Applied     bool          `json:"applied"` // false under recommend
	Reason      string        `json:"reason"`  // one plain sentence
}

// DecisionInput is everything a decision looks at; equal inputs give equal decisions.
type DecisionInput struct {
	Now             time.Time       `json:"now"`
	Ready           int             `json:"ready"`
	Busy            int             `json:"busy"`
	Starting        int             `json:"starting"`
	Queued          int             `json:"queued"`
	OldestWaitS     float64         `json:"oldest_wait_s"`
	ArrivalsPerS    float64         `json:"arrivals_per_s"`
	ServiceS        float64         `json:"service_s"`
	ServiceCV2      float64         `json:"service_cv2"`
	LeadS           float64         `json:"lead_s"` // cold start P90 + decision interval + metric lag
	IntervalS       float64         `json:"interval_s"`
	IdleS           float64         `json:"idle_s"`            // how long the longest idle worker has been idle
	RecentNeedMax   int             `json:"recent_need_max"`   // largest need over the scale-in window
	FreeMemory      Bytes           `json:"free_memory"`       // available to new workers; -1 unknown
	HostCPU         float64         `json:"host_cpu"`          // 0 to 1 now; -1 unknown
	HostCPUForecast float64         `json:"host_cpu_forecast"` // P50 0 to 1 over the lead; -1 unknown
	Forecast        *DemandForecast `json:"forecast,omitempty"`
	Arrived         uint64          `json:"arrived"` // tasks that ever arrived
	Advice          *Advice         `json:"advice,omitempty"`
}

// Advice is what rules for the size of the pool would have cost on what has arrived
// lately.
type Advice struct {
	RecentPerS float64      `json:"recent_per_s"`   // tasks that arrive a second, over as long as a worker takes to be there
	ServiceS   float64      `json:"service_s"`      // mean run time, over half an hour
	Candidates int          `json:"candidates"`     // rules that were compared
	Best       *AdvisedRule `json:"best,omitempty"` // the cheapest one that kept to the share of late tasks
	Rate       *AdvisedRule `json:"rate,omitempty"` // likewise, of those that look at the present rate only
}

// AdvisedRule is a rule for the size of a pool and what it would have cost.
type AdvisedRule struct {
	Rule     string  `json:"rule"`     // in words
	Forecast bool    `json:"forecast"` // it expects more than the present rate tells
	Model    bool    `json:"model"`    // its expectation is the forecast's
	Load     float64 `json:"load"`     // busy workers that it expects until a worker started now can serve
	Need     int     `json:"need"`     // workers that it asks for now
	PriceS   float64 `json:"price_s"`  // worker-seconds that it spends to spare a late task
	Spread   float64 `json:"spread"`   // relative spread of the load that it reckons with
	Late     float64 `json:"late"`     // share of tasks that would have waited too long under it
	Workers  float64 `json:"workers"`  // mean number of workers under it
	Tasks    float64 `json:"tasks"`    // that the two rest on, older ones counting less
}

// PlanStep is what a pool's size is expected to be from a time on, as far as one can tell now.
type PlanStep struct {
	At      time.Time `json:"at"`
	Workers int       `json:"workers"`
	Load    float64   `json:"load"` // busy workers expected from then until a worker started then can serve
	Why     string    `json:"why"`
}

// DemandForecast is a pool's offered load ahead, in busy workers.
type DemandForecast struct {
	Series   string      `json:"series"`
	Model    string      `json:"model"`
	IssuedAt time.Time   `json:"issued_at"`
	StepS    float64     `json:"step_s"`
	Levels   []float64   `json:"levels"`   // quantile levels, ascending, within (0, 1)
	Values   [][]float64 `json:"values"`   // [step ahead - 1][level]
	Skill    float64     `json:"skill"`    // 1 - loss/loss of seasonal naive over the recent scored forecasts
	Coverage float64     `json:"coverage"` // share of actuals within P10 to P90
	Scored   int         `json:"scored"`   // how many scored targets the two rest on
	Drift    bool        `json:"drift"`
}
