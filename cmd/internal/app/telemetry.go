package app

import (
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"

	"loadstar/cmd/internal/config"
	"loadstar/scheduler/telemetry"
)

// openTelemetry is the file that the configuration names, nil where it names none.
func openTelemetry(cfg config.Config, log *slog.Logger) (*telemetry.Sink, error) {
	if cfg.TelemetryFile == "" {
		return nil, nil //nolint:nilnil // off is not an error
	}
	file := cfg.TelemetryFile
	if !filepath.IsAbs(file) {
		file = filepath.Join(cfg.StateDir, file)
	}
	return telemetry.New(telemetry.Config{File: file, MaxBytes: cfg.TelemetryMaxBytes, Logger: log})
}

// telemetryMetrics is a registry that shows what became of the telemetry, where
// there is any.
func telemetryMetrics(s *telemetry.Sink) (*prometheus.Registry, error) {
	registry := prometheus.NewRegistry()
	if s == nil {
		return registry, nil
	}
	for _, c := range []struct {
		name, help string
		value      func() uint64
	}{
		{"loadstar_telemetry_written_total", "Steps of tasks written to the telemetry file.", s.Written},
		{"loadstar_telemetry_dropped_total", "Steps of tasks that telemetry lost: too many waited, or the disk refused them.", s.Dropped},
	} {
		counter := prometheus.NewCounterFunc(prometheus.CounterOpts{Name: c.name, Help: c.help}, func() float64 { return float64(c.value()) })
		if err := registry.Register(counter); err != nil {
			return nil, fmt.Errorf("register the metrics: %w", err)
		}
	}
	return registry, nil
}
