package predictor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"loadstar/models"
)

const (
	flushEvery   = time.Minute // real time between frames to the side log
	flushBytes   = 64 << 10
	flushHolds   = 1 << 20 // unsaved bytes kept while the log refuses them
	maxSeriesLen = 200     // bytes of a series' name
)

var (
	errHorizon = errors.New("the model's horizon is not the resolution's")
	errNoModel = errors.New("no model came of the training")
)

// Service is the forecasting service. Its methods may be called from any
// goroutine, before, during and after Run.
type Service struct {
	cfg      Config
	requests chan *trainRequest
	running  atomic.Bool

	mu     sync.RWMutex // guards groups and everything in them against readers
	groups map[key]*group
	order  []*group // by series, then step
	bytes  int      // of all kept issues

	// Below is Run's alone.
	lastNow    time.Time
	discovered time.Time
	frame      []byte // unsaved records
	flushed    time.Time
	logFails   bool
	train      trainer
	seq        uint64
}

// New sets a service up; Run starts it.
func New(cfg Config) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.WithDefaults()
	if cfg.CheckpointDir != "" {
		if err := os.MkdirAll(cfg.CheckpointDir, 0o700); err != nil {
			return nil, fmt.Errorf("create the models' folder: %w", err)
		}
	}
	return &Service{
		cfg: cfg, requests: make(chan *trainRequest), groups: map[key]*group{},
		train: newTrainer(cfg),
	}, nil
}

// Run replays the kept forecasts and then forecasts until ctx ends, when it
// saves what is unsaved and returns nil. It can be called once at a time.
func (s *Service) Run(ctx context.Context) error {
	if !s.running.CompareAndSwap(false, true) {
		return errors.New("predictor: Run is already running")
	}
	defer s.running.Store(false)
	if err := s.replay(ctx); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.train.run(ctx) })
	g.Go(func() error { return s.drive(ctx) })
	return g.Wait()
}

func (s *Service) drive(ctx context.Context) error {
	s.flushed = time.Now()
	ticker := time.NewTicker(s.cfg.Poll)
	defer ticker.Stop()
	s.tick(ctx, s.cfg.Clock())
	for {
		s.nextTraining(ctx)
		select {
		case <-ctx.Done():
			s.abandonRequests()
			// What was issued since the last flush must still be saved.
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			s.flush(last)
			cancel()
			return nil
		case r := <-s.requests:
			s.accept(r)
		case d := <-s.train.done:
			s.trained(d)
		case <-ticker.C:
			s.tick(ctx, s.cfg.Clock())
		}
	}
}

// replay reads the kept forecasts of earlier runs.
func (s *Service) replay(ctx context.Context) error {
	if s.cfg.Store == nil {
		return nil
	}
	damaged := 0
	s.mu.Lock()
	err := s.cfg.Store.Replay(ctx, func(_ time.Time, frame []byte) error {
		err := readFrame(frame, func(series string, step time.Duration, i *issue) {
			k := key{series, step}
			g := s.groups[k]
			if g == nil {
				at := slices.IndexFunc(s.cfg.Resolutions, func(r Resolution) bool { return r.Step == step })
				if at < 0 {
					return // a resolution that is no longer configured
				}
				g = s.addGroup(k, s.cfg.Resolutions[at])
			}
			s.bytes += g.keep(i)
			g.bench.champion = i.models[i.champion].name
			s.evict()
		})
		if err != nil {
			damaged++
			s.cfg.Logger.Warn("a kept forecast frame is damaged and left out", "err", err)
		}
		return nil
	})
	s.mu.Unlock()
	if err != nil {
		return fmt.Errorf("replay kept forecasts: %w", err)
	}
	if damaged > 0 {
		s.tell(models.EventTrouble, "", fmt.Sprintf("%d frames of kept forecasts were damaged and are left out", damaged))
	}
	return nil
}

func (s *Service) addGroup(k key, res Resolution) *group {
	g := newGroup(k, res, &s.cfg)
	s.groups[k] = g
	s.order = append(s.order, g)
	slices.SortFunc(s.order, func(a, b *group) int {
		if c := strings.Compare(a.series, b.series); c != 0 {
			return c
		}
		return int(a.step/time.Millisecond) - int(b.step/time.Millisecond)
	})
	return g
}

