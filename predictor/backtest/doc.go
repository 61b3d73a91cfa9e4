// Package backtest measures, on a recorded series, how well every model would
// have forecast it: rolling origin over the last part of the file, every model
// refitted along the way on what was known by then.
//
// An origin is a moment to forecast from. The first lies after Config.Train of
// the series; the next ones a horizon apart, or closer where that gives fewer
// than fifty. A model is handed a copy of the values before the origin and
// nothing else, so it cannot see the future; a test corrupts the future and
// demands the same forecasts.
//
// The baselines are refitted as the service does (every 240 steps, or when the
// points have grown by half); the LSTM Config.LearnFits times, evenly spread and
// warm-started, as a year of retraining would take days. As in the service, each
// model's P10 and P90 are corrected by what had come of its earlier forecasts, and
// the ensemble averages the others by their losses on the targets that were known
// by the origin. Both begin on forecasts from the last 15 % of the part before the
// first origin, which are not scored.
//
// Weighted quantile loss is over the levels .1, .5 and .9. MASE divides by the
// seasonal naive error on the part before the first origin. A measure that is
// not defined (a share of zero) is null.
//
// It imports models and the other packages of predictor.
package backtest
