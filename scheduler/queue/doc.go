// Package queue holds the order in which waiting work is taken: an indexed heap
// whose entries can be moved and removed in O(log n), and the key that makes
// waiting raise a priority without ever re-sorting.
//
// It imports the standard library only, keeps no clock and starts no goroutine.
//
// Ageing: an entry's effective priority at time t is
//
//	priority + (t - ready) / every
//
// The difference of two entries' effective priorities does not depend on t, so
// the constant priority*every - ready orders them at every t alike. That is Key:
// nothing in the heap moves as time passes, and since every entry in the queue
// gains a point per interval while a new one begins at its bare priority, no
// entry waits for ever: it is overtaken only by what came within
// (100 - priority)*every of it.
package queue