// evict keeps the RAM cap: the oldest issue of the group that has most goes.
func (s *Service) evict() {
	for s.bytes > s.cfg.MaxBytes {
		most := slices.MaxFunc(s.order, func(a, b *group) int { return a.bytes - b.bytes })
		if len(most.kept) <= 1 {
			return
		}
		s.bytes -= most.dropOldest()
	}
}

// tick does all that is due at now.
func (s *Service) tick(ctx context.Context, now time.Time) {
	s.watchClock(now)
	s.discover(now)
	for _, g := range s.order {
		if g.live {
			s.advance(g, now)
		}
	}
	if time.Since(s.flushed) >= flushEvery || len(s.frame) >= flushBytes {
		s.flush(ctx)
	}
}

// watchClock forgets forecasts from the future when the clock was set back. Set
// forward it needs nothing: the missed issues are missed, the steps are gaps.
func (s *Service) watchClock(now time.Time) {
	last := s.lastNow
	s.lastNow = now
	if last.IsZero() || !now.Before(last.Add(-s.finest())) {
		return
	}
	s.mu.Lock()
	for _, g := range s.order {
		s.bytes += g.dropFrom(now.UnixMilli() + 1)
		g.lastDue = min(g.lastDue, now.Add(-g.res.Every).UnixMilli())
		g.scoredTo = min(g.scoredTo, g.w.index(now))
		g.fittedAt = min(g.fittedAt, g.w.index(now))
	}
	s.mu.Unlock()
	s.discovered = time.Time{}
	s.tell(models.EventTrouble, "", fmt.Sprintf("the clock was set back by %s: forecasts made later than now are dropped", last.Sub(now).Round(time.Second)))
}

func (s *Service) finest() time.Duration {
	least := s.cfg.Resolutions[0].Step
	for _, r := range s.cfg.Resolutions {
		least = min(least, r.Step)
	}
	return least
}

// discover looks for new series, every three of the finest steps.
func (s *Service) discover(now time.Time) {
	if !s.discovered.IsZero() && now.Sub(s.discovered) < 3*s.finest() {
		return
	}
	s.discovered = now
	for _, info := range s.cfg.History.Series() {
		if len(info.Name) > maxSeriesLen || !s.cfg.Select(info.Name) {
			continue
		}
		for _, r := range s.cfg.Resolutions {
			if r.Step.Seconds() != info.StepS {
				continue
			}
			k := key{info.Name, r.Step}
			switch g := s.groups[k]; {
			case g == nil || !g.live:
				s.enliven(k, r, now)
			case len(g.w.values) > 0 && len(g.w.values) < s.cfg.MaxPoints && info.From.Before(g.w.start(g.w.first)):
				s.reachBack(g)
			}
		}
	}
}

// reachBack takes in what was imported from before a group's window.
func (s *Service) reachBack(g *group) {
	from := g.w.end() - int64(s.cfg.MaxPoints)
	points, err := s.cfg.History.Range(g.series, g.step, g.w.start(from), g.w.start(g.w.first))
	if err != nil || len(points) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	g.w.extend(points)
	g.fittedN = 0 // fit anew at the next forecast
}

// enliven makes a group of a series that history has: it loads the window, the
// trained model, and scores the forecasts kept from earlier runs.
func (s *Service) enliven(k key, r Resolution, now time.Time) {
	learned := s.loadModel(k, r)
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.groups[k]
	if g == nil {
		g = s.addGroup(k, r)
	}
	g.live = true
	if learned != nil {
		g.learned = learned
		g.trainedAt, g.trainedOn = learned.Trained()
		g.triedOn = g.trainedOn
	}
	end := g.w.index(now)
	points, err := s.cfg.History.Range(k.series, k.step, g.w.start(end-int64(s.cfg.MaxPoints)), g.w.start(end))
	if err != nil {
		s.cfg.Logger.Debug("no history yet", "series", k.series, "step", k.step, "err", err)
		return
	}
	g.w.put(points, end-1)
	champion := g.bench.champion
	g.bench.champion = "" // no drift is looked for in what is long past
	g.scoreTo(end - 1)
	g.bench.champion = champion
}

