package tui

import (
	"slices"

	"loadstar/tui/page"
)

// Memory is what a screen remembers of the one before it.
type Memory struct {
	Page  string `json:"page,omitempty"`  // its name in the tabs
	Theme string `json:"theme,omitempty"` // where one was chosen by key
	page.Order
}

// remembered is the pages as the screen before left them.
func remembered(m Memory) (pages []page.Page, at int) {
	pages = page.AllIn(m.Order)
	at = slices.IndexFunc(pages, func(p page.Page) bool { return p.Name() == m.Page })
	return pages, max(0, at)
}

// Memory is what the next screen may be told of this one.
func (m Model) Memory() Memory {
	out := Memory{Page: m.pages[m.at].Name(), Order: page.OrderOf(m.pages)}
	if m.themed {
		out.Theme = m.cfg.Theme
	}
	return out
}
