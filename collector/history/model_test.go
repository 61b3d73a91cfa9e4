package history_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"loadstar/collector/history"
	"loadstar/models"
)

// naive is the rule of the package comment over plain maps: nothing wraps around,
// and after every value all coarser ones within reach are looked at.
type naive struct {
	tiers  []history.Tier
	values []map[int64]float64 // by tier and index
	floor  []int64             // by tier: what is older was forgotten
	need   func(ratio int) int
}

func newNaive(tiers []history.Tier, sparse bool) *naive {
	n := &naive{tiers: tiers, need: func(ratio int) int { return (ratio + 1) / 2 }}
	if sparse {
		n.need = func(int) int { return 1 }
	}
	for range tiers {
		n.values = append(n.values, map[int64]float64{})
		n.floor = append(n.floor, 0)
	}
	return n
}

func (n *naive) newest(tier int) int64 {
	if len(n.values[tier]) == 0 {
		return -1
	}
	return slices.Max(slices.Collect(maps.Keys(n.values[tier])))
}

func (n *naive) put(tier int, index int64, v float64) {
	newest := n.newest(tier)
	if newest < 0 {
		n.floor[tier] = 0
	}
	if index < n.floor[tier] {
		return
	}
	if newest >= 0 && index > newest {
		n.derive(tier, index-1) // what is over before anything is forgotten
	}
	n.values[tier][index] = v
	newest = n.newest(tier)
	n.floor[tier] = max(n.floor[tier], newest-int64(n.tiers[tier].Len)+1)
	maps.DeleteFunc(n.values[tier], func(i int64, _ float64) bool { return i < n.floor[tier] })
	n.derive(tier, newest)
}

// derive makes all values above whose steps are over after now and of which nothing was forgotten.
func (n *naive) derive(tier int, now int64) {
	if tier+1 == len(n.tiers) {
		return
	}
	ratio := int64(n.tiers[tier+1].Step / n.tiers[tier].Step)
	for p := (n.floor[tier] + ratio - 1) / ratio; (p+1)*ratio-1 <= now && p*ratio <= n.newest(tier); p++ {
		sum, count := 0.0, 0
		for i := p * ratio; i < (p+1)*ratio; i++ {
			if v, ok := n.values[tier][i]; ok {
				sum += v
				count++
			}
		}
		if count == 0 || count < n.need(int(ratio)) {
			continue
		}
		mean := float64(float32(sum / float64(count)))
		if old, ok := n.values[tier+1][p]; !ok || old != mean {
			n.put(tier+1, p, mean)
		}
	}
}

func (n *naive) rewind(to time.Time) {
	for tier, t := range n.tiers {
		maps.DeleteFunc(n.values[tier], func(i int64, _ float64) bool { return (i+1)*int64(t.Step) > to.UnixNano() })
	}
}

func (n *naive) points(tier int) (out []models.Point) {
	for _, i := range slices.Sorted(maps.Keys(n.values[tier])) {
		out = append(out, models.Point{At: time.Unix(0, i*int64(n.tiers[tier].Step)).UTC(), Value: n.values[tier][i]})
	}
	return out
}

func gapsOf(points []models.Point, step time.Duration) (gaps []models.Gap) {
	for i := 1; i < len(points); i++ {
		if end := points[i-1].At.Add(step); end.Before(points[i].At) {
			gaps = append(gaps, models.Gap{From: end, To: points[i].At})
		}
	}
	return gaps
}

