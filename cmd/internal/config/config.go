package config

import (
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/adrg/xdg"

	"loadstar/models"
	"loadstar/scheduler/alert"
	"loadstar/scheduler/route"
)

// Config is everything that can be set, with its default.
type Config struct {
	// StateDir holds the journal, the logs, the models' weights and the socket.
	// Default: $XDG_STATE_HOME/loadstar.
	StateDir string `json:"state_dir"`
	// URL is where the commands find a daemon other than the state folder's own,
	// as in https://host:7777. Default: none, the socket in StateDir.
	URL string `json:"url"`
	// Listen adds a TCP listener (host:port) to the unix socket; it needs Token. Default: none.
	Listen string `json:"listen"`
	// Token is what TCP clients must show. Default: none.
	Token string `json:"token"`
	// TLSCert and TLSKey are PEM files for Listen. Default: none, plain HTTP.
	TLSCert string `json:"tls_cert"`
	TLSKey  string `json:"tls_key"`
	// KEDAListen is where KEDA's external scaler is answered (host:port, gRPC), so that
	// a Kubernetes deployment can follow a pool. It tells sizes of pools, to anybody
	// who can reach it; with TLSCert and TLSKey it is encrypted. Default: none.
	KEDAListen string `json:"keda_listen"`
	// NATS is the URL of an external cluster for the journal. Default: none, a
	// server inside the process that listens on nothing.
	NATS string `json:"nats"`
	// NATSListen is where agents of other hosts may join a daemon that has no
	// cluster (host:port); it needs NATSToken. Default: none.
	NATSListen string `json:"nats_listen"`
	// NATSToken is what an agent shows to join at NATSListen. Default: none.
	NATSToken string `json:"nats_token"`
	// NATSCreds is a credentials file for the cluster at NATS. Default: none.
	NATSCreds string `json:"nats_creds"`
	// LeaderLease is how long a leader that falls silent is waited for, where several
	// daemons are on one cluster, 2s to 5m. Default: 15s.
	LeaderLease models.Duration `json:"leader_lease"`
	// AgentTimeout is how long an agent may be silent before it counts as lost, and
	// how long those of other hosts have to join again after a start. Default: 16s.
	AgentTimeout models.Duration `json:"agent_timeout"`
	// LogFormat is text or json. Default: text.
	LogFormat string `json:"log_format"`
	// LogLevel is debug, info, warn or error. Default: info.
	LogLevel string `json:"log_level"`
	// Drain is how long running tasks may go on after SIGTERM. Default: 30s.
	Drain models.Duration `json:"drain"`
	// KillGrace is the time from SIGTERM to SIGKILL for a task. Default: 5s.
	KillGrace models.Duration `json:"kill_grace"`
	// AgentID is the name of this host's own agent. Default: the host's name.
	AgentID string `json:"agent_id"`
	// Capabilities are what this host's agent can do beyond running programs. Default: none.
	Capabilities []string `json:"capabilities"`
	// AgentWeight is the base weight of this host's own agent under the dispatch
	// policy weighted, 1 to 10000. Default: 100.
	AgentWeight int `json:"agent_weight"`
	// LoadWeights say how much CPU, memory and waiting for io count in the load score
	// of this host's agent; their sum need not be 1. Default: 0.5, 0.3, 0.2.
	LoadWeights LoadWeights `json:"load_weights"`
	// Rebalance says when work that has not begun is moved from loaded agents to idle ones.
	Rebalance Rebalance `json:"rebalance"`
	// SampleInterval is the collector's step. Default: 1s.
	SampleInterval models.Duration `json:"sample_interval"`
	// DecisionInterval is the time between two decisions of a pool's size. Default: 2s.
	DecisionInterval models.Duration `json:"decision_interval"`
	// ScaleInWindow is how far back a need keeps a pool from shrinking. Default: 5m.
	ScaleInWindow models.Duration `json:"scale_in_window"`
	// TrainShare is the share of one core that training may take, 0 (never train) to 1. Default: 0.25.
	TrainShare float64 `json:"train_share"`
	// TaskLogMaxBytes bounds the output kept of one attempt. Default: 8MiB.
	TaskLogMaxBytes models.Bytes `json:"task_log_max_bytes"`
	// TaskLogsMaxBytes bounds the output kept of all attempts. Default: 2GiB.
	TaskLogsMaxBytes models.Bytes `json:"task_logs_max_bytes"`
	// Telemetry is where the steps that tasks have gone through are told: a file's
	// path, nats:SUBJECT on the cluster at NATS, or otlp:URL. Default: TelemetryFile.
	Telemetry string `json:"telemetry"`
	// Archive is where finished tasks go once they leave memory.
	Archive Archive `json:"archive"`
	// TelemetryFile takes a line of JSON for each step that a task has gone through;
	// a relative path is in StateDir. Default: none.
	TelemetryFile string `json:"telemetry_file"`
	// TelemetryMaxBytes bounds that file; the one before it is kept as FILE.1. Default: 64MiB.
	TelemetryMaxBytes models.Bytes `json:"telemetry_max_bytes"`
	// Alerts says who is told that a task has failed for good. Default: nobody.
	Alerts Alerts `json:"alerts"`
	// Caps hold over all pools: how many tasks with a label agents may have at once,
	// as "team=a": 3 or, for each value by itself, "user": 2. Default: none.
	Caps map[string]int `json:"caps"`
	// Keys are keys of the screen that are others than its own, as in
	// "tasks/cancel: [D]" or, for one that holds everywhere, "quit: [Q]". Default: none.
	Keys map[string][]string `json:"keys"`
	// Pools are the worker pools by name. Default: one, named default: exec, as
	// many slots as the CPUs that the cgroup allows.
	Pools map[string]models.PoolSpec `json:"pools"`
}

