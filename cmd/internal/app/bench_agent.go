package app

import (
	"context"
	"slices"
	"sync"
	"time"

	"loadstar/models"
	"loadstar/scheduler"
	"loadstar/scheduler/worker/mailbox"
)

const benchAgent = "bench"

// noopAgent ends every task the moment that it is assigned. It stands for workers
// that cost nothing, so that what is measured is the queue alone.
type noopAgent struct {
	slots    int
	commands *mailbox.Box[scheduler.Command]
	reports  chan scheduler.Report
}

func newNoopAgent(slots int) *noopAgent {
	return &noopAgent{slots: slots, commands: mailbox.New[scheduler.Command](), reports: make(chan scheduler.Report, 1024)}
}

// Info says who it is.
func (a *noopAgent) Info() models.Agent {
	return models.Agent{ID: benchAgent, Slots: a.slots, State: "ready"}
}

// Send queues commands; it never blocks.
func (a *noopAgent) Send(commands []scheduler.Command) { a.commands.Put(commands...) }

// Reports delivers the starts and the ends.
func (a *noopAgent) Reports() <-chan scheduler.Report { return a.reports }

// Run serves until ctx ends.
func (a *noopAgent) Run(ctx context.Context) error {
	defer close(a.reports)
	zero := 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.commands.Wake():
		}
		for _, c := range a.commands.Take() {
			if c.Run == nil {
				continue
			}
			now := time.Now()
			id, lease := c.Run.Task.TaskID, c.Run.Lease
			for _, r := range [...]scheduler.Report{
				{Started: &scheduler.Started{TaskID: id, Lease: lease, At: now}},
				{Finished: &scheduler.Finished{TaskID: id, Lease: lease, At: now, Outcome: string(models.Success), ExitCode: &zero}},
			} {
				select {
				case a.reports <- r:
				case <-ctx.Done():
					return nil
				}
			}
		}
	}
}

// countedJournal counts what is written to a journal and times it.
type countedJournal struct {
	scheduler.Journal
	mu      sync.Mutex
	bytes   int64
	commits []time.Duration
}

// Append makes a frame durable.
func (j *countedJournal) Append(ctx context.Context, frame []byte) error {
	began := time.Now()
	err := j.Journal.Append(ctx, frame)
	took := time.Since(began)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.bytes += int64(len(frame))
	j.commits = append(j.commits, took)
	return err
}

// count is what was written since the last call.
func (j *countedJournal) count() (bytes int64, commits []time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	bytes, commits = j.bytes, slices.Clone(j.commits)
	j.bytes, j.commits = 0, nil
	return bytes, commits
}
