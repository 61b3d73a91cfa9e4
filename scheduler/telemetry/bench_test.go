package telemetry

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"loadstar/models"
)

func benchSteps(n int) []models.TaskStep {
	steps := make([]models.TaskStep, 0, n)
	for i := 0; len(steps) < n; i++ {
		id := fmt.Sprintf("bench-%09d", i)
		at := int64(1712054400000e6) + int64(i)*10_000
		for _, step := range []string{models.StepSubmitted, models.StepQueued, models.StepAssigned, models.StepRunning, models.StepFinished} {
			steps = append(steps, models.TaskStep{TaskID: id, Step: step, Status: models.StatusSuccess, At: at, Took: time.Duration(i%5000) * time.Microsecond})
		}
	}
	return steps
}

func BenchmarkOneLine(b *testing.B) {
	steps := benchSteps(1000)
	var buf []byte
	var e encoder
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if len(buf) > 200<<10 {
			buf = buf[:0]
		}
		buf = e.append(buf, &steps[i%len(steps)])
	}
}

func BenchmarkAThousandStepsIntoTheFile(b *testing.B) {
	steps := benchSteps(1000)
	s, err := New(Config{File: filepath.Join(b.TempDir(), "t.jsonl")})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		s.Offer(steps)
		s.write(<-s.steps)
	}
}
