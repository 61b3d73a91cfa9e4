package history_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"loadstar/collector/history"
	"loadstar/models"
)

// memLog is a log in memory that can be told to fail.
type memLog struct {
	frames   [][]byte
	appended atomic.Int32
	fail     error
}

func (l *memLog) Append(_ context.Context, frame []byte) error {
	if l.fail != nil {
		return l.fail
	}
	l.frames = append(l.frames, slices.Clone(frame))
	l.appended.Add(1)
	return nil
}

func (l *memLog) Replay(ctx context.Context, fn func(time.Time, []byte) error) error {
	for _, f := range l.frames {
		if err := errors.Join(ctx.Err(), fn(epoch, f)); err != nil {
			return err
		}
	}
	return nil
}

func (l *memLog) bytes() (n int) {
	for _, f := range l.frames {
		n += len(f)
	}
	return n
}

// memLogs hands out a log a name, the same at every opening.
type memLogs map[string]*memLog

func (m memLogs) open(_ context.Context, name string, _ time.Duration) (history.Log, error) {
	if m[name] == nil {
		m[name] = &memLog{}
	}
	return m[name], nil
}

// contents is every point of every tier of a store.
func contents(t testing.TB, s *history.Store) map[string][]models.Point {
	t.Helper()
	out := map[string][]models.Point{}
	for _, i := range s.Series() {
		step := time.Duration(i.StepS * float64(time.Second))
		out[fmt.Sprint(i.Name, " ", step)] = all(t, s, i.Name, step)
	}
	return out
}

