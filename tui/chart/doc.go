// Package chart draws series over time: lines, quantile bands and small graphs,
// in Braille dots, blocks or ASCII as the theme's level allows, with axes in units
// and local time. A step without a value is left blank, never joined or drawn as
// zero, and the lines of a chart differ in their stroke, not only in colour.
//
// Everything is a function from values to cells. It imports models, tui/theme and
// tui/widget.
package chart