// Alerts says who is told of failed tasks, and how often; see package alert.
type Alerts struct {
	Command []string        `json:"command"` // is run with the task as JSON on its stdin. Default: none
	URL     string          `json:"url"`     // takes the same in a POST. Default: none
	Every   models.Duration `json:"every"`   // the least time between two alerts. Default: 10s
	Timeout models.Duration `json:"timeout"` // of the command and the request. Default: 10s
}

// On reports whether anybody is told.
func (a Alerts) On() bool { return len(a.Command) > 0 || a.URL != "" }

// Config is the same for an Alerter.
func (a Alerts) Config() alert.Config {
	return alert.Config{Command: a.Command, URL: a.URL, Every: a.Every.Std(), Timeout: a.Timeout.Std()}
}

func (a Alerts) validate() error {
	if !a.On() {
		return nil
	}
	c := a.Config()
	return c.Validate()
}

// Archive bounds what is kept of finished tasks. Beyond its bounds the oldest go for
// good; they still count in stats.
type Archive struct {
	// MaxAge is how long a finished task is kept there. Default: 720h, which is 30 days.
	MaxAge models.Duration `json:"max_age"`
	// MaxBytes bounds the archive on disk. Default: 1GiB.
	MaxBytes models.Bytes `json:"max_bytes"`
	// KeepInMemory is how many finished tasks, the last ones, stay in memory beside
	// it, 1 at least. Default: 10000.
	KeepInMemory int `json:"keep_in_memory"`
}

// leastArchive holds a frame of the largest size, and then some.
const leastArchive = 4 << 20

func (a Archive) validate() error {
	switch {
	case a.MaxAge.Std() < time.Minute:
		return models.Invalid("archive.max_age", "%s is less than 1m", a.MaxAge)
	case a.MaxBytes < leastArchive:
		return models.Invalid("archive.max_bytes", "%s is less than %s", a.MaxBytes, models.Bytes(leastArchive))
	case a.KeepInMemory < 1:
		return models.Invalid("archive.keep_in_memory", "%d is not positive", a.KeepInMemory)
	}
	return nil
}

// LoadWeights weigh the parts of a load score.
type LoadWeights struct {
	CPU    float64 `json:"cpu"`
	Memory float64 `json:"memory"`
	IO     float64 `json:"io"`
}

// Rebalance sets when work is moved between agents, and how much; see route.Balance.
type Rebalance struct {
	Every    models.Duration `json:"every"`     // between two rounds; 0 is never. Default: 5s
	CPU      float64         `json:"cpu"`       // weight of the CPU in an agent's load. Default: 0.6
	Memory   float64         `json:"memory"`    // weight of the memory. Default: 0.4
	Window   int             `json:"window"`    // heartbeats that a load is the mean of. Default: 5
	Spread   float64         `json:"spread"`    // standard deviation of the loads up to which nothing is moved. Default: 0.2
	MaxMoves int             `json:"max_moves"` // of a round. Default: 8
	CoolDown models.Duration `json:"cool_down"` // how long a moved task is left alone. Default: 1m
}

// Balance is the same for the scheduler.
func (r Rebalance) Balance() route.Balance {
	b := route.Balance{
		Every: r.Every.Std(), CPU: r.CPU, Memory: r.Memory, Window: r.Window,
		Spread: r.Spread, MaxMoves: r.MaxMoves, CoolDown: r.CoolDown.Std(),
	}
	if b.Every == 0 {
		b.Every = -1
	}
	return b
}

