package api_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"loadstar/models"
	"loadstar/scheduler/api"
	"loadstar/scheduler/client"
)

// BenchmarkSubmit is what the API costs beside the scheduler: 500 tasks a call,
// over a unix socket, read, checked and answered.
func BenchmarkSubmit(b *testing.B) {
	path := filepath.Join(b.TempDir(), "s")
	l, err := api.ListenUnix(path)
	if err != nil {
		b.Fatal(err)
	}
	ended := make(chan error, 1)
	h := newFake().handler(b)
	go func() { ended <- api.Serve(b.Context(), l, h) }()
	b.Cleanup(func() { <-ended })
	c, err := client.New(client.Config{Socket: path})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.Close)
	specs := make([]models.TaskSpec, 500)
	for i := range specs {
		specs[i] = models.NewTaskSpec()
		specs[i].TaskID, specs[i].Run = fmt.Sprintf("task-%06d", i), []string{"true"}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Submit(b.Context(), specs, ""); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*len(specs))/b.Elapsed().Seconds(), "tasks/s")
}
