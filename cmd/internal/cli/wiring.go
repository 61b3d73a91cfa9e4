package cli

import (
	"io"

	"loadstar/collector/ingest"
)

// DefaultDeps are the real parts.
func DefaultDeps() Deps {
	return Deps{NewClient: newClient, ReadCSV: readCSV}
}

func readCSV(r io.Reader, name string) (History, error) {
	t, err := ingest.ReadCSV(r, name)
	return History{Points: t.Points, StepS: t.StepS, Gaps: t.Gaps}, err
}
