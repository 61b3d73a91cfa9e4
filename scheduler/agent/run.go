package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"loadstar/models"
	"loadstar/scheduler"
	"loadstar/scheduler/worker"
)

// Run does what it is sent until ctx ends. Then every process is killed and waited
// for, the last reports are handed over where somebody takes them, and Reports is
// closed. It runs once.
func (a *Local) Run(ctx context.Context) error {
	if a.ran.Swap(true) {
		return errors.New("the agent has already run")
	}
	// The spawner outlives all processes: the end of its thread would kill them.
	spawning, stopSpawner := contextOf(ctx)
	defer stopSpawner()
	quiet := make(chan struct{})
	var g errgroup.Group
	g.Go(func() error { return a.spawner.Run(spawning) })
	g.Go(func() error {
		a.pump(quiet)
		return nil
	})
	a.serve(ctx)
	a.running.Wait()
	a.http.Close()
	close(quiet)
	stopSpawner()
	return g.Wait()
}

// serve keeps the books.
func (a *Local) serve(ctx context.Context) {
	beat := time.NewTicker(a.cfg.Heartbeat)
	defer beat.Stop()
	a.heartbeat()
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.commands.Wake():
			for _, c := range a.commands.Take() {
				a.obey(ctx, c)
			}
		case <-a.endings.Wake():
			a.settle()
		case <-beat.C:
			a.settle()
			a.heartbeat()
			a.cfg.Logs.Sweep()
		}
	}
}

// settle takes what has ended off the books.
func (a *Local) settle() {
	for _, e := range a.endings.Take() {
		if e.worker == "" {
			delete(a.attempts, e.attempt)
			continue
		}
		delete(a.workers, e.worker)
		for key, at := range a.attempts {
			if at.worker == e.worker {
				delete(a.attempts, key)
			}
		}
	}
}

func (a *Local) obey(ctx context.Context, c scheduler.Command) {
	switch {
	case c.Run != nil && c.Run.Kind == models.KindHTTP:
		a.runHTTP(ctx, c.Run)
	case c.Run != nil && c.Run.Worker == "":
		a.runExec(ctx, c.Run)
	case c.Run != nil:
		a.runStdio(c.Run)
	case c.Kill != nil:
		a.kill(c.Kill)
	case c.StartWorker != nil:
		a.startWorker(ctx, c.StartWorker)
	case c.StopWorker != nil:
		if w := a.workers[c.StopWorker.Worker]; w != nil {
			w.Stop()
		}
	}
}

// begin books an attempt; a second of the same lease is refused, since the core
// sends each once.
func (a *Local) begin(r *scheduler.Run) (key attemptKey, at *attempt, ok bool) {
	key = attemptKey{taskID: r.Task.TaskID, lease: r.Lease}
	if a.attempts[key] != nil {
		a.cfg.Logger.Warn("an assignment came twice", "task", key.taskID, "lease", uint64(key.lease))
		return key, nil, false
	}
	at = &attempt{worker: r.Worker}
	a.attempts[key] = at
	return key, at, true
}

func (a *Local) started(key attemptKey, at time.Time) {
	a.report(scheduler.Report{Started: &scheduler.Started{TaskID: key.taskID, Lease: key.lease, At: at}})
}

func (a *Local) finished(key attemptKey, r worker.Result) {
	a.endings.Put(ending{attempt: key})
	a.report(scheduler.Report{Finished: &scheduler.Finished{
		TaskID: key.taskID, Lease: key.lease, At: r.At, Outcome: r.Outcome, ExitCode: r.ExitCode, Err: r.Err,
	}})
}

func (a *Local) runExec(ctx context.Context, r *scheduler.Run) {
	key, at, ok := a.begin(r)
	if !ok {
		return
	}
	at.kill = make(chan time.Duration, 1)
	a.running.Go(func() {
		a.finished(key, a.exec.Run(ctx, &r.Task, r.Attempt, at.kill, func(t time.Time) { a.started(key, t) }))
	})
}

func (a *Local) runHTTP(ctx context.Context, r *scheduler.Run) {
	key, at, ok := a.begin(r)
	if !ok {
		return
	}
	at.kill = make(chan time.Duration, 1)
	a.running.Go(func() {
		a.finished(key, a.http.Run(ctx, &r.Task, r.Attempt, r.URL, at.kill, func(t time.Time) { a.started(key, t) }))
	})
}

func (a *Local) runStdio(r *scheduler.Run) {
	key, _, ok := a.begin(r)
	if !ok {
		return
	}
	w := a.workers[r.Worker]
	if w == nil {
		a.finished(key, worker.Result{Outcome: models.OutcomeLost, Err: fmt.Sprintf("worker %s is gone", r.Worker), At: time.Now()})
		return
	}
	w.Assign(worker.Job{
		Task: r.Task, Attempt: r.Attempt,
		Started: func(t time.Time) { a.started(key, t) },
		Done:    func(res worker.Result) { a.finished(key, res) },
	})
}

func (a *Local) kill(k *scheduler.Kill) {
	at := a.attempts[attemptKey{taskID: k.TaskID, lease: k.Lease}]
	switch {
	case at == nil: // it has ended
	case at.worker == "":
		select {
		case at.kill <- k.Grace:
		default: // the one before it is not read yet
		}
	default:
		if w := a.workers[at.worker]; w != nil {
			w.Kill(k.TaskID, k.Grace)
		}
	}
}

func (a *Local) startWorker(ctx context.Context, c *scheduler.StartWorker) {
	id := c.Worker
	gone := func(err error) {
		g := &scheduler.WorkerGone{Worker: id}
		if err != nil {
			g.Err = err.Error()
		}
		a.report(scheduler.Report{WorkerGone: g})
	}
	if a.workers[id] != nil {
		a.cfg.Logger.Warn("a worker is to be started twice", "worker", id)
		return
	}
	w, err := worker.NewStdio(worker.StdioConfig{
		ID: id, Pool: c.Pool, Spawner: a.spawner, Logs: a.cfg.Logs, Env: a.cfg.Env,
		StartTimeout: a.cfg.StartTimeout, PingInterval: a.cfg.PingInterval, PingTimeout: a.cfg.PingTimeout,
		MaxGarbage: a.cfg.MaxGarbage, StopGrace: a.cfg.KillGrace, KillGrace: a.cfg.KillGrace, Logger: a.cfg.Logger,
		OnReady: func(cold time.Duration) {
			a.report(scheduler.Report{WorkerReady: &scheduler.WorkerReady{Worker: id, ColdStart: cold}})
		},
	})
	if err != nil {
		gone(err)
		return
	}
	a.workers[id] = w
	a.running.Go(func() {
		err := w.Run(ctx)
		a.endings.Put(ending{worker: id})
		if ctx.Err() != nil {
			err = nil // asked to, whatever it was in the middle of
		}
		gone(err)
	})
}
