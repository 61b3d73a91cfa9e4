// Package keys says which key does what, per scope, and writes the help from the
// same table, so that neither can be wrong about the other. It imports the
// standard library only.
package keys
