// Package baseline holds the simple forecasters that every learned model must
// beat, and that carry the service while nothing is learned yet:
//
//	Last           the last value
//	SeasonalNaive  the value one season ago: the reference of all skill
//	LevelNaive     the same, moved by a fitted share of how far the newest values are from it
//	HoltWinters    damped, its parameters fitted
//	AR             linear autoregression with calendar terms, by least absolute deviations
//
// It also finds a series' season from its values (Season), mixes forecasts by
// what came of earlier ones (Mixture), and corrects the spread of any model's forecasts by
// what came of earlier ones (Conformal).
//
// A model is fitted on a regular series and then forecasts from any later tail
// of it; it keeps parameters, not state, so the same tail gives the same
// forecast. A missing step is NaN in what goes in; nothing that comes out is.
// P10 and P90 are the point forecast plus the empirical quantiles of the
// model's own errors at that horizon, shrunk towards all horizons' where there
// are few.
//
// It imports the standard library and gonum only.
package baseline
