package scheduler

import (
	"math/bits"
)

// idIndex finds a task's place by its id. It holds no pointer and no text: eight
// bytes a slot, the upper half of the id's hash and the place. Whether a place is
// the right one is for the caller to see, who has the tasks.
type idIndex struct {
	slots []uint64
	used  int // places in it
	dead  int // slots of places that were taken out
}

const (
	slotFree  = 0
	slotDead  = 1<<32 - 1 // as the lower half
	leastSlot = 1 << 10
)

// hashID is a hash of an id. It stands in archives and snapshots: never change it.
// It is FNV-1a, finished as in MurmurHash3 so that all of its bits are good.
func hashID(id string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(id) {
		h = (h ^ uint64(id[i])) * 1099511628211
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// find is the first place of the hash that is the right one.
func (x *idIndex) find(hash uint64, right func(seq uint64) bool) (seq uint64, ok bool) {
	if len(x.slots) == 0 {
		return 0, false
	}
	mask := uint64(len(x.slots) - 1)
	for i := hash >> 32 & mask; x.slots[i] != slotFree; i = (i + 1) & mask {
		if s := x.slots[i]; s>>32 == hash>>32 && s&slotDead != slotDead && right(s&slotDead-1) {
			return s&slotDead - 1, true
		}
	}
	return 0, false
}

// put enters a place that is not in it.
func (x *idIndex) put(hash, seq uint64) {
	if 4*(x.used+x.dead+1) > 3*len(x.slots) {
		x.resize(max(leastSlot, 1<<bits.Len(uint(x.used+x.used/2+1)))) //nolint:gosec // not negative
	}
	x.place(hash>>32<<32 | (seq + 1))
	x.used++
}

func (x *idIndex) place(slot uint64) {
	mask := uint64(len(x.slots) - 1)
	i := slot >> 32 & mask
	for x.slots[i] != slotFree {
		i = (i + 1) & mask
	}
	x.slots[i] = slot
}

func (x *idIndex) resize(n int) {
	old := x.slots
	x.slots, x.dead = make([]uint64, n), 0
	for _, s := range old {
		if s != slotFree && s&slotDead != slotDead {
			x.place(s)
		}
	}
}

// remove takes a place out.
func (x *idIndex) remove(hash, seq uint64) {
	if len(x.slots) == 0 {
		return
	}
	mask := uint64(len(x.slots) - 1)
	for i := hash >> 32 & mask; x.slots[i] != slotFree; i = (i + 1) & mask {
		if x.slots[i] == hash>>32<<32|(seq+1) {
			x.slots[i] |= slotDead
			x.used--
			x.dead++
			return
		}
	}
}

// find is the task of an id, nil where none is in memory.
func (c *Core) find(id string) *task {
	var t *task
	c.ids.find(hashID(id), func(seq uint64) bool {
		t = c.tasks[seq]
		return t != nil && t.id == id
	})
	if t == nil || t.id != id {
		return nil
	}
	return t
}

// known is how many tasks there are, archived ones among them.
func (c *Core) known() int { return c.ids.used }

func (c *Core) enter(t *task) {
	c.ids.put(hashID(t.id), t.seq)
}
