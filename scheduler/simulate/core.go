package simulate

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"loadstar/models"
	"loadstar/scheduler"
)

// coreEngine is the real core, with a journal that forgets and one virtual agent.
type coreEngine struct {
	*world
	core *scheduler.Core
}

func newCoreEngine(v *world, spec models.PoolSpec) (*coreEngine, error) {
	core, err := scheduler.NewCore(scheduler.CoreConfig{KeepDecisions: keepDecisions(v.cfg.Interval), Seed: v.cfg.Seed}, []models.PoolSpec{spec})
	if err != nil {
		return nil, err
	}
	return &coreEngine{world: v, core: core}, nil
}

// keepDecisions is enough for the scale-in window of five minutes.
func keepDecisions(interval time.Duration) int { return int(scaleInWindow/interval) + 32 }

func (c *coreEngine) begin() {
	c.step(scheduler.Input{Open: true})
	c.step(scheduler.Input{Join: &models.Agent{ID: agentName, State: "ready"}})
}

func (c *coreEngine) arrive(job int) {
	spec := models.NewTaskSpec()
	spec.TaskID, spec.Pool, spec.Input = strconv.Itoa(job), poolName, json.RawMessage("1")
	sub, err := scheduler.NewSubmission([]models.TaskSpec{spec}, "", nil)
	if err != nil {
		c.meter.refused = err
		return
	}
	c.step(scheduler.Input{Submit: sub})
}

func (c *coreEngine) ready(e *event) {
	c.report(&scheduler.Report{WorkerReady: &scheduler.WorkerReady{Worker: e.worker, ColdStart: e.cold}})
}

func (c *coreEngine) finish(e *event) {
	exit := 0
	c.report(&scheduler.Report{Finished: &scheduler.Finished{
		TaskID: strconv.Itoa(int(e.job)), Lease: e.lease, At: c.clock(), Outcome: string(models.Success), ExitCode: &exit,
	}})
}

func (c *coreEngine) tick() { c.step(scheduler.Input{Tick: true}) }

func (c *coreEngine) input() (models.PoolSpec, models.DecisionInput) {
	spec, in, _ := c.core.DecisionInput(poolName, c.clock(), c.cfg.Interval, metricLag)
	return spec, in
}

func (c *coreEngine) apply(d *models.Decision) { c.step(scheduler.Input{Decision: d}) }

func (c *coreEngine) report(r *scheduler.Report) {
	r.Agent = agentName
	c.step(scheduler.Input{Report: r})
}

// step takes one thing in, commits it, and does what the core asks for.
func (c *coreEngine) step(in scheduler.Input) {
	out := c.core.Step(c.clock(), in)
	c.core.Commit()
	if out.Err != nil && c.meter.refused == nil {
		c.meter.refused = out.Err
	}
	if len(out.Decide) > 0 {
		c.early()
	}
	// The commands are only valid until the next step, which a command may bring on.
	var few [4]scheduler.Directed
	for _, d := range append(few[:0], out.Commands...) {
		c.command(&d.Command)
	}
}

// command is the virtual agent.
func (c *coreEngine) command(cmd *scheduler.Command) {
	switch {
	case cmd.StartWorker != nil:
		c.launch(cmd.StartWorker.Worker)
	case cmd.StopWorker != nil:
		c.retire()
		c.report(&scheduler.Report{WorkerGone: &scheduler.WorkerGone{Worker: cmd.StopWorker.Worker}})
	case cmd.Run != nil:
		job, err := strconv.Atoi(cmd.Run.Task.TaskID)
		if err != nil || job >= len(c.w.Jobs) {
			c.meter.refused = fmt.Errorf("it runs %q, which was never submitted", cmd.Run.Task.TaskID)
			return
		}
		c.work(job, cmd.Run.Lease)
		c.report(&scheduler.Report{Started: &scheduler.Started{TaskID: cmd.Run.Task.TaskID, Lease: cmd.Run.Lease, At: c.clock()}})
	}
}
