package page

import (
	"cmp"
	"slices"
	"strings"

	"loadstar/models"
	"loadstar/tui/keys"
)

// agentTasks is how many active tasks are looked at for those of one agent.
const agentTasks = 500

// Agents shows the hosts that have joined: what they can do, how loaded they are,
// when they were heard, and what they run.
type Agents struct {
	cursor  int
	sort    agentSort
	reverse bool
	active  []models.Task // assigned and running, of all agents
	more    bool          // there are more than were asked for
	asked   bool
}

// agentSort is what the agents are ordered by.
type agentSort int

const (
	agentsByID agentSort = iota
	agentsByLoad
	agentsByBusy
	agentsByHeard
	agentSorts
)

// Name stands in the tabs.
func (Agents) Name() string { return "Agents" }

// Typing reports whether keys are text.
func (Agents) Typing() bool { return false }

// Scopes are where keys are looked up.
func (Agents) Scopes(Env) []keys.Scope { return []keys.Scope{keys.Agents, keys.List} }

// Poll is what is wanted every second.
func (Agents) Poll(Env) []Request { return []Request{LoadAgents{}, loadActive()} }

func loadActive() Request {
	return LoadActive{F: models.TaskFilter{States: []models.State{models.Assigned, models.Running}, Limit: agentTasks}}
}

// Update is the page after a message.
func (a Agents) Update(env Env, msg any) (Page, []Request) {
	switch m := msg.(type) {
	case Shown:
		return a, a.Poll(env)
	case AgentsLoaded:
		a.cursor = max(0, min(a.cursor, len(m.Agents)-1))
	case ActiveLoaded:
		a.active, a.more, a.asked = m.Page.Tasks, m.Page.Total > len(m.Page.Tasks), true
	case Wheel:
		a.cursor, _ = move(wheelAction(m.Delta), a.cursor, len(env.Data.Agents), 5)
	case Click:
		switch m.Zone.Kind {
		case "agent":
			a.cursor = m.Zone.Index
			if m.Twice {
				return a, a.open(env)
			}
		case "column":
			if by, ok := map[int]agentSort{0: agentsByID, 3: agentsByLoad, 7: agentsByBusy, 8: agentsByHeard}[m.Zone.Index]; ok {
				a.reverse = by == a.sort && !a.reverse
				a.sort = by
			}
		}
	case Key:
		switch m.Action {
		case keys.Open:
			return a, a.open(env)
		case keys.Sort:
			a.sort, a.reverse = (a.sort+1)%agentSorts, false
		case keys.Reverse:
			a.reverse = !a.reverse
		default:
			if to, ok := move(m.Action, a.cursor, len(env.Data.Agents), max(1, a.tableRows(env.H, len(env.Data.Agents))-3)); ok {
				a.cursor = to
			}
		}
	}
	return a, nil
}

// list is the agents in the order shown.
func (a Agents) list(env Env) []models.Agent {
	list := slices.Clone(env.Data.Agents)
	slices.SortStableFunc(list, func(x, y models.Agent) int {
		c := 0
		switch a.sort {
		case agentsByLoad:
			c = cmp.Compare(y.LoadScore, x.LoadScore)
		case agentsByBusy:
			c = cmp.Compare(y.Busy, x.Busy)
		case agentsByHeard:
			c = x.LastHeard.Compare(y.LastHeard)
		case agentsByID, agentSorts:
		}
		if c = cmp.Or(c, strings.Compare(x.ID, y.ID)); a.reverse {
			c = -c
		}
		return c
	})
	return list
}

// open turns to the tasks that the agent has.
func (a Agents) open(env Env) []Request {
	list := a.list(env)
	if a.cursor < 0 || a.cursor >= len(list) {
		return nil
	}
	text := "state:ASSIGNED,RUNNING agent:" + list[a.cursor].ID
	return []Request{Show{Page: AtTasks}, showText{text}}
}

// tableRows is how many lines the table of agents takes, frame and header included.
func (a Agents) tableRows(h, agents int) int {
	return min(agents+3, max(6, h*55/100))
}
