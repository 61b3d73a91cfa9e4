package journal_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	natsserver "github.com/nats-io/nats-server/v2/server"

	"loadstar/scheduler/journal"
)

// cluster is an external NATS server of one.
func cluster(t *testing.T) string {
	t.Helper()
	url, _ := clusterToStop(t)
	return url
}

func clusterToStop(t *testing.T) (url string, stop func()) {
	t.Helper()
	ns, err := natsserver.NewServer(&natsserver.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(), SyncAlways: true})
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	stop = func() { ns.Shutdown(); ns.WaitForShutdown() }
	t.Cleanup(stop)
	if !ns.ReadyForConnections(30 * time.Second) {
		t.Fatal("the server does not start")
	}
	return ns.ClientURL(), stop
}

func TestDeposedLeaderCannotAppend(t *testing.T) {
	url := cluster(t)
	join := func() *journal.Journal {
		j, err := journal.Open(context.Background(), journal.Config{Dir: t.TempDir(), URL: url, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = j.Close() })
		return j
	}
	first := join()
	mustLoad(t, first)
	appendAll(t, first, "a", "b")
	if err := first.Snapshot(context.Background(), [][]byte{[]byte("s")}); err != nil {
		t.Fatal(err)
	}
	appendAll(t, first, "c")
	second := join() // takes over
	if d := cmp.Diff(loaded{Chunks: []string{"s"}, Frames: []string{"c"}}, mustLoad(t, second)); d != "" {
		t.Fatal(d)
	}
	appendAll(t, second, "d")
	for range 2 {
		if err := first.Append(context.Background(), []byte("late")); !errors.Is(err, journal.ErrFenced) {
			t.Fatalf("the deposed leader: %v", err)
		}
	}
	appendAll(t, second, "e")
	if d := cmp.Diff([]string{"c", "d", "e"}, mustLoad(t, second).Frames); d != "" {
		t.Error(d)
	}
}
