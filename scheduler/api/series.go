package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/danielgtaylor/huma/v2"

	"loadstar/models"
	"loadstar/scheduler/api/wire"
)

func unavailable(detail string) error {
	return wire.New(http.StatusServiceUnavailable, detail)
}

type samplesInput struct {
	Name  string  `path:"name" maxLength:"200" doc:"The series' name, as in host.cpu"`
	From  string  `query:"from" doc:"The first moment (RFC 3339, or seconds since 1970); the oldest point where it is left out"`
	To    string  `query:"to" doc:"The moment after the last; now where it is left out"`
	StepS float64 `query:"step_s" doc:"Seconds from one point to the next; the finest kept where it is left out"`
}

type importInput struct {
	Request
	Name string `path:"name" maxLength:"200" doc:"The series' name, as in host.cpu"`
}

func (a *API) addSeries() {
	register(a, huma.Operation{
		OperationID: "list-series", Method: http.MethodGet, Path: "/v1/series", Tags: []string{"series"},
		Summary: "The series known, once for each step that is kept",
	}, func(context.Context, *struct{}) (*answer[[]models.SeriesInfo], error) {
		return list(a.cfg.Metrics.Series(), nil)
	})
	const path = "/v1/series/{name}/samples"
	register(a, huma.Operation{
		OperationID: "get-samples", Method: http.MethodGet, Path: path, Tags: []string{"series"},
		Summary: "A series' history at one step", Errors: []int{http.StatusNotFound},
	}, a.samples)
	register(a, huma.Operation{
		OperationID: "import-samples", Method: http.MethodPost, Path: path, Tags: []string{"series"},
		Summary: "Put points into a series' history", Errors: []int{http.StatusConflict, http.StatusRequestEntityTooLarge},
	}, a.importSamples)
	a.body(path, http.MethodPost, true, jsonOf[wire.ImportRequest](a))
}

func (a *API) samples(_ context.Context, in *samplesInput) (*answer[wire.Samples], error) {
	from, to, err := parseSpan(in.From, in.To)
	if err != nil {
		return nil, err
	}
	if err := checkStep(in.StepS); err != nil {
		return nil, err
	}
	info, err := a.find(in.Name, in.StepS)
	if err != nil {
		return nil, err
	}
	step := stepDuration(info.StepS)
	if from.IsZero() {
		from = info.From
	}
	if to.IsZero() {
		to = info.To.Add(step) // past the last point, whichever end To names
	}
	points, err := a.cfg.Metrics.Range(in.Name, step, from, to)
	if points == nil {
		points = []models.Point{}
	}
	return reply(wire.Samples{Series: in.Name, Unit: info.Unit, StepS: info.StepS, Points: points}, err)
}

// find is the series at that step, or at its finest where stepS is 0.
func (a *API) find(name string, stepS float64) (models.SeriesInfo, error) {
	var best models.SeriesInfo
	var steps []string
	for _, s := range a.cfg.Metrics.Series() {
		if s.Name != name {
			continue
		}
		if stepDuration(s.StepS) == stepDuration(stepS) {
			return s, nil
		}
		steps = append(steps, fmt.Sprint(s.StepS))
		if stepS == 0 && (best.StepS == 0 || s.StepS < best.StepS) {
			best = s
		}
	}
	switch {
	case len(steps) == 0:
		return best, fmt.Errorf("series %q: %w", name, models.ErrNotFound)
	case best.StepS == 0:
		return best, fmt.Errorf("series %q at a step of %v s: %w; it is kept at %s s", name, stepS, models.ErrNotFound, strings.Join(steps, ", "))
	}
	return best, nil
}

func (a *API) importSamples(_ context.Context, in *importInput) (*answer[wire.ImportResult], error) {
	if strings.ContainsFunc(in.Name, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) || r == unicode.ReplacementChar }) {
		return nil, wire.FromError(models.Invalid("name", "%q holds a space or a control character", in.Name), "path")
	}
	var body wire.ImportRequest
	if err := in.decode(a.cfg.MaxBody, &body); err != nil {
		return nil, err
	}
	if body.StepS == 0 {
		return nil, models.Invalid("step_s", "it is missing")
	}
	if err := checkStep(body.StepS); err != nil {
		return nil, err
	}
	if len(body.Points) == 0 {
		return nil, models.Invalid("points", "none is given")
	}
	var last time.Time
	for i, p := range body.Points {
		if p.At.IsZero() {
			return nil, models.Invalid(fmt.Sprintf("points[%d].at", i), "it is missing")
		}
		if !p.At.After(last) {
			return nil, models.Invalid(fmt.Sprintf("points[%d].at", i), "%s is not after the point before it", p.At.Format(time.RFC3339Nano))
		}
		last = p.At
	}
	if err := a.cfg.Metrics.Import(in.Name, stepDuration(body.StepS), body.Points); err != nil {
		return nil, err
	}
	return reply(wire.ImportResult{Imported: len(body.Points)}, nil)
}
