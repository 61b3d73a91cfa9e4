package backtest

import (
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"loadstar/models"
)

func TestPlotDrawsAWholePictureOrNothing(t *testing.T) {
	r, err := Run(t.Context(), Config{Models: []string{models.ModelSNaive}, Horizon: 8}, series(600, 48, 3), nil)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "p.png")
	if err := Plot(path, r); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	colours := map[[3]uint32]bool{}
	for x := range img.Bounds().Dx() {
		for y := range img.Bounds().Dy() {
			r, g, b, _ := img.At(x, y).RGBA()
			colours[[3]uint32{r, g, b}] = true
		}
	}
	if len(colours) < 4 { // paper, band, median, values
		t.Errorf("%d colours", len(colours))
	}
	if err := Plot(filepath.Join(t.TempDir(), "no", "p.png"), r); err == nil {
		t.Error("a folder that is not there was written to")
	}
	if err := Plot(path, Report{}); err == nil {
		t.Error("a report without forecasts was drawn")
	}
}

// Nothing is tuned to a file: the same settings must keep every model's coverage.
func TestCoverageIsKeptOnRecordedSeries(t *testing.T) {
	for _, file := range []string{
		"nab_asg_cpu.csv", "nab_ec2_cpu_5f5533.csv", "nab_rds_cpu_cc0c53.csv", "bitbrains_cpu_vm740.csv", "nab_elb_requests_8c0756.csv",
	} {
		t.Run(file, func(t *testing.T) {
			names := []string{models.ModelLast, models.ModelSNaive, models.ModelHoltWinters, models.ModelAR, models.ModelEnsemble}
			r, err := Run(t.Context(), Config{Models: names}, recorded(t, file), nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range append(r.Models, *r.Live) {
				if *m.Coverage80 < 0.75 || *m.Coverage80 > 0.85 {
					t.Errorf("%s covers %.3f of %d", m.Model, *m.Coverage80, m.N)
				}
			}
		})
	}
}
