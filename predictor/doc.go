// Package predictor is the forecasting service: for every selected series and
// resolution it fits models, issues forecasts on the resolution's own grid,
// keeps them as issued, scores them against what happened, and says which model
// is to be believed.
//
//	history ──► window ──► fit (baselines at once, the LSTM in the background)
//	               │            │
//	               │            ▼
//	               ├──────► issue every Every: P10 ≤ P50 ≤ P90 per step ──► archive ──► side log
//	               ▼                                                          │
//	             score each new value against every forecast of it ◄──────────┘
//	               │
//	               └──► champion (hysteresis) ──► drift? ──► fall back
//
// A series' champion is in one of two states:
//
//	          Page-Hinkley on the loss's ratio trips
//	STEADY ─────────────────────────────────────────► DRIFT
//	any model may be       ◄────────────────────────  only last, snaive and holtwinters may
//	champion; a change      the loss is back near its  be champion; the best of the last
//	needs a lead of 5 %     former mean, or 60 steps   ten steps is
//	for three steps         have passed
//
// One goroutine, in Run, owns the groups (a group is one series at one
// resolution) and is the only one that writes them, under a mutex that readers
// share; fitting happens outside of it. A second goroutine trains one LSTM at a
// time, sleeping in proportion so as to keep to its share of a core, on a copy
// of the data, and hands the model back.
//
// # Evidence at once
//
// A model that was trained a moment ago has not been scored, and what decides on
// scores (the champion, a pool's size) would have to wait for minutes or hours.
// So a training that finds no evidence begins with a trial (holdout.go): a model
// trained on all but the newest 15 % of the series forecasts from every moment of
// that stretch, beside baselines that see no more, in a shadow of the group. The
// scores are adopted, marked as held out; the forecasts are not kept, as they were
// never issued; and the training goes on from the trial's model.
//
// # What is kept
//
// A forecast is kept exactly as issued, never made again with hindsight: in RAM
// in the layout of a frame's record (2 bytes a quantile; 30 steps of four models
// are about 800 bytes, so the default of 16 MiB holds some 2.5 million rows), the
// oldest of the group that has most going first; and in the side log, replayed at
// start. The layout is in codec.go. Actuals are not kept: they are read from the
// window, which takes a value for a step once and never changes it.
//
// It imports models, its own subpackages, and the standard library.
package predictor
