package predictor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"loadstar/models"
)

// trainer trains one model at a time in a goroutine of its own. Run's goroutine
// hands it jobs when it is idle and takes the outcome from done.
type trainer struct {
	cfg     Config
	jobs    chan *trainJob
	done    chan *trainJob
	current *trainJob // Run's goroutine's: what is being trained
	queue   []*trainJob
}

// trainJob is one training and, after it, what came of it.
type trainJob struct {
	group    *group
	request  *trainRequest // nil for background training
	spec     Spec
	data     Sequence
	prev     Learned
	points   int
	path     string // of the checkpoint, empty for none
	cancel   context.CancelFunc
	ctx      context.Context // a job is a call that waits in a queue
	progress atomic.Uint64   // float64 bits of the share done

	model Learned
	err   error
	took  time.Duration
	saved error

	trial     *trial // nil where there is evidence enough
	preempted bool   // Run's goroutine's: cancelled for a request
}

// trainRequest is a person's wish to train now.
type trainRequest struct {
	series   string
	ctx      context.Context // the caller's, who waits
	progress chan models.TrainProgress
	reply    chan error // buffered, one answer
	left     int
	errs     []error
}

func newTrainer(cfg Config) trainer {
	return trainer{cfg: cfg, jobs: make(chan *trainJob, 1), done: make(chan *trainJob, 1)}
}

func (t *trainer) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case j := <-t.jobs:
			t.do(j)
			t.done <- j // has room: one job at a time
		}
	}
}

// do trains, saves and measures. A panic of the learner is an error like others.
func (t *trainer) do(j *trainJob) {
	began := time.Now()
	defer func() {
		j.took = time.Since(began)
		if p := recover(); p != nil {
			j.model, j.err = nil, fmt.Errorf("training broke down: %v", p)
		}
		j.cancel()
	}()
	share := t.cfg.TrainShare
	if j.request != nil {
		share = 1
	}
	j.model, j.err = t.learn(j, Hooks{
		Progress: func(done, loss float64) {
			j.progress.Store(math.Float64bits(done))
			j.report(done, loss, "training")
		},
		Pace: pace(j.ctx, share, t.cfg.Preempt),
	})
	if j.err == nil && j.path != "" {
		j.saved = j.model.Save(j.path)
	}
}

// report tells whoever asked for the training; a slow listener misses some.
func (j *trainJob) report(done, loss float64, status string) {
	if j.request == nil {
		return
	}
	select {
	case j.request.progress <- models.TrainProgress{
		Series: j.group.series, StepS: j.group.step.Seconds(), Done: min(max(done, 0), 1), Loss: finite(loss), Status: status,
	}:
	default:
	}
}

// pace returns a hook that sleeps after each stretch of work as long as keeps
// the work at a share of the time, and for as long as preempt says so.
func pace(ctx context.Context, share float64, preempt func() bool) func() {
	last := time.Now()
	return func() {
		worked := time.Since(last)
		sleep(ctx, time.Duration(float64(worked)*(1-share)/share))
		for range 60 {
			if preempt == nil || !preempt() || ctx.Err() != nil {
				break
			}
			sleep(ctx, time.Second)
		}
		last = time.Now()
	}
}

func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// nextTraining hands the trainer its next job if it is idle.
func (s *Service) nextTraining(ctx context.Context) {
	t := &s.train
	if s.cfg.Learner == nil || t.current != nil {
		return
	}
	var j *trainJob
	for len(t.queue) > 0 && j == nil {
		j, t.queue = t.queue[0], t.queue[1:]
		if err := j.request.ctx.Err(); err != nil {
			j.err = err
			s.answer(j)
			j = nil
		}
	}
	if j == nil {
		g := s.wantsTraining()
		if g == nil {
			return
		}
		j = &trainJob{group: g}
	}
	s.prepare(ctx, j)
	t.current = j
	t.jobs <- j // has room: the trainer is idle
}

