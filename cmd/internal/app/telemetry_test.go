package app_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"loadstar/cmd/internal/app"
	"loadstar/cmd/internal/config"
	"loadstar/models"
	"loadstar/scheduler/client"
)

func TestADaemonWritesTelemetryAndCountsIt(t *testing.T) {
	cfg := config.Default()
	cfg.StateDir, cfg.TelemetryFile, cfg.TrainShare = t.TempDir(), "steps.jsonl", 0
	d, err := app.Open(t.Context(), cfg, app.Options{Version: "test", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	<-d.Ready()
	c, err := client.New(client.Config{Socket: cfg.SocketPath()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	task := models.NewTaskSpec()
	task.TaskID, task.Run = "told", []string{"/bin/true"}
	if _, err := c.Submit(ctx, []models.TaskSpec{task}, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := c.WaitFinal(ctx, []string{"told"}); err != nil {
		t.Fatal(err)
	}
	web := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", cfg.SocketPath())
	}, DisableKeepAlives: true}}
	answer, err := web.Get("http://daemon/metrics")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if err != nil || !strings.Contains(string(text), "loadstar_telemetry_dropped_total 0") || !strings.Contains(string(text), "loadstar_telemetry_written_total") {
		t.Errorf("the metrics do not show it: %v", err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	lines, err := os.ReadFile(filepath.Join(cfg.StateDir, "steps.jsonl"))
	if err != nil || strings.Count(string(lines), "\n") != 5 {
		t.Errorf("%v, not five steps:\n%s", err, lines)
	}
	for _, s := range []string{"submitted", "queued", "assigned", "running", "finished"} {
		if !strings.Contains(string(lines), `{"task_id":"told","step":"`+s+`","status":"success"`) {
			t.Errorf("%s is missing:\n%s", s, lines)
		}
	}
}

func TestTelemetryReachesTheSubjectOfACluster(t *testing.T) {
	ns, err := natsserver.NewServer(&natsserver.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(), SyncAlways: true})
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	t.Cleanup(func() { ns.Shutdown(); ns.WaitForShutdown() })
	if !ns.ReadyForConnections(30 * time.Second) {
		t.Fatal("the server does not start")
	}
	conn, err := nats.Connect(ns.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	messages := make(chan *nats.Msg, 64)
	if _, err := conn.ChanSubscribe("steps.here", messages); err != nil {
		t.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	cfg.StateDir, cfg.NATS, cfg.Telemetry, cfg.TrainShare = t.TempDir(), ns.ClientURL(), "nats:steps.here", 0
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	d, err := app.Open(t.Context(), cfg, app.Options{Version: "test", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	<-d.Ready()
	c, err := client.New(client.Config{Socket: cfg.SocketPath()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	task := models.NewTaskSpec()
	task.TaskID, task.Run = "told", []string{"/bin/true"}
	if _, err := c.Submit(ctx, []models.TaskSpec{task}, ""); err != nil {
		t.Fatal(err)
	}
	var lines string
	for deadline := time.After(30 * time.Second); strings.Count(lines, "\n") < 5; {
		select {
		case m := <-messages:
			lines += string(m.Data)
		case <-deadline:
			t.Fatalf("not five steps:\n%s", lines)
		}
	}
	if !strings.Contains(lines, `{"task_id":"told","step":"finished","status":"success"`) {
		t.Error(lines)
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}