// advance issues a group's forecast if one is due: it takes in the new values,
// scores them, refits if it is time, and asks every model.
func (s *Service) advance(g *group, now time.Time) {
	every := g.res.Every.Milliseconds()
	due := floorDiv(now.UnixMilli(), every) * every
	settle, patience := g.settle(&s.cfg)
	late := now.Sub(time.UnixMilli(due))
	if due <= g.lastDue || late < settle {
		return
	}
	end := due / g.w.step
	from := max(g.w.end()-3, end-int64(s.cfg.MaxPoints))
	if len(g.w.values) == 0 {
		from = end - int64(s.cfg.MaxPoints)
	}
	from = min(from, end-3)
	points, err := s.cfg.History.Range(g.series, g.step, g.w.start(from), g.w.start(end))
	if err != nil {
		return
	}
	if n := len(points); (n == 0 || g.w.index(points[n-1].At) < end-1) && late < patience {
		return // the newest value is not there yet
	}
	s.mu.Lock()
	g.lastDue = due
	g.w.put(points, end)
	drifted := g.scoreTo(end)
	s.mu.Unlock()
	if drifted {
		s.tellDrift(g)
	}
	newest, ok := g.w.newest()
	if stale := int64(max(5, g.res.Horizon/4)); !ok || newest < end-stale || g.w.count < firstForecast {
		return
	}
	if drifted || g.fitDue(end) {
		s.refit(g, end)
	}
	s.issue(g, due, end)
}

func (s *Service) refit(g *group, end int64) {
	f := fitBaselines(g.w.upTo(end), g.w.start(g.w.first), g.step, g.res.Horizon)
	s.mu.Lock()
	defer s.mu.Unlock()
	g.take(f, end)
}

// issue makes and keeps the forecast due.
func (s *Service) issue(g *group, due, end int64) {
	learner := ""
	if s.cfg.Learner != nil {
		learner = s.cfg.Learner.Name()
	}
	f := g.look(end, learner)
	if len(f.models) == 0 {
		return
	}
	s.mu.Lock()
	failing := f.failed != nil && !g.failing
	g.failing = f.failed != nil
	if errors.Is(f.failed, errHorizon) {
		g.learned, g.triedOn = nil, 0
	}
	before := g.bench.champion
	is, changed, bytes := g.issue(f, due)
	s.bytes += bytes
	s.evict()
	why := g.bench.why
	s.mu.Unlock()
	if failing {
		s.tell(models.EventTrouble, g.series, fmt.Sprintf("%s of %s at %s cannot forecast: %v", learner, g.series, g.step, f.failed))
	}
	if changed && before != "" {
		s.tell(models.EventForecast, g.series, fmt.Sprintf("%s at %s: %s", g.series, g.step, why))
	}
	if s.cfg.Store != nil {
		if s.frame == nil {
			s.frame = newFrame()
		}
		s.frame = appendRecord(s.frame, g.series, g.w.step, is)
		if len(s.frame) >= flushHolds-flushBytes { // the log refuses: the newest forecasts matter more
			s.frame = nil
		}
	}
}

func (s *Service) flush(ctx context.Context) {
	s.flushed = time.Now()
	if len(s.frame) == 0 || s.cfg.Store == nil {
		return
	}
	if err := s.cfg.Store.Append(ctx, sealFrame(slices.Clone(s.frame))); err != nil {
		if !s.logFails {
			s.tell(models.EventTrouble, "", fmt.Sprintf("forecasts are not being saved: %v", err))
		}
		s.logFails = true
		return
	}
	s.logFails = false
	s.frame = nil
}

func (s *Service) tellDrift(g *group) {
	word := "drift began"
	if !g.drift.on {
		word = "drift is over"
	}
	s.tell(models.EventForecast, g.series, fmt.Sprintf("%s at %s: %s: %s", g.series, g.step, word, g.drift.why))
}

// tell hands an event to whoever listens, and to the log.
func (s *Service) tell(kind models.EventKind, series, message string) {
	s.seq++
	pool, _, _ := models.ParsePoolSeries(series)
	if kind == models.EventTrouble {
		s.cfg.Logger.Warn(message)
	} else {
		s.cfg.Logger.Info(message)
	}
	s.cfg.OnEvent(models.Event{Seq: s.seq, At: s.cfg.Clock(), Kind: kind, Pool: pool, Message: message})
}
