package scheduler

import "loadstar/models"

// Announce hands an event of another part of the house (a model was trained, say)
// to those who subscribed. It does not block; Seq is given here.
func (s *Service) Announce(e models.Event) { s.hub.publish([]models.Event{e}) }
