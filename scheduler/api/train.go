package api

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"loadstar/models"
	"loadstar/scheduler/api/wire"
)

func (a *API) addTrain() {
	const path = "/v1/train"
	line := map[string]*huma.MediaType{"application/x-ndjson": {Schema: a.schema(reflect.TypeFor[wire.TrainLine]())}}
	register(a, huma.Operation{
		OperationID: "train", Method: http.MethodPost, Path: path, Tags: []string{"forecasts"},
		Summary:     "Train now; the answer is its progress, a JSON object a line, until it is done",
		Description: "The last line has end or error. Closing the connection stops the training.",
		Errors:      []int{http.StatusNotFound, http.StatusConflict},
		Responses:   answers("200", "The progress", line),
	}, a.train)
	a.body(path, http.MethodPost, false, jsonOf[wire.TrainRequest](a))
}

// train starts the training and answers with its progress. What is wrong before
// there is any progress is told by the status.
func (a *API) train(ctx context.Context, in *bulkInput) (*huma.StreamResponse, error) {
	var body wire.TrainRequest
	if err := in.decode(maxSmallBody, &body); err != nil {
		return nil, err
	}
	ctx, cancel := untilStopping(ctx)
	run := a.startTraining(ctx, body.Series)
	select {
	case p := <-run.progress:
		return &huma.StreamResponse{Body: func(hc huma.Context) { //nolint:contextcheck // hc holds it
			defer run.wait()
			defer cancel()
			a.streamTraining(hc, run, p)
		}}, nil
	case <-run.done:
		cancel()
		if run.err != nil {
			return nil, run.err
		}
		all := models.TrainProgress{Series: body.Series, Done: 1}
		return &huma.StreamResponse{Body: func(hc huma.Context) { a.streamTraining(hc, run, all) }}, nil //nolint:contextcheck // hc holds it
	}
}

// training is one run. Its progress is lossy: a slow reader sees the newest.
type training struct {
	progress chan models.TrainProgress
	done     chan struct{}
	err      error // to be read when done is closed
}

// wait returns when the run has ended: the request owns its goroutine.
func (t *training) wait() { <-t.done }

func (a *API) startTraining(ctx context.Context, series string) *training {
	t := &training{progress: make(chan models.TrainProgress, 1), done: make(chan struct{})}
	go func() {
		defer close(t.done)
		defer func() {
			if v := recover(); v != nil { // its own goroutine: nobody else would catch it
				a.cfg.Logger.ErrorContext(ctx, "training stumbled", "series", series, "panic", v)
				t.err = wire.New(http.StatusInternalServerError, "the training stumbled; the daemon's log says where")
			}
		}()
		t.err = a.cfg.Forecasts.Train(ctx, series, t.tell)
	}()
	return t
}

// tell puts the newest progress in the place of one that nobody has read yet.
func (t *training) tell(p models.TrainProgress) {
	for {
		select {
		case t.progress <- p:
			return
		default:
		}
		select {
		case <-t.progress:
		default:
		}
	}
}

func (a *API) streamTraining(hc huma.Context, run *training, first models.TrainProgress) {
	hc.SetHeader("Content-Type", "application/x-ndjson")
	hc.SetStatus(http.StatusOK)
	line := wire.TrainLine{Progress: &first}
	for {
		if !sendLine(hc, line) {
			return
		}
		select {
		case p := <-run.progress:
			line = wire.TrainLine{Progress: &p}
			continue
		default:
		}
		select {
		case p := <-run.progress:
			line = wire.TrainLine{Progress: &p}
		case <-run.done:
			a.endTraining(hc, run)
			return
		}
	}
}

func (a *API) endTraining(hc huma.Context, run *training) {
	select {
	case p := <-run.progress: // told just before the end
		sendLine(hc, wire.TrainLine{Progress: &p})
	default:
	}
	end := wire.TrainLine{End: run.err == nil}
	if run.err != nil {
		end.Error = a.problem(hc.Context(), "train", "body", run.err)
	}
	sendLine(hc, end)
}

func sendLine(hc huma.Context, line wire.TrainLine) bool {
	data, err := json.Marshal(line)
	if err != nil {
		data, _ = json.Marshal(wire.TrainLine{Error: wire.New(http.StatusInternalServerError, "the progress cannot be encoded: "+err.Error())})
	}
	if _, err := hc.BodyWriter().Write(append(data, '\n')); err != nil {
		return false
	}
	return flush(hc) == nil
}
