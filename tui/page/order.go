package page

// Order is how the lists of the pages are sorted.
type Order struct {
	TasksBy       int  `json:"tasks_by,omitempty"`
	TasksReverse  bool `json:"tasks_reverse,omitempty"`
	AgentsBy      int  `json:"agents_by,omitempty"`
	AgentsReverse bool `json:"agents_reverse,omitempty"`
}

// AllIn are the pages as they first stand, sorted as remembered; an order that is
// not known is left out.
func AllIn(o Order) []Page {
	pages := All()
	if by := sortKey(o.TasksBy); by >= 0 && by < sortKeys {
		pages[AtTasks] = Tasks{sort: by, reverse: o.TasksReverse}
	}
	if by := agentSort(o.AgentsBy); by >= 0 && by < agentSorts {
		pages[AtAgents] = Agents{sort: by, reverse: o.AgentsReverse}
	}
	return pages
}

// OrderOf is how the pages are sorted now.
func OrderOf(pages []Page) Order {
	var o Order
	for _, p := range pages {
		switch p := p.(type) {
		case Tasks:
			o.TasksBy, o.TasksReverse = int(p.sort), p.reverse
		case Agents:
			o.AgentsBy, o.AgentsReverse = int(p.sort), p.reverse
		}
	}
	return o
}
