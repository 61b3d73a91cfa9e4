// Package tui is the screen: one Bubble Tea program over a Source, which the
// typed client of the API implements. It reads what it shows from the Source and
// asks it to act; it never touches the scheduler, the host or the disk.
//
//	         ┌──────────── Model.Update (pure: state, message -> state, commands)
//	keys ────┤                │ page.Request                ▲ page results
//	mouse ───┤                ▼                             │
//	ticks ───┘            transport: one command each, with a context and a timeout
//
//	Model.View: header, the page on show, footer; on top of them help or a question
//
// The link to the daemon is live or lost. It is lost with the first request that
// fails for another reason than its content; what was known stays on show, grey,
// with its age, and the request is tried again after 1, 2, 4 and then every 5
// seconds. Only what the page on show needs is asked for.
//
// It imports models, bubbletea, and the packages below it; bubbletea is imported
// nowhere else in the house.
package tui