func (r Rebalance) validate() error {
	switch {
	case r.Every < 0:
		return models.Invalid("rebalance.every", "%s is negative", r.Every)
	case r.Window < 1:
		return models.Invalid("rebalance.window", "%d is less than 1", r.Window)
	case r.MaxMoves < 1:
		return models.Invalid("rebalance.max_moves", "%d is less than 1", r.MaxMoves)
	case !(r.Spread > 0):
		return models.Invalid("rebalance.spread", "%v is not between 0 and 1", r.Spread)
	case r.CoolDown <= 0:
		return models.Invalid("rebalance.cool_down", "%s is not positive", r.CoolDown)
	case !(r.CPU+r.Memory > 0):
		return models.Invalid("rebalance.cpu, rebalance.memory", "one of them must be positive")
	}
	b := r.Balance()
	return b.Validate()
}

func (w LoadWeights) valid() bool {
	return w.CPU >= 0 && w.Memory >= 0 && w.IO >= 0 && w.CPU+w.Memory+w.IO > 0 && w.CPU+w.Memory+w.IO < 1e9 // NaN is refused, too
}

// Default is the configuration of a host on which nothing was configured.
func Default() Config {
	return Config{
		StateDir:          filepath.Join(xdg.StateHome, "loadstar"),
		LogFormat:         "text",
		LogLevel:          "info",
		Drain:             models.Duration(30 * time.Second),
		KillGrace:         models.Duration(5 * time.Second),
		AgentID:           agentID(),
		Capabilities:      []string{},
		LeaderLease:       models.Duration(15 * time.Second),
		AgentTimeout:      models.Duration(16 * time.Second),
		AgentWeight:       models.DefaultWeight,
		LoadWeights:       LoadWeights{CPU: 0.5, Memory: 0.3, IO: 0.2},
		SampleInterval:    models.Duration(time.Second),
		DecisionInterval:  models.Duration(2 * time.Second),
		ScaleInWindow:     models.Duration(5 * time.Minute),
		TrainShare:        0.25,
		TaskLogMaxBytes:   8 << 20,
		TaskLogsMaxBytes:  2 << 30,
		Archive:           Archive{MaxAge: models.Duration(30 * 24 * time.Hour), MaxBytes: 1 << 30, KeepInMemory: 10_000},
		TelemetryMaxBytes: 64 << 20,
		Rebalance: Rebalance{
			Every: models.Duration(5 * time.Second), CPU: 0.6, Memory: 0.4, Window: 5, Spread: 0.2, MaxMoves: 8, CoolDown: models.Duration(time.Minute),
		},
		Alerts: Alerts{Command: []string{}, Every: models.Duration(10 * time.Second), Timeout: models.Duration(10 * time.Second)},
		Caps:   map[string]int{},
		Pools:  map[string]models.PoolSpec{},
	}
}

// passwords are what stands between :// and @ of an address behind the user.
var passwords = regexp.MustCompile(`(://[^/@:,]*:?)[^/@,]*@`)

var notInID = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

func agentID() string {
	name, err := os.Hostname()
	if name = notInID.ReplaceAllString(name, "-"); err != nil || name == "" {
		return "localhost"
	}
	return name
}

// SocketPath is where the daemon of the state folder listens.
func (c Config) SocketPath() string { return filepath.Join(c.StateDir, "api.sock") }

