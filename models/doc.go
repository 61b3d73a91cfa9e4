// Package models holds the words that cross two roots of the house: tasks and
// their states, pools and their sizes, samples, series, forecasts, decisions
// and events.
//
// It is the one package that everything may import, so it imports the standard
// library only and holds values, not behaviour: what a word means, how it is
// written in JSON, and which values are refused. A task moves like this:
//
//	PENDING -> ASSIGNED -> RUNNING -> SUCCESS
//	   ^          |           |-----> FAILED      (retries spent)
//	   |          v           v
//	   +----------+-----------+       retry, lost agent, rebalanced
//
//	any state that is not final -> CANCELLED
//	PENDING -> FAILED when the deadline passes
//	FAILED, CANCELLED -> PENDING by retry, attempt + 1
package models
