package models

import "time"

// Names of the forecasting models.
const (
	ModelLast        = "last"        // the last value
	ModelSNaive      = "snaive"      // the value one season ago
	ModelHoltWinters = "holtwinters" // damped Holt-Winters
	ModelLevelNaive  = "lsnaive"     // the value one season ago, moved by how far the newest ones are from it
	ModelAR          = "ar"          // linear autoregression with calendar terms
	ModelLSTM        = "lstm"        // the LSTM on gorgonia
	ModelEnsemble    = "ensemble"    // the others, weighted by the inverse of their recent loss
)

// ForecastModels lists the names of all models, the simplest first.
func ForecastModels() []string {
	return []string{ModelLast, ModelSNaive, ModelLevelNaive, ModelHoltWinters, ModelAR, ModelLSTM, ModelEnsemble}
}

// Forecast is one model's view of a series ahead, made at IssuedAt. Index 0 is
// one step ahead: it covers [IssuedAt, IssuedAt + step).
type Forecast struct {
	Series   string    `json:"series"`
	IssuedAt time.Time `json:"issued_at"`
	StepS    float64   `json:"step_s"`
	Model    string    `json:"model"`
	Champion bool      `json:"champion"`
	P10      []float64 `json:"p10"`
	P50      []float64 `json:"p50"`
	P90      []float64 `json:"p90"`
}

// TargetAt is the start of the step that index i of the quantiles is about.
func (f *Forecast) TargetAt(i int) time.Time {
	return f.IssuedAt.Add(time.Duration(float64(i) * f.StepS * float64(time.Second)))
}

// ForecastRow is one target of one forecast and, once known, what came of it:
// a row of the forecast CSV.
type ForecastRow struct {
	Series   string    `json:"series"`
	IssuedAt time.Time `json:"issued_at"`
	TargetAt time.Time `json:"target_at"`
	StepS    float64   `json:"step_s"`
	Horizon  int       `json:"horizon"` // steps ahead, from 1
	Model    string    `json:"model"`
	Champion bool      `json:"champion"`
	P10      float64   `json:"p10"`
	P50      float64   `json:"p50"`
	P90      float64   `json:"p90"`
	Actual   *float64  `json:"actual"`
	AbsError *float64  `json:"abs_error"`
	APE      *float64  `json:"ape"` // percent; nil where the actual is 0
}

// ModelScore is how a model did on a series' recently scored forecasts. A nil
// measure is not defined (nothing scored, or a zero scale).
type ModelScore struct {
	Model    string   `json:"model"`
	N        int      `json:"n"`                  // scored targets
	HeldOut  int      `json:"held_out,omitempty"` // of them, past ones on which a model was tried that had not seen them
	MASE     *float64 `json:"mase"`
	WAPE     *float64 `json:"wape"`
	WQL      *float64 `json:"wql"`
	Pinball  *float64 `json:"pinball"`  // mean over P10, P50, P90, in the series' unit
	Coverage *float64 `json:"coverage"` // share within P10 to P90; 0.8 is right
	Skill    *float64 `json:"skill"`    // 1 - wql/wql of snaive
}

// ErrorPoint is the champion's mean absolute error over a stretch of time, for a chart.
type ErrorPoint struct {
	At       time.Time `json:"at"`
	AbsError float64   `json:"abs_error"`
}

// SeriesForecast is everything known ahead of one series at one step.
type SeriesForecast struct {
	Series      string       `json:"series"`
	Unit        string       `json:"unit"`
	StepS       float64      `json:"step_s"`
	SeasonSteps int          `json:"season_steps"` // 0 where none was found
	Champion    string       `json:"champion"`
	Why         string       `json:"why"` // one sentence: why it is the champion
	Drift       bool         `json:"drift"`
	Models      []ModelScore `json:"models"`
	Forecasts   []Forecast   `json:"forecasts"` // the newest of each model
	Errors      []ErrorPoint `json:"errors,omitempty"`
	TrainedAt   *time.Time   `json:"trained_at,omitempty"` // when the LSTM was fitted last
	TrainedOn   int          `json:"trained_on"`           // points it was fitted on
	TrainS      float64      `json:"train_s"`              // seconds it took
	Status      string       `json:"status"`               // "12 of 40 points before the LSTM can train", "training 40 %", "ready"
}

// ForecastQuery selects kept forecasts.
type ForecastQuery struct {
	Series  string    // empty is all
	StepS   float64   // 0 is the series' finest step
	From    time.Time // of issued_at; zero is open
	To      time.Time
	Model   string // empty is all
	Horizon int    // 0 is all
	Limit   int    // rows, newest issue first; 0 is no limit
}

// TrainProgress tells how a training run goes.
type TrainProgress struct {
	Series string  `json:"series"`
	StepS  float64 `json:"step_s"`
	Done   float64 `json:"done"` // 0 to 1
	Loss   float64 `json:"loss"` // validation loss so far, 0 before the first
	Status string  `json:"status"`
}