// prepare fills a job from its group. The data is a copy: the window moves on.
func (s *Service) prepare(ctx context.Context, j *trainJob) {
	g := j.group
	if len(g.fitted) == 0 {
		s.refit(g, g.w.end())
	}
	j.ctx, j.cancel = context.WithCancel(ctx)
	if j.request != nil { // it ends with the asker too
		end := j.cancel
		forget := context.AfterFunc(j.request.ctx, end) //nolint:contextcheck // the asker's context, beside Run's
		j.cancel = func() { forget(); end() }
	}
	j.spec = g.spec(&s.cfg)
	j.data = g.sequence(g.w.end(), s.cfg.MaxPoints)
	j.data.Values = slices.Clone(j.data.Values)
	j.prev, j.points, j.path = g.learned, g.w.count, s.checkpoint(g.key)
	j.trial = g.newTrial(&s.cfg, j.data.Values, g.w.end())
	s.mu.Lock()
	g.progress = &j.progress
	s.mu.Unlock()
	j.report(0, 0, "training")
}

// wantsTraining is the group whose model is most overdue: those without one
// first, finest step first, what sizes pools before what is only looked at, and
// then the one trained longest ago.
func (s *Service) wantsTraining() *group {
	now := s.cfg.Clock()
	var best *group
	for _, g := range s.order {
		if g.live && s.due(g, now) && (best == nil || moreOverdue(g, best)) {
			best = g
		}
	}
	return best
}

func moreOverdue(a, b *group) bool {
	if (a.learned == nil) != (b.learned == nil) {
		return a.learned == nil
	}
	return cmp.Or(
		cmp.Compare(a.step, b.step), cmp.Compare(weight(a.series), weight(b.series)), a.trainedAt.Compare(b.trainedAt),
	) < 0
}

// weight ranks a series by what hangs on its forecast.
func weight(series string) int {
	_, what, _ := models.ParsePoolSeries(series)
	switch {
	case what == models.PoolLoad:
		return 0
	case series == models.SeriesCPU:
		return 1
	case what == models.PoolArrivals:
		return 2
	}
	return 3
}

func (s *Service) due(g *group, now time.Time) bool {
	n := float64(g.w.count)
	if g.w.count < s.cfg.MinTrain {
		return false
	}
	if n >= refitGrowth*float64(g.triedOn) {
		return true
	}
	since := now.Sub(g.trainedAt)
	if g.learned == nil && g.trainedAt.IsZero() {
		return false // tried in vain; more points first
	}
	// After a drift, and where the model cannot make sense of the newest values.
	if (g.drift.on || g.failing) && since >= 3*driftShort*g.step {
		return true
	}
	return since >= max(s.cfg.RetrainEvery, 96*g.step)
}

// trained takes what came of a training: the new model replaces the old at once.
func (s *Service) trained(j *trainJob) {
	s.train.current = nil
	g := j.group
	preempted := j.request == nil && j.err != nil && (j.preempted || errors.Is(j.err, context.Canceled))
	s.mu.Lock()
	g.progress = nil
	if !preempted {
		g.triedOn = j.points
		g.trainedAt = s.cfg.Clock()
	}
	if j.err == nil {
		g.learned, g.trainedOn, g.trainS, g.trouble = j.model, j.points, j.took.Seconds(), ""
		if j.trial != nil && j.trial.ran {
			g.board.adopt(j.trial.shadow.board.steps, s.cfg.Learner.Name())
			g.spread = j.trial.shadow.spread
			// Whoever led at the end of the trial has shown it for long enough.
			g.bench.challenger, g.bench.streak = j.trial.shadow.bench.champion, streakNeeded
		}
	} else if !preempted {
		g.trouble = j.err.Error()
	}
	s.mu.Unlock()
	name := s.cfg.Learner.Name()
	switch {
	case preempted:
	case j.err != nil:
		s.tell(models.EventTrouble, g.series, fmt.Sprintf("training %s of %s at %s: %v", name, g.series, g.step, j.err))
	default:
		s.tell(models.EventForecast, g.series, fmt.Sprintf("trained %s of %s at %s on %d points in %.1f s", name, g.series, g.step, j.points, j.took.Seconds()))
	}
	if j.saved != nil {
		s.tell(models.EventTrouble, g.series, fmt.Sprintf("the model of %s at %s was not saved: %v", g.series, g.step, j.saved))
	}
	s.answer(j)
}

// answer tells the asker when the last job of a request is done.
func (s *Service) answer(j *trainJob) {
	r := j.request
	if r == nil {
		return
	}
	status := "done"
	if j.err != nil {
		status = j.err.Error()
		r.errs = append(r.errs, fmt.Errorf("%s at %s: %w", j.group.series, j.group.step, j.err))
	}
	j.report(1, 0, status)
	if r.left--; r.left == 0 {
		r.reply <- errors.Join(r.errs...)
	}
}

