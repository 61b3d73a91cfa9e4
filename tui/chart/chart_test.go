package chart

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"loadstar/models"
	"loadstar/tui/theme"
	"loadstar/tui/widget"
)

var start = time.Date(2026, 3, 14, 13, 0, 0, 0, time.UTC)

func canvas(t testing.TB, w, h int, l theme.Level) *widget.Canvas {
	t.Helper()
	th, err := theme.New("mono", 0, l)
	if err != nil {
		t.Fatal(err)
	}
	return widget.NewCanvas(w, h, th)
}

func lines(c *widget.Canvas) []string {
	out := strings.Split(ansi.Strip(c.String()), "\n")
	for i := range out {
		out[i] = strings.TrimRight(out[i], " ")
	}
	return out
}

func ramp(n int, without func(i int) bool) []models.Point {
	var out []models.Point
	for i := range n {
		if !without(i) {
			out = append(out, models.Point{At: start.Add(time.Duration(i) * time.Minute), Value: float64(i)})
		}
	}
	return out
}

func TestAGapIsDrawnAsAGap(t *testing.T) {
	c := canvas(t, 44, 8, theme.ASCII)
	p := Plot{From: start, To: start.Add(40 * time.Minute), Unit: "tasks", Zone: time.UTC}
	p.Lines = []Line{{Points: ramp(40, func(i int) bool { return i >= 15 && i < 25 }), Step: time.Minute}}
	p.Draw(c)
	got := lines(c)
	gap := false
	for _, l := range got[:6] {
		if len(l) > 20 && strings.TrimSpace(l[21:30]) != "" {
			gap = true
		}
	}
	if gap {
		t.Errorf("something is drawn where nothing is known:\n%s", strings.Join(got, "\n"))
	}
	if !strings.Contains(got[0]+got[1], "*") || !strings.Contains(got[5], "*") {
		t.Errorf("the line does not go from foot to top:\n%s", strings.Join(got, "\n"))
	}
	if !strings.Contains(got[7], "13:15") {
		t.Errorf("no times on the axis: %q", got[7])
	}
}

func TestLinesDifferWithoutColour(t *testing.T) {
	seen := map[string]bool{}
	for _, l := range []theme.Level{theme.ASCII, theme.Block, theme.Braille} {
		for _, s := range []Stroke{Solid, Dashed, Dotted} {
			key := l.String() + s.sample(l)
			if seen[key] {
				t.Errorf("%s: %q stands for two strokes", l, s.sample(l))
			}
			seen[key] = true
		}
	}
}

func TestAGraphTellsZeroFromUnknown(t *testing.T) {
	for level, want := range map[theme.Level]string{theme.Braille: "⣀ ⣿", theme.Block: "▄ █", theme.ASCII: "_ #"} {
		c := canvas(t, 3, 1, level)
		values := []float64{0, Gap, 1}
		if level == theme.Braille {
			values = []float64{0, 0, Gap, Gap, 1, 1}
		}
		Spark(c, values, 1, theme.Info, false)
		if got := lines(c)[0]; got != want {
			t.Errorf("%s: got %q, want %q", level, got, want)
		}
	}
}

func TestTheBandIsSeenWithoutColour(t *testing.T) {
	c := canvas(t, 40, 10, theme.Braille)
	b := &Band{Step: time.Minute}
	for i := range 20 {
		b.At = append(b.At, start.Add(time.Duration(i)*time.Minute))
		b.Lo, b.Hi = append(b.Lo, 2), append(b.Hi, 8)
	}
	p := Plot{From: start, To: start.Add(20 * time.Minute), Band: b}
	p.Draw(c)
	if got := strings.Count(strings.Join(lines(c), ""), "░"); got < 100 {
		t.Errorf("only %d cells are shaded", got)
	}
}

func TestTicksAreRoundInLocalTime(t *testing.T) {
	india := time.FixedZone("IST", 5*3600+1800)
	var got []string
	for _, tick := range timeTicks(start, start.Add(4*time.Hour), 60, 11, india) {
		got = append(got, tick.label)
	}
	if diff := cmp.Diff([]string{"19:00", "20:00", "21:00", "22:00"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestLabelsShareAUnit(t *testing.T) {
	for _, c := range []struct {
		values []float64
		unit   string
		want   []string
		said   string
	}{
		{[]float64{0, 50, 100}, "%", []string{"0", "50", "100"}, "%"},
		{[]float64{0, 0.5, 1}, "workers", []string{"0.0", "0.5", "1.0"}, "workers"},
		{[]float64{0, 5 << 20, 10 << 20}, "B/s", []string{"0", "5", "10"}, "MiB/s"},
		{[]float64{0, 20_000}, "tasks", []string{"0", "20"}, "k tasks"},
	} {
		got, said := labels(c.values, c.unit)
		if diff := cmp.Diff(c.want, got); diff != "" || said != c.said {
			t.Errorf("%v %s: %q %s", c.values, c.unit, said, diff)
		}
	}
}

func TestAPlotEndsAndStaysInsideWhateverTheValues(t *testing.T) {
	value := rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{0, math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, -math.MaxFloat64, 5e-324}))
	rapid.Check(t, func(rt *rapid.T) {
		w, h := rapid.IntRange(1, 120).Draw(rt, "w"), rapid.IntRange(1, 40).Draw(rt, "h")
		c := canvas(t, w, h, rapid.SampledFrom([]theme.Level{theme.ASCII, theme.Block, theme.Braille}).Draw(rt, "level"))
		p := Plot{From: start, To: start.Add(time.Duration(rapid.Int64().Draw(rt, "span"))), Now: start.Add(time.Minute), Unit: rapid.SampledFrom([]string{"", "%", "B/s"}).Draw(rt, "unit")}
		var points []models.Point
		b := &Band{Step: time.Minute}
		for _, v := range rapid.SliceOfN(value, 0, 50).Draw(rt, "values") {
			at := start.Add(time.Duration(rapid.Int64Range(-1e14, 1e14).Draw(rt, "at")))
			points = append(points, models.Point{At: at, Value: v})
			b.At, b.Lo, b.Hi = append(b.At, at), append(b.Lo, v), append(b.Hi, -v)
		}
		p.Lines, p.Band = []Line{{Points: points, Step: time.Minute}}, b
		p.Draw(c)
		for _, l := range strings.Split(c.String(), "\n") {
			if n := ansi.StringWidth(l); n > w {
				rt.Fatalf("%d cells on %d", n, w)
			}
		}
	})
}
