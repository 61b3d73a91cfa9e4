// Package shard decides how many items of a task the next shard gets. It is pure:
// it imports the standard library only, and equal measurements give equal sizes.
//
// Nothing is cut long before it is started, so a size holds for the next shard
// alone, and the next measurement is heeded at once. The size follows guided
// self-scheduling (Polychronopoulos and Kuck 1987) at the end of the list, and what
// a shard costs beside its items before that.
package shard
