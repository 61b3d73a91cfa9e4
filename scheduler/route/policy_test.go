package route_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"loadstar/models"
	"loadstar/scheduler/route"
)

// scripted draws the numbers given, one after the other.
func scripted(numbers ...int) func(int) int {
	return func(n int) int {
		v := numbers[0]
		numbers = numbers[1:]
		return v % n
	}
}

func TestEachPolicyChoosesByItsOwnRule(t *testing.T) {
	weighted := func(c route.Candidate, weight int, cpu float64) route.Candidate {
		c.Agent.Weight, c.Agent.CPU = weight, cpu
		return c
	}
	recent := func(c route.Candidate, n int) route.Candidate {
		c.Recent = n
		return c
	}
	three := []route.Candidate{agent("a", 10, 0, .5), agent("b", 10, 6, .1), agent("c", 10, 1, .3)}
	for name, c := range map[string]struct {
		policy models.DispatchPolicy
		agents []route.Candidate
		wish   *route.Wish
		draws  []int
		want   string
		other  string
	}{
		"priority counts slots and load":          {models.DispatchPriority, three, nil, nil, "c", "a"},
		"fifo places as priority does":            {models.DispatchFIFO, three, nil, nil, "c", "a"},
		"load-aware counts the load score":        {models.DispatchLoadAware, three, nil, nil, "b", "c"},
		"and what came since it was told":         {models.DispatchLoadAware, []route.Candidate{three[0], recent(three[1], 6), three[2]}, nil, nil, "c", "a"},
		"two-choices takes the better of two":     {models.DispatchTwoChoices, three, nil, []int{0, 0}, "a", "b"},
		"and looks at no third":                   {models.DispatchTwoChoices, three, nil, []int{1, 0}, "a", "b"},
		"two-choices of one":                      {models.DispatchTwoChoices, three[1:2], nil, []int{0}, "b", ""},
		"weighted begins with the heaviest":       {models.DispatchWeighted, []route.Candidate{weighted(three[0], 100, 0), weighted(three[1], 300, 0)}, nil, nil, "b", "a"},
		"weighted counts free CPU":                {models.DispatchWeighted, []route.Candidate{weighted(three[0], 100, .9), weighted(three[1], 100, .2)}, nil, nil, "b", "a"},
		"a CPU that is not known is free":         {models.DispatchWeighted, []route.Candidate{weighted(three[0], 100, math.NaN()), weighted(three[1], 100, .2)}, nil, nil, "a", "b"},
		"near outweighs some load":                {models.DispatchPriority, three, &route.Wish{Near: "a"}, nil, "a", "c"},
		"but not any":                             {models.DispatchPriority, []route.Candidate{agent("a", 10, 9, .9), three[2]}, &route.Wish{Near: "a"}, nil, "c", "a"},
		"near is one of the two choices":          {models.DispatchTwoChoices, three, &route.Wish{Near: "a"}, []int{1}, "a", "c"},
		"near weighs more in the round":           {models.DispatchWeighted, []route.Candidate{weighted(three[0], 100, 0), weighted(three[1], 300, 0)}, &route.Wish{Near: "a"}, nil, "a", "b"},
		"who had its data last":                   {models.DispatchLoadAware, three, &route.Wish{Data: []string{"a", "b"}}, nil, "b", "a"},
		"who had its kind":                        {models.DispatchLoadAware, three, &route.Wish{Kin: []string{"c"}}, nil, "c", "b"},
		"a capability that it would like":         {models.DispatchPriority, append([]route.Candidate{agent("d", 10, 1, .4, "ssd")}, three...), &route.Wish{Prefer: []string{"ssd"}}, nil, "d", "c"},
		"away from its like":                      {models.DispatchLoadAware, three, &route.Wish{Spread: []float64{0, 1, .5}}, nil, "a", "c"},
		"away from where it was taken":            {models.DispatchLoadAware, three, &route.Wish{Avoid: "b"}, nil, "c", "a"},
		"and back only where nobody else is free": {models.DispatchLoadAware, three[1:2], &route.Wish{Avoid: "b"}, nil, "b", ""},
	} {
		got := route.Choose(c.policy, c.agents, &route.Ask{Wish: c.wish}, &route.Wheel{}, scripted(c.draws...))
		name2 := func(i int) string {
			if i < 0 {
				return ""
			}
			return c.agents[i].Agent.ID
		}
		if d := cmp.Diff([]string{c.want, c.other}, []string{name2(got.Index), name2(got.Other)}); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		if got.Free != len(c.agents) {
			t.Errorf("%s: %d were free", name, got.Free)
		}
	}
}

