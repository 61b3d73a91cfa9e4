package mailbox_test

import (
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"loadstar/scheduler/worker/mailbox"
)

func TestItemsComeOutInOrderAndOnce(t *testing.T) {
	box := mailbox.New[int]()
	var got []int
	for i := range 3 {
		box.Put(10*i, 10*i+1)
		if i != 1 { // a round without taking
			got = append(got, box.Take()...)
		}
	}
	if diff := cmp.Diff([]int{0, 1, 10, 11, 20, 21}, got); diff != "" {
		t.Error(diff)
	}
	if rest := box.Take(); rest != nil || box.Len() != 0 {
		t.Errorf("left over: %v, Len %d", rest, box.Len())
	}
}

func TestNothingIsLostBetweenWritersAndReader(t *testing.T) {
	const writers, each = 8, 5000
	box := mailbox.New[int]()
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				box.Put(w*each + i)
			}
		})
	}
	last := map[int]int{}
	for n := 0; n < writers*each; {
		<-box.Wake()
		for _, v := range box.Take() {
			if prev, ok := last[v/each]; ok && v != prev+1 {
				t.Fatalf("writer %d: %d follows %d", v/each, v, prev)
			}
			last[v/each] = v
			n++
		}
	}
	wg.Wait()
}
