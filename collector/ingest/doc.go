// Package ingest brings history along: a series from a `timestamp,value` file,
// and a job log from a `submit_s,duration_s,…` file. It imports models only.
//
// A series may be irregular, out of order or with holes: it is snapped to the grid
// of its most frequent step, and what was done to it is told. Nothing is made up:
// a step without a value stays a gap.
package ingest