// Validate checks every field; the error is a *models.FieldError.
func (c Config) Validate() error {
	switch {
	case c.StateDir == "":
		return models.Invalid("state_dir", "it is empty")
	case !filepath.IsAbs(c.StateDir):
		return models.Invalid("state_dir", "%q is not an absolute path", c.StateDir)
	case c.Listen != "" && c.Token == "":
		return models.Invalid("token", "listening on %s needs one", c.Listen)
	case (c.TLSCert == "") != (c.TLSKey == ""):
		return models.Invalid("tls_cert, tls_key", "one is set without the other")
	case c.NATSListen != "" && c.NATS != "":
		return models.Invalid("nats_listen", "with a cluster at nats, agents join there")
	case c.NATSListen != "" && c.NATSToken == "":
		return models.Invalid("nats_token", "listening for agents on %s needs one", c.NATSListen)
	case c.LogFormat != "text" && c.LogFormat != "json":
		return models.Invalid("log_format", "%q is not text or json", c.LogFormat)
	case c.Drain < 0:
		return models.Invalid("drain", "%s is negative", c.Drain)
	case c.KillGrace < 0:
		return models.Invalid("kill_grace", "%s is negative", c.KillGrace)
	case c.SampleInterval != models.Duration(time.Second):
		return models.Invalid("sample_interval", "%s: only 1s is supported", c.SampleInterval)
	case c.DecisionInterval.Std() < 100*time.Millisecond || c.DecisionInterval.Std() > time.Hour:
		return models.Invalid("decision_interval", "%s is not between 100ms and 1h", c.DecisionInterval)
	case c.ScaleInWindow < 0:
		return models.Invalid("scale_in_window", "%s is negative", c.ScaleInWindow)
	case c.LeaderLease.Std() < 2*time.Second || c.LeaderLease.Std() > 5*time.Minute:
		return models.Invalid("leader_lease", "%s is not between 2s and 5m", c.LeaderLease)
	case c.AgentTimeout.Std() < 5*time.Second || c.AgentTimeout.Std() > time.Hour:
		return models.Invalid("agent_timeout", "%s is not between 5s and 1h; agents are heard every 2s", c.AgentTimeout)
	case !(c.TrainShare >= 0 && c.TrainShare <= 1):
		return models.Invalid("train_share", "%v is not between 0 and 1", c.TrainShare)
	case c.TaskLogMaxBytes < 4096:
		return models.Invalid("task_log_max_bytes", "%s is less than 4KiB", c.TaskLogMaxBytes)
	case c.TaskLogsMaxBytes < c.TaskLogMaxBytes:
		return models.Invalid("task_logs_max_bytes", "%s is less than one attempt's %s", c.TaskLogsMaxBytes, c.TaskLogMaxBytes)
	case c.Telemetry != "" && c.TelemetryFile != "":
		return models.Invalid("telemetry", "telemetry_file is set, too: one of them")
	case strings.HasPrefix(c.Telemetry, "nats:") && c.NATS == "":
		return models.Invalid("telemetry", "a subject needs a cluster, as nats has it")
	case strings.HasPrefix(c.Telemetry, "nats:") && !isSubject(strings.TrimPrefix(c.Telemetry, "nats:")):
		return models.Invalid("telemetry", "%q is not nats:SUBJECT", c.Telemetry)
	case c.TelemetryMaxBytes < 64<<10:
		return models.Invalid("telemetry_max_bytes", "%s is less than 64KiB", c.TelemetryMaxBytes)
	case c.AgentID == "" || notInID.MatchString(c.AgentID):
		return models.Invalid("agent_id", "%q holds more than letters, digits, '.', '-' and '_'", c.AgentID)
	}
	if _, err := parseLevel(c.LogLevel); err != nil {
		return err
	}
	return c.checkWork()
}

// checkWork checks what says how work is given out.
func (c Config) checkWork() error {
	switch {
	case c.AgentWeight < 1 || c.AgentWeight > models.MaxWeight:
		return models.Invalid("agent_weight", "%d is not between 1 and %d", c.AgentWeight, models.MaxWeight)
	case !c.LoadWeights.valid():
		return models.Invalid("load_weights", "cpu %v, memory %v, io %v: none may be negative, nor all of them 0", c.LoadWeights.CPU, c.LoadWeights.Memory, c.LoadWeights.IO)
	}
	if err := c.Rebalance.validate(); err != nil {
		return err
	}
	if err := c.Alerts.validate(); err != nil {
		return err
	}
	if err := c.Archive.validate(); err != nil {
		return err
	}
	if err := models.CheckCaps("caps", c.Caps); err != nil {
		return err
	}
	for name, p := range c.Pools {
		p.Name = name
		if p = p.WithDefaults(); p.Kind == models.KindExec && p.Max == 0 {
			p.Max = 1 // the wiring puts the CPUs here
		}
		if err := p.Validate(); err != nil {
			return err
		}
	}
	return nil
}

// isSubject reports whether one can publish to a subject, other than Loadstar's own.
func isSubject(s string) bool {
	if s == "" || strings.ContainsAny(s, " \t\r\n*>") || strings.HasPrefix(s, "loadstar.") || strings.HasPrefix(s, "$") {
		return false
	}
	for token := range strings.SplitSeq(s, ".") {
		if token == "" {
			return false
		}
	}
	return true
}

// Redacted is the configuration without its secrets, for showing.
func (c Config) Redacted() Config {
	for _, secret := range []*string{&c.Token, &c.NATSToken} {
		if *secret != "" {
			*secret = strings.Repeat("*", 8)
		}
	}
	c.NATS = passwords.ReplaceAllString(c.NATS, "${1}********@")
	if u, err := url.Parse(c.Alerts.URL); err == nil && c.Alerts.URL != "" { // a webhook's path is its password
		c.Alerts.URL = u.Scheme + "://" + u.Host + "/" + strings.Repeat("*", 8)
	}
	return c
}
