// Package cli is the command line: it parses, asks a daemon, and prints. It
// decides nothing; what a command means is decided by the daemon that it asks.
//
// Each command has a file. A reading command builds a view (output.go), which is
// printed as a table, as JSON or as CSV, once or again and again with --watch.
// Errors become one line on stderr and an exit code (errors.go):
//
//	0 done   1 failed   2 bad usage   3 no daemon   4 not found   5 the task itself failed
//
// It may import anything in the house; nobody imports it but main.
package cli