func TestACloseAndAnOpenBringEverythingBack(t *testing.T) {
	single, many := &memLog{}, memLogs{}
	for name, cfg := range map[string]history.Config{"one log": {Store: single}, "a log a tier": {Logs: many.open}} {
		s := open(t, cfg)
		random := rand.New(rand.NewPCG(1, 2))
		for i := range 3 * 3600 {
			feed(s, models.SeriesCPU, i, random.Float64()*100)
			if i%7 < 5 {
				feed(s, "pool.a.queue", i, float64(random.IntN(5)))
			}
			if i%997 == 0 {
				feed(s, "pool.a.wait", i, random.ExpFloat64())
			}
			if i%60 == 59 {
				if err := s.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := s.Import("past", 15*time.Minute, []models.Point{{At: epoch.AddDate(0, -2, 0), Value: 5}}); err != nil {
			t.Fatal(err)
		}
		want := contents(t, s)
		for range 2 { // the second Close does nothing
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		feed(s, models.SeriesCPU, 3*3600, 1)
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		again := open(t, cfg)
		if d := cmp.Diff(want, contents(t, again)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		if c := again.Counts(); c != (history.Counts{}) {
			t.Errorf("%s: %+v", name, c)
		}
	}
	if d := cmp.Diff([]string{"history-10s", "history-15m", "history-1m", "history-1s"}, sortedKeys(many)); d != "" {
		t.Error(d)
	}
}

func sortedKeys(m memLogs) (keys []string) {
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func TestAKillLosesNoMoreThanWhatCameAfterTheLastFlush(t *testing.T) {
	logs := memLogs{}
	s := open(t, history.Config{Logs: logs.open})
	var want map[string][]models.Point
	for i := range 2*3600 + 1234 {
		feed(s, "a", i, float64(i))
		if i%60 == 59 {
			if err := s.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			want = contents(t, s)
		}
	}
	again := open(t, history.Config{Logs: logs.open}) // no Close
	if d := cmp.Diff(want, contents(t, again)); d != "" {
		t.Error(d)
	}
	// And it goes on where it was: nothing is made twice or forgotten.
	from := (2*3600 + 1234) / 60 * 60
	for i := from; i < from+7200; i++ {
		feed(s, "a", i, float64(i))
		feed(again, "a", i, float64(i))
	}
	if d := cmp.Diff(contents(t, s), contents(t, again)); d != "" {
		t.Error(d)
	}
}

func TestAFailedWriteIsMadeGoodTheNextTime(t *testing.T) {
	log := &memLog{fail: errors.New("no space")}
	s := open(t, history.Config{Store: log})
	feed(s, "a", 0, repeat(1, 90)...)
	if err := s.Flush(t.Context()); err == nil || !strings.Contains(err.Error(), "no space") {
		t.Fatalf("got %v", err)
	}
	s.Rewind(second(80))
	if err := s.Close(); err == nil {
		t.Fatal("the last write failed and it was not said")
	}
	s = open(t, history.Config{Store: log})
	feed(s, "a", 0, repeat(1, 90)...)
	_ = s.Flush(t.Context())
	feed(s, "a", 90, repeat(2, 9)...)
	s.Rewind(second(95))
	log.fail = nil
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := all(t, s, "a", time.Second)
	if got := all(t, open(t, history.Config{Store: log}), "a", time.Second); len(got) != 95 || cmp.Diff(want, got) != "" {
		t.Errorf("%d points came back", len(got))
	}
}

func TestARewindOutlivesARestart(t *testing.T) {
	for name, cfg := range map[string]history.Config{"one log": {Store: &memLog{}}, "a log a tier": {Logs: memLogs{}.open}} {
		s := open(t, cfg)
		feed(s, "a", 0, repeat(1, 4000)...)
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.Rewind(second(2000))
		feed(s, "a", 2000, repeat(2, 100)...)
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(contents(t, s), contents(t, open(t, cfg))); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestDamagedAndForeignFramesAreLeftOutAndTold(t *testing.T) {
	log := &memLog{}
	s := open(t, history.Config{Store: log})
	for i := range 5 {
		feed(s, "a", 60*i, repeat(float64(i), 60)...)
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	log.frames[1][9] ^= 4
	log.frames[3] = log.frames[3][:12]
	log.frames = append(log.frames, []byte("no frame at all"))
	var said bytes.Buffer
	again := open(t, history.Config{Store: log, Logger: slog.New(slog.NewTextHandler(&said, nil))})
	if n := again.Counts().DamagedFrames; n != 3 {
		t.Errorf("%d damaged frames told", n)
	}
	if !strings.Contains(said.String(), "frames=3") {
		t.Errorf("said: %s", &said)
	}
	if got := all(t, again, "a", time.Second); len(got) != 180 {
		t.Errorf("%d points came back, want those of the three whole frames", len(got))
	}
	info, err := again.Info("a", time.Second)
	if err != nil || len(info.Gaps) != 2 {
		t.Errorf("gaps %v, %v", info.Gaps, err)
	}
	// Another base step: the frames of the old one are of no tier.
	other := open(t, history.Config{Store: log, Tiers: history.DefaultTiers(2 * time.Second)})
	if c := other.Counts(); c.OtherFrames != 3 || len(other.Series()) != 0 {
		t.Errorf("%+v", c)
	}
}

func TestASampleTakesLessThanEightBytes(t *testing.T) {
	logs := memLogs{}
	s := open(t, history.Config{Logs: logs.open})
	random := rand.New(rand.NewPCG(3, 4))
	n := 0
	for i := range 600 {
		var samples []models.Sample
		for k := range 40 {
			samples = append(samples, models.Sample{Series: fmt.Sprintf("pool.pool-%02d.noise", k), At: second(i), Value: random.Float64()})
		}
		s.Append(second(i), samples)
		n += len(samples)
		if i%60 == 59 {
			if err := s.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	total := 0
	for _, l := range logs {
		total += l.bytes()
	}
	per := float64(total) / float64(n)
	t.Logf("%.2f bytes a sample, all tiers", per)
	if per >= 8 {
		t.Errorf("%.2f bytes a sample", per)
	}
}

func TestRunFlushesOnceAMinuteAndEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &memLog{}
		s := open(t, history.Config{Store: log})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		feed(s, "a", 0, 1)
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if log.appended.Load() != 0 {
			t.Error("written before a minute was over")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := log.appended.Load(); n != 1 {
			t.Errorf("%d frames after a minute", n)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestReadersAndTheWriterMayMeet(t *testing.T) {
	s := open(t, history.Config{Store: &memLog{}})
	var group errgroup.Group
	group.Go(func() error {
		for i := range 2000 {
			feed(s, "a", i, float64(i))
		}
		return nil
	})
	group.Go(func() error {
		for range 50 {
			if err := s.Flush(t.Context()); err != nil {
				return err
			}
		}
		return s.Close()
	})
	group.Go(func() error {
		for range 300 {
			for _, i := range s.Series() {
				points, err := s.Range(i.Name, time.Duration(i.StepS*float64(time.Second)), time.Time{}, time.Time{})
				if err != nil {
					return err
				}
				if len(points) < i.Points {
					return fmt.Errorf("%d points of %d listed before", len(points), i.Points)
				}
			}
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}
