// Package demo is the self-contained show: a temporary state folder, a pool of
// real worker processes with a real cold start, and a day's demand replayed fast.
//
// A day is compressed into a minute or two of real time: nothing else is. The
// daemon, its clock, its journal, its workers and its forecasts are those of
// `loadstar daemon`; the season that the models find is simply as long as the
// compressed day. Several past days are put into the history before the start, so
// that the LSTM has something to learn from.
//
//	Trace    the expected arrivals a second, past and to come (pure)
//	Show     the daemon of the show, the submitter, the progress, the summary
//	Worker   the worker process's side: cold start, then tasks that take their time
package demo
