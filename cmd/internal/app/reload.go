package app

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"reflect"
	"syscall"

	"loadstar/cmd/internal/config"
	"loadstar/models"
)

// reloadOn reads the configuration again at every SIGHUP until ctx ends. What can
// be changed on a running pool (min, max, policy, dispatch, caps) is changed; what cannot is told,
// and a configuration that is wrong changes nothing.
func (d *Daemon) reloadOn(ctx context.Context, load func() (config.Config, error)) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			cfg, err := load()
			if err != nil {
				d.log.Error("the configuration was not reloaded", "err", err)
				continue
			}
			d.reload(ctx, cfg)
		}
	}
}

func (d *Daemon) reload(ctx context.Context, cfg config.Config) {
	before, errBefore := Pools(d.cfg)
	after, errAfter := Pools(cfg)
	if err := errors.Join(errBefore, errAfter); err != nil {
		d.log.Error("the configuration was not reloaded", "err", err)
		return
	}
	known := make(map[string]models.PoolSpec, len(before))
	for _, p := range before {
		known[p.Name] = p
	}
	for _, p := range after {
		old, there := known[p.Name]
		if !there {
			d.log.Warn("a new pool needs a restart", "pool", p.Name)
			continue
		}
		d.reloadPool(ctx, old, p)
	}
	if !maps.Equal(d.cfg.Caps, cfg.Caps) {
		if err := d.scheduler.SetCaps(ctx, cfg.Caps); err != nil {
			d.log.Error("the caps were not changed", "err", err)
		} else {
			d.log.Info("the caps are changed", "caps", cfg.Caps)
			d.cfg.Caps = cfg.Caps
		}
	}
	d.reloadAlerts(cfg)
	old, fresh := d.cfg, cfg
	old.Pools, fresh.Pools, fresh.Caps = nil, nil, old.Caps
	if !reflect.DeepEqual(old, fresh) {
		d.log.Warn("what was changed beside the pools needs a restart")
	}
	d.cfg.Pools = cfg.Pools
	d.log.Info("the configuration is reloaded", "pools", len(after))
}

func (d *Daemon) reloadPool(ctx context.Context, old, p models.PoolSpec) {
	if old.Min != p.Min || old.Max != p.Max || old.Policy != p.Policy || old.Dispatch != p.Dispatch || !maps.Equal(old.Caps, p.Caps) {
		patch := models.PoolPatch{Min: &p.Min, Max: &p.Max, Policy: &p.Policy, Dispatch: &p.Dispatch, Caps: capsPatch(old.Caps, p.Caps)}
		if _, err := d.scheduler.SetPool(ctx, p.Name, patch); err != nil {
			d.log.Error("the pool was not changed", "pool", p.Name, "err", err)
			return
		}
		d.log.Info("the pool is changed", slog.String("pool", p.Name), slog.Int("min", p.Min), slog.Int("max", p.Max), slog.String("policy", string(p.Policy)), slog.String("dispatch", string(p.Dispatch)))
	}
	old.Min, old.Max, old.Policy, old.Dispatch, old.Caps = p.Min, p.Max, p.Policy, p.Dispatch, p.Caps
	if !reflect.DeepEqual(old, p) {
		d.log.Warn("what was changed beside min, max, policy, dispatch and caps needs a restart", "pool", p.Name)
	}
}

// capsPatch is the change that leads from one set of caps to another.
func capsPatch(from, to map[string]int) map[string]int {
	patch := map[string]int{}
	for name := range from {
		patch[name] = 0
	}
	maps.Copy(patch, to)
	return patch
}
