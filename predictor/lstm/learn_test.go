package lstm_test

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"loadstar/predictor/lstm"
)

var monday = time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)

// noisyDays is a noisy sine of the given period with a burst at one phase of it.
func noisyDays(n, period int, seed uint64) []float64 {
	rng := rand.New(rand.NewPCG(seed, 0))
	out := make([]float64, n)
	for i := range out {
		phase := float64(i%period) / float64(period)
		v := 20 + 10*math.Sin(2*math.Pi*phase) + 2*rng.NormFloat64()
		if phase > 0.6 && phase < 0.68 {
			v += 25
		}
		out[i] = max(v, 0)
	}
	return out
}

func TestLearnsNoisyDaysWithBursts(t *testing.T) {
	const n, season, horizon = 700, 96, 30
	all := noisyDays(n+300, season, 1)
	began := time.Now()
	m, err := lstm.Train(context.Background(), lstm.Config{Horizon: horizon, Seed: 1, NonNegative: true},
		lstm.Data{Values: all[:n], Start: monday, Step: time.Second, Season: season}, nil, lstm.TrainOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("trained in %s: %+v", time.Since(began), m.Info())
	var mae, naive, last, inside, count float64
	for at := n; at+horizon <= len(all); at += 7 {
		q, err := m.Forecast(lstm.Data{Values: all[:at], Start: monday, Step: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		for h := range horizon {
			y := all[at+h]
			mae += math.Abs(q.P50[h] - y)
			naive += math.Abs(all[at+h-season] - y)
			last += math.Abs(all[at-1] - y)
			if y >= q.P10[h] && y <= q.P90[h] {
				inside++
			}
			count++
		}
	}
	t.Logf("MAE %.3f, seasonal naive %.3f, last value %.3f, coverage %.3f", mae/count, naive/count, last/count, inside/count)
	if mae > 0.9*naive || mae > 0.5*last {
		t.Errorf("MAE %.3f is not clearly below seasonal naive %.3f and last value %.3f", mae/count, naive/count, last/count)
	}
	if c := inside / count; c < 0.65 || c > 0.93 {
		t.Errorf("P10 to P90 holds %.3f of the values", c)
	}
}
