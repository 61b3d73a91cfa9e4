package api

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"loadstar/models"
)

// FormatInput says in which form forecasts are wanted. It is exported because
// huma looks into no other embedded struct.
type FormatInput struct {
	Format string `query:"format" enum:"json,csv" doc:"csv is the forecast CSV; also asked for by Accept: text/csv"`
	Accept string `header:"Accept" hidden:"true"`
}

func (in *FormatInput) csv() bool {
	if in.Format != "" {
		return in.Format == "csv"
	}
	for part := range strings.SplitSeq(in.Accept, ",") {
		switch kind, _, _ := mime.ParseMediaType(part); kind {
		case "text/csv":
			return true
		case "application/json":
			return false
		}
	}
	return false
}

type forecastsInput struct {
	FormatInput
	Series string  `query:"series" maxLength:"200" doc:"Only this series"`
	StepS  float64 `query:"step_s" doc:"Only forecasts with this step, in seconds"`
}

type historyInput struct {
	FormatInput
	Series  string  `query:"series" maxLength:"200" doc:"Only this series"`
	StepS   float64 `query:"step_s" doc:"Only forecasts with this step, in seconds"`
	From    string  `query:"from" doc:"Issued at this time or later (RFC 3339, or seconds since 1970)"`
	To      string  `query:"to" doc:"Issued before this time"`
	Model   string  `query:"model" maxLength:"100" doc:"Only this model"`
	Horizon int     `query:"horizon" minimum:"0" maximum:"1000000" doc:"Only targets so many steps ahead, from 1"`
	Limit   int     `query:"limit" minimum:"0" maximum:"100000000" doc:"At most so many rows, newest issue first; 0 is no limit"`
}

func (a *API) addForecasts() {
	content := func(list map[string]*huma.MediaType) map[string]*huma.MediaType {
		list["text/csv"] = text("text/csv", "series,issued_at,target_at,step_s,horizon,model,champion,p10,p50,p90,actual,abs_error,ape")["text/csv"]
		return list
	}
	register(a, huma.Operation{
		OperationID: "list-forecasts", Method: http.MethodGet, Path: "/v1/forecasts", Tags: []string{"forecasts"},
		Summary: "What is known ahead of each series, by every model", Errors: []int{http.StatusNotFound},
		Responses: answers("200", "The newest forecasts", content(jsonOf[[]models.SeriesForecast](a))),
	}, a.forecasts)
	register(a, huma.Operation{
		OperationID: "forecast-history", Method: http.MethodGet, Path: "/v1/forecasts/history", Tags: []string{"forecasts"},
		Summary: "Forecasts made, and what came of them", Errors: []int{http.StatusNotFound},
		Responses: answers("200", "A row a series, target and model", content(jsonOf[[]models.ForecastRow](a))),
	}, a.history)
}

func (a *API) forecasts(_ context.Context, in *forecastsInput) (*huma.StreamResponse, error) {
	if err := checkStep(in.StepS); err != nil {
		return nil, err
	}
	found, err := a.cfg.Forecasts.Current(in.Series, in.StepS)
	if err != nil {
		return nil, err
	}
	if in.csv() {
		return a.csv(rowsOf(found)), nil //nolint:contextcheck // hc holds it
	}
	return streamList(a, found), nil
}

// rowsOf is forecasts as rows of which nothing has come yet.
func rowsOf(series []models.SeriesForecast) []models.ForecastRow {
	var rows []models.ForecastRow
	for _, s := range series {
		for _, f := range s.Forecasts {
			for i := range min(len(f.P10), len(f.P50), len(f.P90)) {
				rows = append(rows, models.ForecastRow{
					Series: f.Series, IssuedAt: f.IssuedAt, TargetAt: f.TargetAt(i), StepS: f.StepS, Horizon: i + 1,
					Model: f.Model, Champion: f.Champion, P10: f.P10[i], P50: f.P50[i], P90: f.P90[i],
				})
			}
		}
	}
	return rows
}

func (a *API) history(_ context.Context, in *historyInput) (*huma.StreamResponse, error) {
	from, to, err := parseSpan(in.From, in.To)
	if err != nil {
		return nil, err
	}
	if err := checkStep(in.StepS); err != nil {
		return nil, err
	}
	rows, err := a.cfg.Forecasts.History(models.ForecastQuery{
		Series: in.Series, StepS: in.StepS, From: from, To: to, Model: in.Model, Horizon: in.Horizon, Limit: in.Limit,
	})
	if err != nil {
		return nil, err
	}
	if in.csv() {
		return a.csv(rows), nil //nolint:contextcheck // hc holds it
	}
	return streamList(a, rows), nil
}

func (a *API) csv(rows []models.ForecastRow) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		hc.SetHeader("Content-Type", "text/csv; charset=utf-8; header=present")
		hc.SetHeader("Content-Disposition", `attachment; filename="forecasts.csv"`)
		hc.SetStatus(http.StatusOK)
		a.buffered(hc, "forecast csv", func(w io.Writer) error { return a.cfg.ForecastCSV(w, rows) })
	}}
}

// streamList writes a long list as JSON, element by element, so that it is never
// held as text in whole.
func streamList[T any](a *API, items []T) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		hc.SetHeader("Content-Type", "application/json")
		hc.SetStatus(http.StatusOK)
		a.buffered(hc, "list", func(w io.Writer) error { return writeList(w, items) })
	}}
}

func writeList[T any](w io.Writer, items []T) error {
	open := "["
	for i := range items {
		data, err := json.Marshal(&items[i])
		if err != nil {
			return err
		}
		if _, err := io.WriteString(w, open); err != nil {
			return err
		}
		if _, err := w.Write(data); err != nil {
			return err
		}
		open = ",\n"
	}
	if len(items) == 0 {
		open += "]\n"
	} else {
		open = "]\n"
	}
	_, err := io.WriteString(w, open)
	return err
}

// buffered writes an answer through a buffer. Where it fails half way the
// connection is broken: what has arrived must not look whole.
func (a *API) buffered(hc huma.Context, what string, write func(io.Writer) error) {
	w := bufio.NewWriterSize(hc.BodyWriter(), 32<<10)
	err := write(w)
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		a.cutShort(hc.Context(), what, err)
		panic(http.ErrAbortHandler) // net/http's own way to say so
	}
}
