package journal_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"loadstar/models"
	"loadstar/scheduler/journal"
)

func candidate(t *testing.T, url, name string, standby func(string)) *journal.Election {
	t.Helper()
	e, err := journal.NewElection(context.Background(), journal.ElectionConfig{URL: url, Name: name, TTL: 300 * time.Millisecond, Standby: standby})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func TestOneLeadsAndTheNextTakesOverWhenItFallsSilent(t *testing.T) {
	url := cluster(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	first := candidate(t, url, "first", nil)
	if err := first.Lead(ctx); err != nil {
		t.Fatal(err)
	}
	holding, silence := context.WithCancel(ctx)
	held := make(chan error, 1)
	go func() { held <- first.Hold(holding) }()

	leaders := make(chan string, 10)
	second := candidate(t, url, "second", func(leader string) { leaders <- leader })
	led := make(chan error, 1)
	go func() { led <- second.Lead(ctx) }()
	if name := <-leaders; name != "first" {
		t.Errorf("told that %q leads", name)
	}
	select {
	case err := <-led:
		t.Fatalf("two lead at once: %v", err)
	case err := <-held:
		t.Fatalf("the leader lost its lease: %v", err)
	case <-time.After(time.Second): // the lease would have run out three times
	}
	silence()
	<-held
	if err := <-led; err != nil {
		t.Fatal(err)
	}
	if err := first.Hold(ctx); !errors.Is(err, models.ErrDeposed) {
		t.Errorf("the former leader: %v", err)
	}
	second.Resign(ctx)
	if err := first.Lead(ctx); err != nil { // at once, or within a lease
		t.Fatal(err)
	}
}

func TestALeaderThatCannotReachTheClusterStepsDown(t *testing.T) {
	url, stop := clusterToStop(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	e := candidate(t, url, "only", nil)
	if err := e.Lead(ctx); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := e.Hold(ctx); !errors.Is(err, models.ErrDeposed) {
		t.Errorf("%v", err)
	}
}
