package route_test

import (
	"testing"

	"pgregory.net/rapid"

	"loadstar/models"
	"loadstar/scheduler/route"
)

func agent(id string, slots, used int, load float64, capabilities ...string) route.Candidate {
	return route.Candidate{Agent: models.Agent{ID: id, Slots: slots, LoadScore: load, Capabilities: capabilities, State: route.Ready}, Used: used}
}

func TestTheLeastLoadedAbleAgentIsChosen(t *testing.T) {
	lost := agent("lost", 4, 0, 0)
	lost.Agent.State = route.Lost
	for name, c := range map[string]struct {
		agents []route.Candidate
		need   route.Need
		want   int
	}{
		"nobody":                 {nil, route.Need{}, -1},
		"least load":             {[]route.Candidate{agent("a", 4, 0, .5), agent("b", 4, 0, .2)}, route.Need{}, 1},
		"fewer taken":            {[]route.Candidate{agent("a", 4, 2, .2), agent("b", 4, 1, .2)}, route.Need{}, 1},
		"the first of equals":    {[]route.Candidate{agent("a", 4, 1, .2), agent("b", 4, 1, .2)}, route.Need{}, 0},
		"capability is hard":     {[]route.Candidate{agent("a", 4, 0, 0), agent("b", 4, 3, .9, "gpu")}, route.Need{Capabilities: []string{"gpu"}}, 1},
		"a full one is not free": {[]route.Candidate{agent("a", 2, 2, 0), agent("b", 4, 3, .9)}, route.Need{}, 1},
		"no limit":               {[]route.Candidate{agent("a", 0, 900, 0)}, route.Need{}, 0},
		"pinned":                 {[]route.Candidate{agent("a", 4, 0, 0), agent("b", 4, 3, .9)}, route.Need{Agent: "b"}, 1},
		"pinned and full":        {[]route.Candidate{agent("a", 4, 0, 0), agent("b", 4, 4, .9)}, route.Need{Agent: "b"}, -1},
		"lost":                   {[]route.Candidate{lost}, route.Need{}, -1},
	} {
		if got := route.LeastLoaded(c.agents, c.need); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestAnAgentWithoutRoomIsPassedOver(t *testing.T) {
	with := func(cpus float64, memory models.Bytes, milli int64, used models.Bytes) route.Candidate {
		c := agent("a", 4, 0, 0)
		c.Agent.CPUs, c.Agent.MemoryTotal, c.MilliCPU, c.Memory = cpus, memory, milli, used
		return c
	}
	for name, c := range map[string]struct {
		agent route.Candidate
		need  route.Need
		want  int
		waits bool
	}{
		"just enough":           {with(2, 0, 1500, 0), route.Need{MilliCPU: 500}, 0, false},
		"too little CPU left":   {with(2, 0, 1501, 0), route.Need{MilliCPU: 500}, -1, true},
		"too little memory":     {with(2, 10, 0, 4), route.Need{MilliCPU: 500, Memory: 7}, -1, true},
		"never enough":          {with(2, 10, 0, 0), route.Need{Memory: 11}, -1, false},
		"asks for nothing":      {with(2, 10, 9000, 99), route.Need{}, 0, false},
		"unknown is no limit":   {with(0, 0, 9000, 99), route.Need{MilliCPU: 1e6, Memory: 1 << 40}, 0, false},
		"half of it is unknown": {with(2, 0, 0, 99), route.Need{MilliCPU: 1, Memory: 1 << 40}, 0, false},
		"over already":          {with(2, 10, 9000, 99), route.Need{Memory: 1}, -1, true},
	} {
		if got := route.LeastLoaded([]route.Candidate{c.agent}, c.need); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
		if got := route.WaitsForRoom([]route.Candidate{c.agent}, c.need); got != c.waits {
			t.Errorf("%s: waits %v", name, got)
		}
	}
}

func TestWhyNobodyWillDoIsSaid(t *testing.T) {
	agents := []models.Agent{agent("a", 1, 0, 0, "ssd").Agent}
	for want, n := range map[string]route.Need{
		"": {Capabilities: []string{"ssd"}},
		"it is assigned to b, which has not joined": {Agent: "b"},
		"it is assigned to a, which lacks gpu":      {Agent: "a", Capabilities: []string{"gpu"}},
		"no agent has gpu, ssd":                     {Capabilities: []string{"gpu", "ssd"}},
	} {
		if got := route.WhyNone(agents, n); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := route.WhyNone(nil, route.Need{}); got != "no agent has joined" {
		t.Error(got)
	}
}

func TestTheChosenAgentIsAlwaysFreeAbleAndReady(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := []string{"gpu", "ssd", "arm"}
		subset := func(label string) []string {
			return rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, 3, rapid.ID).Draw(t, label)
		}
		agents := make([]route.Candidate, rapid.IntRange(0, 6).Draw(t, "n"))
		for i := range agents {
			agents[i] = agent(string(rune('a'+i)), rapid.IntRange(0, 4).Draw(t, "slots"), rapid.IntRange(0, 5).Draw(t, "used"),
				rapid.Float64().Draw(t, "load"), subset("has")...)
			agents[i].Agent.State = rapid.SampledFrom([]string{route.Ready, route.Draining, route.Lost}).Draw(t, "state")
		}
		n := route.Need{Agent: rapid.SampledFrom([]string{"", "", "a", "z"}).Draw(t, "pin"), Capabilities: subset("needs")}
		fits := func(c *route.Candidate) bool {
			return c.Agent.State == route.Ready && c.Free() && route.Able(&c.Agent, n)
		}
		i := route.LeastLoaded(agents, n)
		if i >= 0 && !fits(&agents[i]) {
			t.Fatalf("%+v does not fit %+v", agents[i], n)
		}
		for j := range agents {
			if i < 0 && fits(&agents[j]) {
				t.Fatalf("%+v fits and was passed over", agents[j])
			}
		}
	})
}