// Train fits the learned model of a series anew, now, at every resolution that
// has enough points; an empty series is all. It pre-empts background training
// and returns when done. progress, which may be nil, is called from this
// goroutine. models.ErrNotFound for an unknown series, models.ErrUnavailable
// where there are too few points or the service is not running.
func (s *Service) Train(ctx context.Context, series string, progress func(models.TrainProgress)) error {
	if s.cfg.Learner == nil {
		return fmt.Errorf("%w: the service runs with baselines only", models.ErrUnavailable)
	}
	r := &trainRequest{series: series, ctx: ctx, progress: make(chan models.TrainProgress, 64), reply: make(chan error, 1)}
	if !s.running.Load() {
		return fmt.Errorf("%w: the forecasting service is not running", models.ErrUnavailable)
	}
	select {
	case s.requests <- r:
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(10 * time.Second):
		return fmt.Errorf("%w: the forecasting service does not answer", models.ErrUnavailable)
	}
	for {
		select {
		case p := <-r.progress:
			if progress != nil {
				progress(p)
			}
		case err := <-r.reply:
			for len(r.progress) > 0 {
				if p := <-r.progress; progress != nil {
					progress(p)
				}
			}
			return err
		case <-ctx.Done():
			return ctx.Err() // the jobs end with it too
		}
	}
}

// accept queues a request's jobs before background work.
func (s *Service) accept(r *trainRequest) {
	s.discovered = time.Time{} // what was imported a moment ago counts
	s.discover(s.cfg.Clock())
	known, most := false, 0
	var jobs []*trainJob
	for _, g := range s.order {
		if r.series != "" && g.series != r.series || !g.live {
			continue
		}
		known = true
		most = max(most, g.w.count)
		if g.w.count >= s.cfg.MinTrain {
			jobs = append(jobs, &trainJob{group: g, request: r})
		}
	}
	switch {
	case !known && r.series != "":
		r.reply <- fmt.Errorf("series %s: %w", r.series, models.ErrNotFound)
	case len(jobs) == 0:
		r.reply <- fmt.Errorf("%w: %d of %d points before the LSTM can train", models.ErrUnavailable, most, s.cfg.MinTrain)
	default:
		r.left = len(jobs)
		s.train.queue = append(s.train.queue, jobs...)
		if c := s.train.current; c != nil && c.request == nil {
			c.preempted = true // it is due still, and comes back
			c.cancel()
		}
	}
}

// abandonRequests answers those who still wait when the service ends.
func (s *Service) abandonRequests() {
	gone := fmt.Errorf("%w: the daemon is shutting down", models.ErrUnavailable)
	jobs := s.train.queue
	if c := s.train.current; c != nil {
		c.cancel()
		jobs = append(jobs, c)
	}
	for _, j := range jobs {
		if j.request != nil {
			select {
			case j.request.reply <- gone:
			default:
			}
		}
	}
	s.train.queue = nil
}

// checkpoint is where a group's model is kept.
func (s *Service) checkpoint(k key) string {
	if s.cfg.CheckpointDir == "" {
		return ""
	}
	return filepath.Join(s.cfg.CheckpointDir, url.PathEscape(k.series)+"-"+k.step.String()+".safetensors")
}

// loadModel reads a group's model of an earlier run. A damaged one is refused,
// told, and trained anew over it.
func (s *Service) loadModel(k key, r Resolution) (out Learned) {
	path := s.checkpoint(k)
	if s.cfg.Learner == nil || path == "" {
		return nil
	}
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	defer func() {
		if p := recover(); p != nil {
			out = nil
			s.tell(models.EventTrouble, k.series, fmt.Sprintf("the model in %s broke the loader and will be trained anew: %v", path, p))
		}
	}()
	m, err := s.cfg.Learner.Load(path)
	if err != nil {
		s.tell(models.EventTrouble, k.series, fmt.Sprintf("the model in %s is refused and will be trained anew: %v", path, err))
		return nil
	}
	if !m.Fits(Spec{Context: r.Context, Horizon: r.Horizon}, r.Step) {
		s.cfg.Logger.Info("a model of another shape is trained anew", "path", path)
		return nil
	}
	return m
}
