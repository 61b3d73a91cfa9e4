// Package widget holds what screens are made of: a canvas of cells that cannot
// be drawn outside, text made harmless and measured as terminals measure it,
// numbers with units, panels, tables, bars, lists and dialogs.
//
// Everything here is a function from values to cells: no clock, no I/O, no state
// beyond what is handed in. It imports models, tui/theme and x/ansi.
package widget