func TestRingsAgreeWithANaiveModel(t *testing.T) {
	tiers := []history.Tier{{Step: time.Second, Len: 9}, {Step: 3 * time.Second, Len: 14}, {Step: 6 * time.Second, Len: 11}, {Step: 30 * time.Second, Len: 4}}
	rapid.Check(t, func(t *rapid.T) {
		sparse := rapid.Bool().Draw(t, "sparse")
		log := &memLog{}
		cfg := history.Config{Tiers: tiers, Store: log, Rule: func(string) history.Rule { return history.Rule{Sparse: sparse} }}
		s, err := history.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		model := newNaive(tiers, sparse)
		rewound := false
		now := int64(rapid.IntRange(0, 100).Draw(t, "start"))
		check := func() {
			for tier, tr := range tiers {
				got, _ := s.Range("a", tr.Step, time.Time{}, time.Time{})
				want := model.points(tier)
				if d := cmp.Diff(want, got); d != "" && (len(want) > 0 || len(got) > 0) {
					t.Fatalf("%s: %s", tr.Step, d)
				}
				if len(want) == 0 {
					continue
				}
				info, err := s.Info("a", tr.Step)
				if err != nil {
					t.Fatal(err)
				}
				wantInfo := models.SeriesInfo{
					Name: "a", StepS: tr.Step.Seconds(), From: want[0].At, To: want[len(want)-1].At.Add(tr.Step),
					Points: len(want), Gaps: gapsOf(want, tr.Step), Last: want[len(want)-1].Value,
				}
				if d := cmp.Diff(wantInfo, info); d != "" {
					t.Fatalf("%s: %s", tr.Step, d)
				}
			}
		}
		put := func(index int64, v int) {
			at := time.Unix(index, 0).UTC()
			s.Append(at, []models.Sample{{Series: "a", At: at, Value: float64(v)}})
			model.put(0, index, float64(v))
		}
		t.Repeat(map[string]func(*rapid.T){
			"next": func(t *rapid.T) {
				for range rapid.IntRange(1, 12).Draw(t, "n") {
					now++
					put(now, rapid.IntRange(-9, 9).Draw(t, "v"))
				}
			},
			"skip": func(t *rapid.T) {
				now += int64(rapid.OneOf(rapid.IntRange(2, 8), rapid.IntRange(9, 200)).Draw(t, "by"))
				put(now, 1)
			},
			"late": func(t *rapid.T) {
				put(max(0, now-int64(rapid.IntRange(0, 15).Draw(t, "by"))), rapid.IntRange(-9, 9).Draw(t, "v"))
				now = max(now, model.newest(0))
			},
			"rewind": func(t *rapid.T) {
				rewound = true
				now = max(0, now-int64(rapid.IntRange(0, 40).Draw(t, "by")))
				to := time.Unix(now, int64(rapid.IntRange(0, 1).Draw(t, "half"))*5e8)
				s.Rewind(to)
				model.rewind(to)
			},
			"flush": func(t *rapid.T) {
				if err := s.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
			},
			"restart": func(t *rapid.T) {
				if rewound {
					t.Skip("the log remembers more from before a rewind than the rings, which is no harm")
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				if s, err = history.Open(t.Context(), cfg); err != nil {
					t.Fatal(err)
				}
			},
			"": func(*rapid.T) { check() },
		})
	})
}

func TestImportedAndSampledValuesMakeTheSameTiers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.IntRange(-1, 9), 1, 400).Draw(t, "values") // -1 is a second without one
		var points []models.Point
		sampled, err := history.Open(t.Context(), history.Config{})
		if err != nil {
			t.Fatal(err)
		}
		imported, err := history.Open(t.Context(), history.Config{})
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range values {
			if v >= 0 {
				feed(sampled, "a", i, float64(v))
				points = append(points, models.Point{At: second(i), Value: float64(v)})
			}
		}
		if len(points) == 0 {
			return
		}
		if err := imported.Import("a", time.Second, rapid.Permutation(points).Draw(t, "order")); err != nil {
			t.Fatal(err)
		}
		for _, step := range sampled.Steps() {
			want, _ := sampled.Range("a", step, time.Time{}, time.Time{})
			got, _ := imported.Range("a", step, time.Time{}, time.Time{})
			if d := cmp.Diff(want, got); d != "" {
				t.Fatal(fmt.Sprint(step), d)
			}
		}
	})
}
