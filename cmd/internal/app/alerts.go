package app

import (
	"context"
	"reflect"

	"github.com/prometheus/client_golang/prometheus"

	"loadstar/cmd/internal/config"
	"loadstar/models"
	"loadstar/scheduler/alert"
)

// openAlerts is nil where the configuration names nobody to tell.
func (d *Daemon) openAlerts() (*alert.Alerter, error) {
	if !d.cfg.Alerts.On() {
		return nil, nil //nolint:nilnil // off is not an error
	}
	cfg := d.cfg.Alerts.Config()
	cfg.Logger = d.log
	cfg.Task = func(ctx context.Context, id string) (models.Task, error) { return d.scheduler.Task(ctx, id) }
	return alert.New(cfg)
}

// alertMetrics shows what became of the alerts, where there are any.
func alertMetrics(registry *prometheus.Registry, a *alert.Alerter) error {
	if a == nil {
		return nil
	}
	return register(registry, []counter{
		{"loadstar_alerts_failures_total", "Tasks that failed for good.", func() uint64 { return a.Counts().Failures }},
		{"loadstar_alerts_sent_total", "Alerts that the command or the webhook took.", func() uint64 { return a.Counts().Sent }},
		{"loadstar_alerts_unsent_total", "Alerts that it did not take.", func() uint64 { return a.Counts().Unsent }},
	})
}

// reloadAlerts changes who is told of failures. From nobody to somebody, and back,
// takes a restart, which the caller says.
func (d *Daemon) reloadAlerts(cfg config.Config) {
	if d.alerter == nil || !cfg.Alerts.On() || reflect.DeepEqual(d.cfg.Alerts, cfg.Alerts) {
		return
	}
	if err := d.alerter.Change(cfg.Alerts.Config()); err != nil {
		d.log.Error("the alerts were not changed", "err", err)
		return
	}
	d.cfg.Alerts = cfg.Alerts
	d.log.Info("the alerts are changed")
}
