package app

import (
	"cmp"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"loadstar/cmd/internal/config"
	"loadstar/scheduler/agent/remote"
	"loadstar/scheduler/telemetry"
)

// openTelemetry is what the configuration names, nil where it names nothing. close
// is to be called once the sink has ended.
func openTelemetry(cfg config.Config, log *slog.Logger) (sink *telemetry.Sink, closing func() error, err error) {
	closing = func() error { return nil }
	t := telemetry.Config{MaxBytes: cfg.TelemetryMaxBytes, Logger: log}
	kind, where, _ := strings.Cut(cfg.Telemetry, ":")
	switch {
	case cfg.Telemetry == "" && cfg.TelemetryFile == "":
		return nil, closing, nil
	case kind == "nats":
		conn, err := remote.Dial(remote.DialConfig{URL: cfg.NATS, Creds: cfg.NATSCreds, Name: "loadstar telemetry", Logger: log})
		if err != nil {
			return nil, closing, err
		}
		closing = func() error {
			err := conn.FlushTimeout(lastFlush)
			conn.Close()
			return err
		}
		t.Publish = func(lines []byte) error { return conn.Publish(where, lines) }
	case kind == "otlp":
		t.OTLP = where
	default:
		t.File = cmp.Or(cfg.Telemetry, cfg.TelemetryFile)
		if !filepath.IsAbs(t.File) {
			t.File = filepath.Join(cfg.StateDir, t.File)
		}
	}
	sink, err = telemetry.New(t)
	return sink, closing, err
}

// lastFlush bounds how long the last lines may take to leave.
const lastFlush = 2 * time.Second

// telemetryMetrics is a registry that shows what became of the telemetry, where
// there is any.
func telemetryMetrics(s *telemetry.Sink) (*prometheus.Registry, error) {
	registry := prometheus.NewRegistry()
	if s == nil {
		return registry, nil
	}
	return registry, register(registry, []counter{
		{"loadstar_telemetry_written_total", "Steps of tasks that telemetry has written or sent.", s.Written},
		{"loadstar_telemetry_dropped_total", "Steps of tasks that telemetry lost: too many waited, or they were refused.", s.Dropped},
	})
}

// counter is a number that something keeps, which only grows.
type counter struct {
	name, help string
	value      func() uint64
}

// register shows counters in a registry.
func register(registry *prometheus.Registry, counters []counter) error {
	for _, c := range counters {
		shown := prometheus.NewCounterFunc(prometheus.CounterOpts{Name: c.name, Help: c.help}, func() float64 { return float64(c.value()) })
		if err := registry.Register(shown); err != nil {
			return fmt.Errorf("register the metrics: %w", err)
		}
	}
	return nil
}
