// Package baseline holds the simple forecasters that every learned model must
// beat, and that carry the service while nothing is learned yet: the last
// value, the value one season ago, and damped Holt-Winters with fitted
// parameters. It also finds a series' season from its values.
//
// A model is fitted on a regular series and then forecasts from any later tail
// of it; it keeps parameters, not state, so the same tail gives the same
// forecast. A missing step is NaN in what goes in; nothing that comes out is.
// P10 and P90 are the point forecast plus the empirical quantiles of the
// model's own errors at that horizon, shrunk towards all horizons' where there
// are few.
//
// It imports the standard library and gonum's FFT only.
package baseline
