// Package page holds the views of the screen. A page is a value: Update gives the
// next value and what should be asked of the daemon, View draws a value on a
// canvas. Neither reads a clock or does I/O; what a page wants from outside it
// says as a Request, and hears of as the Request's result:
//
//	key, click, result ──> Update ──> page', requests
//	                                     │
//	root model runs them as commands <───┘   (timeouts, cancellation, reconnection)
//
// It imports models, bubbletea (key messages), bubbles (text input) and the
// packages beside it.
package page
