//go:build !linux

package app

// filesystem is not known here.
func filesystem(string) string { return "" }
