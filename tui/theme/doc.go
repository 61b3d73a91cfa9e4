// Package theme says how the screen looks: colours by role, the glyphs that the
// terminal can show, and the sign of every task state.
//
// Pages draw with roles ("muted", "bad"), never with colours; a theme turns a
// role into what the terminal understands. No meaning is carried by colour
// alone: every state has a glyph and a word, every line of a chart its own
// stroke. It imports models, termenv and the standard library.
package theme