func TestWhyAnAgentWasChosenIsSaid(t *testing.T) {
	two := []route.Candidate{agent("a", 10, 0, .5), agent("b", 10, 2, .1, "ssd")}
	for want, c := range map[string]struct {
		policy models.DispatchPolicy
		agents []route.Candidate
		wish   *route.Wish
	}{
		"load-aware: of 2 agents that were free b has the lowest load, 0.10; a is next with 0.50":                                        {models.DispatchLoadAware, two, nil},
		"priority: of 2 agents that were free a has the lowest load, 0.00 (affinity: near +0.50); b is next with 0.30":                   {models.DispatchPriority, two, &route.Wish{Near: "a"}},
		"fifo: a was the only agent free for it":                                                                                         {models.DispatchFIFO, two[:1], nil},
		"weighted: it was the turn of a, of weight 200, among 2 that were free":                                                          {models.DispatchWeighted, two, nil},
		"two-choices: of b and a, drawn among 2 that were free, b has the lower load: -0.10 (affinity: capabilities +0.40) against 0.50": {models.DispatchTwoChoices, two, &route.Wish{Prefer: []string{"ssd"}}},
	} {
		ask := &route.Ask{Wish: c.wish}
		got := route.Choose(c.policy, c.agents, ask, &route.Wheel{}, func(int) int { return 0 })
		if text := route.Why(c.policy, c.agents, got, c.wish.Bonus(got.Index, &c.agents[got.Index])); text != want {
			t.Errorf("%s\nwant %s", text, want)
		}
	}
	if got, want := route.Why(models.DispatchPriority, two, route.Choice{Index: 1}, route.Bonus{}), "priority: nobody was free for it, and it waits on b for the next slot there"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	full := agent("f", 2, 2, .25)
	lost := agent("l", 2, 0, 0)
	lost.Agent.State = route.Lost
	for want, c := range map[string]struct {
		agent route.Candidate
		need  route.Need
	}{
		"agent f: load 1.25 (load score 0.25, 2 of 2 slots taken)": {full, route.Need{}},
		"agent f lacks gpu":                             {full, route.Need{Capabilities: []string{"gpu"}}},
		"agent f is not the one that it is assigned to": {full, route.Need{Agent: "a"}},
		"agent l is lost":                               {lost, route.Need{}},
	} {
		if got := route.Stand(models.DispatchPriority, &c.agent, 0, &route.Ask{Need: c.need}); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
}

// drawAgents is some agents of any state.
func drawAgents(t *rapid.T, least int) []route.Candidate {
	agents := make([]route.Candidate, rapid.IntRange(least, 6).Draw(t, "n"))
	for i := range agents {
		agents[i] = agent(string(rune('a'+i)), rapid.IntRange(0, 4).Draw(t, "slots"), rapid.IntRange(0, 5).Draw(t, "used"),
			rapid.Float64().Draw(t, "load"), rapid.SampledFrom([][]string{nil, {"gpu"}}).Draw(t, "has")...)
		agents[i].Agent.State = rapid.SampledFrom([]string{route.Ready, route.Ready, route.Draining, route.Lost}).Draw(t, "state")
		agents[i].Agent.CPU, agents[i].Agent.Weight = rapid.Float64Range(0, 1).Draw(t, "cpu"), rapid.IntRange(0, 300).Draw(t, "weight")
	}
	return agents
}

func TestEveryPolicyChoosesSomebodyFreeAndAbleWhereThereIsOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		agents := drawAgents(t, 0)
		ask := &route.Ask{Need: route.Need{Capabilities: rapid.SampledFrom([][]string{nil, {"gpu"}}).Draw(t, "needs")}, Held: rapid.Bool().Draw(t, "held")}
		if rapid.Bool().Draw(t, "wishes") {
			ask.Wish = &route.Wish{
				Near: rapid.SampledFrom([]string{"", "a", "z"}).Draw(t, "near"), Avoid: rapid.SampledFrom([]string{"", "b"}).Draw(t, "avoid"),
				Prefer: []string{"gpu"}, Data: []string{"b", "a"}, Spread: []float64{1, 0, .5},
			}
		}
		free := 0
		fits := func(c *route.Candidate) bool {
			return c.Agent.State == route.Ready && (ask.Held || c.Free()) && route.Able(&c.Agent, ask.Need)
		}
		for i := range agents {
			if fits(&agents[i]) {
				free++
			}
		}
		seed := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		var wheel route.Wheel
		for _, p := range models.DispatchPolicies() {
			got := route.Choose(p, agents, ask, &wheel, seed.IntN)
			if got.Free != free || (got.Index >= 0) != (free > 0) || route.AnyOpen(agents, ask) != (free > 0) {
				t.Fatalf("%s: %+v, and %d are free", p, got, free)
			}
			if got.Index >= 0 && (!fits(&agents[got.Index]) || got.Index == got.Other || got.Other >= 0 != (free > 1)) {
				t.Fatalf("%s: %+v", p, got)
			}
			if text := route.Why(p, agents, got, route.Bonus{}); (text == "") != (free == 0) || strings.Contains(text, "NaN") {
				t.Fatalf("%s: %q", p, text)
			}
		}
	})
}

