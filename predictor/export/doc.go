// Package export writes forecasts as the forecast CSV and as JSON, and reads the
// CSV back. The columns, times (RFC 3339, UTC) and empty cells are a contract
// with people's scripts: they do not change.
//
// It imports models and the standard library.
package export
