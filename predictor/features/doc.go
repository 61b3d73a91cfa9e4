// Package features turns a recorded series into what a forecaster reads: values
// on a regular grid with a mask for what was not observed, scales, calendar and
// season phases.
//
// It may import models and the standard library. Nothing in it looks ahead: a
// value at step t depends on values at or before t only, and a test proves it by
// corrupting the future.
package features
