package lstm

import (
	"context"
	"errors"
)

// Model is a trained network. It does not change: any number of goroutines may use it.
type Model struct {
	info Info
}

// Info says what the model is and what it was trained on.
func (m *Model) Info() Info { return m.info }

// Train fits a network to a series. With prev, a model of the same shape and
// season, it goes on from prev's weights and optimiser state; a prev that does
// not fit is ignored, so that a caller may always pass what it has. It returns
// ctx.Err() soon after ctx ends, ErrTooShort below MinPoints observed values, and
// ErrNotFinite when a value, the loss or a gradient was.
func Train(ctx context.Context, cfg Config, data Data, prev *Model, opts TrainOptions) (*Model, error) {
	return nil, errors.ErrUnsupported
}

// Forecast returns the quantiles of the Horizon steps after data's last.
func (m *Model) Forecast(data Data) (Quantiles, error) {
	return Quantiles{}, errors.ErrUnsupported
}

// Save writes the model to path: a temporary file beside it, synced, renamed, and
// the folder synced.
func (m *Model) Save(path string) error { return errors.ErrUnsupported }

// Load reads a model written by Save. A damaged, oversized or non-finite file is
// refused; the error says what is wrong with it.
func Load(path string) (*Model, error) { return nil, errors.ErrUnsupported }