func TestWeightsAreRespectedOverAFullCycle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		agents := make([]route.Candidate, rapid.IntRange(1, 6).Draw(t, "n"))
		cycle := 0
		for i := range agents {
			agents[i] = agent(string(rune('a'+i)), 0, 0, 0)
			agents[i].Agent.CPU = 1 // so that the weights are the agents' own
			agents[i].Agent.Weight = rapid.IntRange(1, 30).Draw(t, "weight")
			cycle += agents[i].Agent.Weight
		}
		var wheel route.Wheel
		for round := range 2 {
			chosen := make([]int, len(agents))
			for k := range cycle {
				chosen[route.Choose(models.DispatchWeighted, agents, &route.Ask{}, &wheel, nil).Index]++
				for i, n := range chosen { // smoothly: nobody is ever a whole turn ahead
					if w := agents[i].Agent.Weight; (n-1)*cycle >= (k+1)*w {
						t.Fatalf("agent %d was chosen %d times of %d, its weight is %d of %d", i, n, k+1, w, cycle)
					}
				}
			}
			for i, n := range chosen {
				if n != agents[i].Agent.Weight {
					t.Fatalf("round %d: agent %d was chosen %d times, its weight is %d", round, i, n, agents[i].Agent.Weight)
				}
			}
		}
	})
}

func TestTwoChoicesNeverTakesTheMoreLoadedOfItsTwo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		agents := drawAgents(t, 2)
		seed := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		got := route.Choose(models.DispatchTwoChoices, agents, &route.Ask{}, &route.Wheel{}, seed.IntN)
		if got.Other < 0 {
			return
		}
		load := func(i int) float64 { return agents[i].Cost(models.DispatchPriority, i, nil) }
		if load(got.Index) > load(got.Other) || got.Cost != load(got.Index) || got.Next != load(got.Other) {
			t.Fatalf("%+v: %v was taken beside %v", got, load(got.Index), load(got.Other))
		}
	})
}

func TestTwoChoicesDrawsEverybodyAlike(t *testing.T) {
	agents := make([]route.Candidate, 5)
	for i := range agents {
		agents[i] = agent(string(rune('a'+i)), 0, 0, 0)
	}
	seed := rand.New(rand.NewPCG(1, 0))
	drawn := make([]int, len(agents))
	const n = 10_000
	for range n {
		got := route.Choose(models.DispatchTwoChoices, agents, &route.Ask{}, &route.Wheel{}, seed.IntN)
		drawn[got.Index]++
		drawn[got.Other]++
	}
	for i, k := range drawn {
		if want := 2 * n / len(agents); k < want*9/10 || k > want*11/10 {
			t.Errorf("agent %d was drawn %d times of %d", i, k, want)
		}
	}
}

func BenchmarkChoose(b *testing.B) {
	agents := make([]route.Candidate, 50)
	for i := range agents {
		agents[i] = agent(string(rune('a'+i)), 100, i, float64(i)/100)
	}
	seed := rand.New(rand.NewPCG(1, 0))
	var wheel route.Wheel
	for _, p := range models.DispatchPolicies() {
		b.Run(string(p), func(b *testing.B) {
			b.ReportAllocs()
			ask, draw := route.Ask{}, seed.IntN
			for b.Loop() {
				route.Choose(p, agents, &ask, &wheel, draw)
			}
		})
	}
}
