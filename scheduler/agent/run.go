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
			a.settle(ctx) // a slot that a command counts on was free before it was sent
			for _, c := range a.commands.Take() {
				a.obey(ctx, c)
			}
		case <-a.endings.Wake():
			a.settle(ctx)
		case <-beat.C:
			a.settle(ctx)
			a.heartbeat()
			a.cfg.Logs.Sweep()
		}
	}
}

// settle takes what has ended off the books, and lets what waited for it begin.
func (a *Local) settle(ctx context.Context) {
	for _, e := range a.endings.Take() {
		if e.worker == "" {
			if at := a.attempts[e.attempt]; at != nil && at.worker == "" {
				a.lanes[at.pool].running--
				a.advance(ctx, at.pool)
			}
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
	case c.Run != nil && c.Run.Worker != "":
		a.runStdio(c.Run)
	case c.Run != nil:
		a.enter(ctx, c.Run)
	case c.Kill != nil:
		a.kill(c.Kill)
	case c.Recall != nil:
		a.recall(c.Recall)
	case c.Limit != nil:
		if l := a.lanes[c.Limit.Pool]; l != nil {
			l.slots = c.Limit.Slots
			a.advance(ctx, c.Limit.Pool)
		}
	case c.StartWorker != nil:
		a.startWorker(ctx, c.StartWorker)
	case c.StopWorker != nil:
		if w := a.workers[c.StopWorker.Worker]; w != nil {
			w.Stop()
		}
	}
}

// enter puts an attempt into its pool's lane.
func (a *Local) enter(ctx context.Context, r *scheduler.Run) {
	_, at, ok := a.begin(r)
	if !ok {
		return
	}
	at.pool = r.Task.Pool
	l := a.lanes[at.pool]
	if l == nil {
		l = &lane{}
		a.lanes[at.pool] = l
	}
	l.slots = r.Slots
	l.add(r)
	a.waiting.Add(1)
	a.advance(ctx, at.pool)
}

// advance begins what a lane has slots for.
func (a *Local) advance(ctx context.Context, pool string) {
	l := a.lanes[pool]
	for r := l.next(); r != nil; r = l.next() {
		a.waiting.Add(-1)
		key := attemptKey{taskID: r.Task.TaskID, lease: r.Lease}
		kill := make(chan time.Duration, 1)
		a.attempts[key].kill = kill
		a.running.Go(func() {
			started := func(t time.Time) { a.started(key, t) }
			if r.Kind == models.KindHTTP {
				a.finished(key, a.http.Run(ctx, &r.Task, r.Attempt, r.URL, kill, started))
				return
			}
			a.finished(key, a.exec.Run(ctx, &r.Task, r.Attempt, kill, started))
		})
	}
	if l.empty() {
		delete(a.lanes, pool)
	}
}

// recall gives back an attempt that waits in its lane; one that has begun goes on.
func (a *Local) recall(r *scheduler.Recall) {
	key := attemptKey{taskID: r.TaskID, lease: r.Lease}
	if a.takeBack(key) {
		a.report(scheduler.Report{Returned: &scheduler.Returned{TaskID: r.TaskID, Lease: r.Lease}})
	}
}

// takeBack forgets an attempt that has not begun; false says that there is no such.
func (a *Local) takeBack(key attemptKey) bool {
	at := a.attempts[key]
	if at == nil || at.worker != "" || at.kill != nil || !a.lanes[at.pool].take(key) {
		return false
	}
	a.waiting.Add(-1)
	delete(a.attempts, key)
	return true
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
	key := attemptKey{taskID: k.TaskID, lease: k.Lease}
	at := a.attempts[key]
	switch {
	case at == nil: // it has ended
	case a.takeBack(key):
		a.report(scheduler.Report{Finished: &scheduler.Finished{TaskID: k.TaskID, Lease: k.Lease, At: time.Now(), Outcome: string(models.Cancelled)}})
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
