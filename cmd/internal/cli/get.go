package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"loadstar/models"
)

func (a *program) getCmd() *cobra.Command {
	var o output
	cmd := &cobra.Command{
		Use:   "get ID...",
		Short: "All about a task: as submitted, where it stands, every attempt",
		Args:  args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, ids []string) error {
			return a.show(cmd, o, func(ctx context.Context, b Backend) (view, error) {
				tasks := make([]models.Task, len(ids))
				for i, id := range ids {
					var err error
					if tasks[i], err = b.Task(ctx, id); err != nil {
						return view{}, err
					}
				}
				v := tasksView(tasks, len(tasks))
				if len(tasks) == 1 {
					v.json = tasks[0]
				}
				v.table = func(p *page) {
					for i := range tasks {
						if i > 0 {
							p.line("")
						}
						p.task(&tasks[i])
					}
				}
				return v, nil
			})
		},
	}
	o.flags(cmd, true)
	return cmd
}

// task writes one task in full.
func (p *page) task(t *models.Task) {
	p.pair("task", t.TaskID)
	state := string(t.State)
	if t.Reason != "" {
		state += ", " + string(t.Reason)
	}
	if t.Detail != "" {
		state += ": " + t.Detail
	}
	p.pair("state", state)
	p.pair("error", t.Error)
	p.pair("exit code", exitText(t.ExitCode))
	p.pair("description", t.Description)
	if len(t.Run) > 0 {
		p.pair("command", quote(t.Run))
	}
	if t.HTTP != nil {
		p.pair("request", strings.TrimSpace(t.HTTP.String()))
	}
	p.items(t)
	p.pair("input", string(t.Input))
	p.pair("directory", t.Dir)
	p.pair("environment", pairs(t.Env))
	p.pair("pool", t.Pool)
	p.pair("priority", t.Priority.String())
	p.pair("agent", t.Agent)
	p.pair("pinned to", t.AssignedTo)
	p.pair("capabilities", strings.Join(t.Capabilities, ", "))
	p.pair("after", strings.Join(t.Dependencies, ", "))
	p.pair("labels", pairs(t.Labels))
	p.limits(t)
	p.pair("submitted", p.clock(t.SubmittedAt))
	for _, m := range []struct {
		name string
		at   *time.Time
	}{{"not before", t.NotBefore}, {"deadline", t.Deadline}, {"started", t.StartedAt}, {"finished", t.FinishedAt}} {
		if m.at != nil {
			p.pair(m.name, p.clock(*m.at))
		}
	}
	p.pair("waited", p.waited(t))
	p.pair("ran", p.ran(t))
	p.attempts(t.Attempts)
}

// items writes what a task is done for, and how far it is.
func (p *page) items(t *models.Task) {
	p.pair("shard of", t.Parent)
	if t.Items != nil {
		text := plural(t.Items.Len(), "item")
		switch from, to, step, ok := t.Items.Range(); {
		case ok && step == 1:
			text += fmt.Sprintf(", %d to %d", from, to)
		case ok:
			text += fmt.Sprintf(", %d to %d by %d", from, to, step)
		case t.Items.Len() <= 10:
			text = strings.Join(t.Items.Texts(), ", ")
		}
		p.pair("items", text)
	}
	g := t.Progress
	if g == nil {
		return
	}
	text := fmt.Sprintf("%d of %d items done", g.Done, g.Items)
	if g.Failed > 0 {
		text += fmt.Sprintf(", %d failed", g.Failed)
	}
	if g.EtaS != nil {
		text += ", " + seconds(*g.EtaS) + " to go"
	}
	p.pair("progress", text)
	p.pair("shards", fmt.Sprintf("%d cut, %d done, %d failed, %d items in the next", g.Shards, g.ShardsDone, g.ShardsFailed, g.Grain))
	if g.ItemMS != nil && g.OverheadMS != nil {
		p.pair("measured", fmt.Sprintf("%s an item, %s a shard beside them", seconds(*g.ItemMS/1e3), seconds(*g.OverheadMS/1e3)))
	}
	p.pair("failed items", strings.Join(g.FailedItems, ", "))
}

func (p *page) limits(t *models.Task) {
	if t.Timeout > 0 {
		p.pair("timeout", round(t.Timeout.Std()))
	}
	if t.Retries > 0 {
		backoff := t.Backoff
		if backoff == 0 {
			backoff = models.DefaultBackoff
		}
		p.pair("retries", fmt.Sprintf("%d, the first after %s", t.Retries, round(backoff.Std())))
	}
	if r := t.Resources; r != nil {
		p.pair("asks for", fmt.Sprintf("%s cores, %s memory", exact(r.CPU), r.Memory))
	}
}

func (p *page) attempts(attempts []models.Attempt) {
	if len(attempts) == 0 {
		return
	}
	p.line("")
	rows := make([][]string, len(attempts))
	for i, at := range attempts {
		row := []string{strconv.Itoa(at.Attempt), orDash(at.Outcome), at.Agent, at.Worker, "", "", exitText(at.ExitCode), at.Error}
		if at.StartedAt != nil {
			row[4] = p.clock(*at.StartedAt)
			if at.FinishedAt != nil {
				row[5] = span(max(0, at.FinishedAt.Sub(*at.StartedAt)))
			}
		}
		rows[i] = row
	}
	p.table([]column{
		{name: "TRY", right: true},
		{name: "OUTCOME", color: stateColor},
		{name: "AGENT", spare: 1},
		{name: "WORKER", spare: 3},
		{name: "STARTED"},
		{name: "RUN", right: true},
		{name: "EXIT", right: true},
		{name: "ERROR", flex: true},
	}, rows)
}

// quote writes a command so that a shell would read it back.
func quote(command []string) string {
	parts := make([]string, len(command))
	for i, w := range command {
		if w != "" && strings.Trim(w, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+./:=@%,") == "" {
			parts[i] = w
			continue
		}
		parts[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
	}
	return strings.Join(parts, " ")
}
