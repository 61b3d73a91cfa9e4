package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"loadstar/cmd/internal/config"
	"loadstar/collector/host"
	"loadstar/models"
	"loadstar/scheduler/agent"
	"loadstar/scheduler/agent/remote"
	"loadstar/scheduler/journal"
	"loadstar/scheduler/worker"
)

// AgentOptions are what `loadstar agent` may set beyond the configuration.
type AgentOptions struct {
	Version string
	// Slots is how many tasks may run here at once; 0 is the CPUs that the cgroup allows.
	Slots int
	// Heartbeat is the time between two heartbeats; 0 is the agent's default.
	Heartbeat time.Duration
}

// hostLoad reads this host's load for an agent that has no collector beside it.
type hostLoad struct {
	probe *host.Probe
	at    time.Time
	last  models.HostStatus
}

// leastInterval is the shortest time that a CPU share is measured over.
const leastInterval = 500 * time.Millisecond

// read is the host's CPU, memory and IO load, each 0 to 1; it is for one goroutine.
func (l *hostLoad) read() (cpu, memory, io float64) {
	if now := time.Now(); now.Sub(l.at) >= leastInterval {
		r, _ := l.probe.Read(context.Background(), now) //nolint:errcheck // what could not be read is 0
		l.at, l.last = now, r.Status
	}
	if l.last.MemoryTotal > 0 {
		memory = float64(l.last.MemoryUsed) / float64(l.last.MemoryTotal)
	}
	return l.last.CPU / 100, memory, max(0, l.last.PressureIO) / 100
}

// room is what tasks may ask for together: see Daemon.room.
func (l *hostLoad) room() (cpus float64, memory models.Bytes) {
	l.read()
	return allowed(&l.last)
}

// RunAgent joins the daemon at the configuration's NATS address and runs what it
// is given. When ctx ends it takes no more, and what runs may go on for the
// configuration's drain time; what still runs then goes back to the daemon.
func RunAgent(ctx context.Context, cfg config.Config, o AgentOptions, stderr io.Writer, color bool) (err error) {
	if cfg.NATS == "" {
		return models.Invalid("--nats", "it is needed: where the daemon's agents join, as in nats://host:4222")
	}
	log := NewLogger(cfg, stderr, color)
	dir := filepath.Join(cfg.StateDir, "agents", cfg.AgentID)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	lock, err := journal.LockDir(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	logs, err := worker.NewLogStore(worker.LogConfig{
		Dir: filepath.Join(dir, "logs"), Logger: log,
		MaxBytesPerAttempt: int64(cfg.TaskLogMaxBytes), MaxTotalBytes: int64(cfg.TaskLogsMaxBytes),
	})
	if err != nil {
		return err
	}
	if o.Slots == 0 {
		o.Slots = allowedCPUs()
	}
	load := &hostLoad{probe: host.New()}
	cpus, memory := load.room() //nolint:contextcheck // it reads files of the kernel's
	hands, err := agent.New(agent.Config{
		ID: cfg.AgentID, Capabilities: cfg.Capabilities, Slots: o.Slots, CPUs: cpus, MemoryTotal: memory,
		Weight: cfg.AgentWeight, Weights: agent.Weights(cfg.LoadWeights), Logs: logs, Load: load.read, Heartbeat: o.Heartbeat, KillGrace: cfg.KillGrace.Std(), Logger: log,
	})
	if err != nil {
		return err
	}
	conn, err := remote.DialUntil(ctx, remote.DialConfig{URL: cfg.NATS, Token: cfg.NATSToken, Creds: cfg.NATSCreds, Name: "loadstar agent " + cfg.AgentID, Logger: log})
	if err != nil {
		return err
	}
	defer conn.Close()
	member, err := remote.NewMember(remote.MemberConfig{Conn: conn, Agent: hands, Logs: logs, Program: o.Version, Logger: log})
	if err != nil {
		return err
	}
	log.Info("joining", "nats", conn.ConnectedUrlRedacted(), "id", cfg.AgentID, "slots", o.Slots, "capabilities", cfg.Capabilities)
	return runMember(ctx, member, hands, cfg.Drain.Std(), log)
}

// runMember runs both halves of an agent; the one that works ends last.
func runMember(ctx context.Context, member *remote.Member, hands *agent.Local, drain time.Duration, log *slog.Logger) error {
	base := context.WithoutCancel(ctx)
	work, stopWork := context.WithCancel(base)
	talk, stopTalk := context.WithCancel(base)
	defer stopWork()
	defer stopTalk()
	var group errgroup.Group
	group.Go(func() error { return hands.Run(work) })
	group.Go(func() error {
		defer stopWork()
		defer stopTalk()
		return member.Run(talk)
	})
	select {
	case <-ctx.Done():
		log.Info("draining", "for", drain)
		member.Drain()
		select {
		case <-time.After(drain):
			log.Warn("what still runs is killed, and goes back to the daemon")
			stopTalk()
		case <-talk.Done():
		}
	case <-talk.Done():
	}
	err := group.Wait()
	log.Info("stopped")
	return err
}
