package alert

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"sync/atomic"
	"time"

	"loadstar/models"
)

// Config configures an Alerter.
type Config struct {
	// Command is run with the alert as JSON on its stdin and LOADSTAR_TASK_ID,
	// LOADSTAR_POOL, LOADSTAR_ATTEMPT, LOADSTAR_ERROR and LOADSTAR_OTHERS in its
	// environment. Default: none.
	Command []string
	// URL takes the alert as JSON in a POST; 2xx is success. Default: none.
	URL string
	// Every is the least time between two alerts. Default: 10s.
	Every time.Duration
	// Timeout bounds the command, and the webhook. Default: 10s.
	Timeout time.Duration
	// Buffer is how many failures may wait to be looked at; those beyond are counted
	// and not named. Default: 1024.
	Buffer int
	// Task finds a task; needed.
	Task func(ctx context.Context, id string) (models.Task, error)
	// Logger takes alerts that could not be given. Default: none.
	Logger *slog.Logger
}

// Validate checks the configuration; the error is a *models.FieldError.
func (c *Config) Validate() error {
	switch {
	case len(c.Command) == 0 && c.URL == "":
		return models.Invalid("alerts.command, alerts.url", "neither is set")
	case len(c.Command) > 0 && c.Command[0] == "":
		return models.Invalid("alerts.command", "it is empty")
	case c.Every < 0:
		return models.Invalid("alerts.every", "%s is negative", c.Every)
	case c.Timeout < 0:
		return models.Invalid("alerts.timeout", "%s is negative", c.Timeout)
	case c.Buffer < 0:
		return models.Invalid("alerts.buffer", "%d is negative", c.Buffer)
	}
	if c.URL == "" {
		return nil
	}
	if u, err := url.Parse(c.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return models.Invalid("alerts.url", "%q is not an http or https address", c.URL)
	}
	return nil
}

// Alert is what is told.
type Alert struct {
	Task   models.Task `json:"task"`
	Others uint64      `json:"others"` // tasks that failed since the last alert and have none of their own
	At     time.Time   `json:"at"`
}

// Counts are of everything since the start.
type Counts struct {
	Failures uint64 // tasks that failed for good
	Sent     uint64 // alerts that a command or a webhook took
	Unsent   uint64 // alerts that it did not take
}

// Alerter gives alerts.
type Alerter struct {
	cfg     Config                                // of the goroutine of Run, as send is
	send    []func(context.Context, *Alert) error //
	queue   chan string
	changes chan Config
	missed  atomic.Uint64 // failures that found the queue full
	counts  struct{ failures, sent, unsent atomic.Uint64 }
}

// New makes an Alerter; the error is a *models.FieldError.
func New(cfg Config) (*Alerter, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Task == nil {
		return nil, models.Invalid("task", "there is no way to find one")
	}
	setDefault(&cfg.Buffer, 1024)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	a := &Alerter{cfg: cfg, queue: make(chan string, cfg.Buffer), changes: make(chan Config, 1)}
	a.adopt(&cfg)
	return a, nil
}

// adopt takes over who is told, and how often.
func (a *Alerter) adopt(cfg *Config) {
	a.cfg.Command, a.cfg.URL, a.cfg.Every, a.cfg.Timeout = cfg.Command, cfg.URL, cfg.Every, cfg.Timeout
	setDefault(&a.cfg.Every, 10*time.Second)
	setDefault(&a.cfg.Timeout, 10*time.Second)
	a.send = nil
	if len(cfg.Command) > 0 {
		a.send = append(a.send, a.run)
	}
	if cfg.URL != "" {
		a.send = append(a.send, a.post)
	}
}

// Change has the next alert go by the command, the address and the times of another
// configuration; the rest of it stays. The error is a *models.FieldError. It is for
// one goroutine at a time.
func (a *Alerter) Change(cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	select { // one that was not taken up yet gives way
	case <-a.changes:
	default:
	}
	a.changes <- cfg
	return nil
}

func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// Offer says that a task has failed for good. It never waits.
func (a *Alerter) Offer(id string) {
	a.counts.failures.Add(1)
	select {
	case a.queue <- id:
	default:
		a.missed.Add(1)
	}
}

// Counts is what became of the failures so far.
func (a *Alerter) Counts() Counts {
	return Counts{Failures: a.counts.failures.Load(), Sent: a.counts.sent.Load(), Unsent: a.counts.unsent.Load()}
}

// Run gives alerts until ctx ends. What waits then is not told: the tasks are in
// the list of failed ones.
func (a *Alerter) Run(ctx context.Context) error {
	var newest string
	var others uint64
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	quiet := true // no alert was given within the last interval
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case id := <-a.queue:
			if newest != "" {
				others++
			}
			newest = id
		case <-timer.C:
			quiet = true
		}
		if newest == "" || !quiet {
			continue
		}
		select {
		case cfg := <-a.changes:
			a.adopt(&cfg)
		default:
		}
		a.give(ctx, newest, others+a.missed.Swap(0))
		newest, others, quiet = "", 0, false
		timer.Reset(a.cfg.Every)
	}
}

// give tells one failure everywhere.
func (a *Alerter) give(ctx context.Context, id string, others uint64) {
	task, err := a.cfg.Task(ctx, id)
	if err != nil {
		if !errors.Is(err, context.Canceled) {
			a.counts.unsent.Add(1)
			a.cfg.Logger.Warn("a task failed, and cannot be found for its alert", "task", id, "err", err)
		}
		return
	}
	alert := &Alert{Task: task, Others: others, At: time.Now().UTC()}
	for _, send := range a.send {
		bounded, cancel := context.WithTimeout(ctx, a.cfg.Timeout)
		err := send(bounded, alert)
		cancel()
		switch {
		case err == nil:
			a.counts.sent.Add(1)
		case ctx.Err() == nil:
			a.counts.unsent.Add(1)
			a.cfg.Logger.Warn("an alert was not given", "task", id, "others", others, "err", err)
		}
	}
}
