package route_test

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"loadstar/scheduler/route"
)

func standing(load float64, held int) route.Standing {
	return route.Standing{Known: true, Load: load, Held: held}
}

func TestWorkGoesFromLoadedAgentsToIdleOnes(t *testing.T) {
	cands := []route.Candidate{agent("a", 4, 4, 0), agent("b", 4, 0, 0, "gpu"), agent("c", 4, 1, 0)}
	task := func(n uint64, from int, need ...string) route.Movable {
		return route.Movable{Task: n, From: from, Need: route.Need{Capabilities: need}}
	}
	full := []route.Candidate{cands[0], agent("b", 4, 4, 0), cands[2]}
	for name, c := range map[string]struct {
		cands []route.Candidate
		loads []route.Standing
		tasks []route.Movable
		most  int
		want  [][3]int // task, from, to
	}{
		"to the least loaded, until it has as many": {
			cands,
			[]route.Standing{standing(.9, 4), standing(.1, 0), standing(.4, 1)},
			[]route.Movable{task(1, 0), task(2, 0), task(3, 0)},
			8,
			[][3]int{{1, 0, 1}, {2, 0, 1}, {3, 0, 2}},
		},
		"loads that differ little":    {cands, []route.Standing{standing(.5, 4), standing(.3, 0), standing(.4, 1)}, []route.Movable{task(1, 0)}, 8, nil},
		"no more than the bound":      {cands, []route.Standing{standing(.9, 4), standing(.1, 0), standing(.4, 1)}, []route.Movable{task(1, 0), task(2, 0)}, 1, [][3]int{{1, 0, 1}}},
		"not what is on the idle one": {cands, []route.Standing{standing(.9, 4), standing(.1, 0), standing(.4, 1)}, []route.Movable{task(1, 2)}, 8, nil},
		"not to one without the capability": {
			cands, []route.Standing{standing(.9, 4), standing(.4, 0), standing(.1, 1)}, []route.Movable{task(1, 0, "gpu")}, 8, [][3]int{{1, 0, 1}},
		},
		"not to one that is full":           {full, []route.Standing{standing(.9, 4), standing(.1, 3), standing(.4, 1)}, []route.Movable{task(1, 0)}, 8, [][3]int{{1, 0, 2}}},
		"not to one that has as much":       {cands, []route.Standing{standing(.9, 1), standing(.1, 1), standing(.1, 2)}, []route.Movable{task(1, 0)}, 8, nil},
		"not by a load that is not known":   {cands, []route.Standing{standing(.9, 4), {Held: 0}, standing(.9, 1)}, []route.Movable{task(1, 0)}, 8, nil},
		"nor with a single one that counts": {cands, []route.Standing{standing(.9, 4), {}, {}}, []route.Movable{task(1, 0)}, 8, nil},
	} {
		var got [][3]int
		for _, m := range route.Rebalance(route.Balance{MaxMoves: c.most}.WithDefaults(), c.cands, c.loads, c.tasks) {
			got = append(got, [3]int{int(m.Task), m.From, m.To})
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	moves := route.Rebalance(route.Balance{}.WithDefaults(), cands, []route.Standing{standing(.9, 4), standing(.1, 0), standing(.5, 1)}, []route.Movable{task(1, 0)})
	if want := "taken from a, whose load is 0.90, for b with 0.10: the loads of the agents differ by 0.33, and 0.20 is allowed"; len(moves) != 1 || moves[0].Why != want {
		t.Errorf("%+v", moves)
	}
}

func TestABalancesRulesAreChecked(t *testing.T) {
	for want, b := range map[string]route.Balance{
		"rebalance.cpu, rebalance.memory: neither may be negative":  {CPU: -1},
		"rebalance.spread: NaN is not between 0 and 1":              {Spread: math.NaN()},
		"rebalance.window: -1 is not between 1 and 1000 heartbeats": {Window: -1},
		"rebalance.max_moves: -1 is negative":                       {MaxMoves: -1},
		"rebalance.cool_down: -1ns is negative":                     {CoolDown: -1},
	} {
		if err := b.Validate(); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	b := route.Balance{}.WithDefaults()
	if err := b.Validate(); err != nil {
		t.Error(err)
	}
	for _, v := range []float64{math.NaN(), math.Inf(1), -1, 7} {
		if got := b.Load(v, .5); !(got >= 0 && got <= 1) {
			t.Errorf("%v for %v", got, v)
		}
	}
}

func TestAMoveNeverMakesTheWorkMoreUneven(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cands := drawAgents(t, 1)
		standings, mean, n := make([]route.Standing, len(cands)), 0.0, 0.0
		var tasks []route.Movable
		for i := range cands {
			waiting := rapid.IntRange(0, 6).Draw(t, "waiting")
			standings[i] = standing(rapid.Float64Range(0, 1).Draw(t, "standing"), waiting+rapid.IntRange(0, 3).Draw(t, "running"))
			standings[i].Known = rapid.IntRange(0, 9).Draw(t, "known") > 0
			if standings[i].Known && cands[i].Agent.State == route.Ready {
				mean, n = mean+standings[i].Load, n+1
			}
			for range waiting {
				need := route.Need{Capabilities: rapid.SampledFrom([][]string{nil, {"gpu"}}).Draw(t, "needs")}
				tasks = append(tasks, route.Movable{Task: uint64(len(tasks)), From: i, Need: need})
			}
		}
		mean /= max(1, n)
		b := route.Balance{MaxMoves: rapid.IntRange(1, 8).Draw(t, "most"), Spread: rapid.Float64Range(.05, .4).Draw(t, "spread")}.WithDefaults()
		moves := route.Rebalance(b, cands, standings, tasks)
		if len(moves) > b.MaxMoves {
			t.Fatalf("%d moves", len(moves))
		}
		squares := func() (sum int) {
			for _, s := range standings {
				sum += s.Held * s.Held
			}
			return sum
		}
		moved := map[uint64]bool{}
		for _, m := range moves {
			c, k := &cands[m.To], &tasks[m.Task]
			switch {
			case moved[m.Task] || k.From != m.From:
				t.Fatalf("%+v again, or not from %d", m, k.From)
			case standings[m.From].Load <= mean || standings[m.To].Load >= mean:
				t.Fatalf("%+v, from %v to %v around %v", m, standings[m.From].Load, standings[m.To].Load, mean)
			case c.Agent.State != route.Ready || !c.Free() || !route.Able(&c.Agent, k.Need):
				t.Fatalf("%+v to %+v", m, c)
			}
			moved[m.Task] = true
			before := squares()
			standings[m.From].Held--
			standings[m.To].Held++
			c.Used++
			if after := squares(); after > before { // the mean stays, so that this is the deviation
				t.Fatalf("%+v made the squares %d out of %d", m, after, before)
			}
		}
	})
}
