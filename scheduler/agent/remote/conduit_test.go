package remote

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestMessagesArriveOnceAndInOrderWhateverTheNetworkDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a, b conduit
		now := time.Unix(1e9, 0)
		var toA, toB [][]byte
		sendTo := func(wire *[][]byte) func(*packet) {
			return func(p *packet) { *wire = append(*wire, appendPacket(nil, p)) }
		}
		var sentA, sentB, gotA, gotB []string
		arrive := func(c *conduit, wire *[][]byte, got *[]string) {
			for _, raw := range *wire {
				p, err := decodePacket(raw)
				if err != nil {
					t.Fatal(err)
				}
				c.take(&p, func(m []byte) { *got = append(*got, string(m)) })
			}
			*wire = nil
		}
		put := func(c *conduit, sent *[]string) {
			size := rapid.SampledFrom([]int{0, 1, 50, partBytes, partBytes + 1, 3 * partBytes}).Draw(t, "size")
			m := append([]byte(fmt.Sprint(len(*sent), ":")), bytes.Repeat([]byte{'x'}, size)...)
			*sent = append(*sent, string(m))
			c.put(m)
		}
		disturb := func(wire *[][]byte) {
			w := *wire
			if len(w) == 0 {
				return
			}
			i := rapid.IntRange(0, len(w)-1).Draw(t, "which")
			switch rapid.IntRange(0, 3).Draw(t, "how") {
			case 0:
				*wire = append(w[:i:i], w[i+1:]...)
			case 1:
				*wire = append(w, w[i])
			case 2:
				w[0], w[i] = w[i], w[0]
			case 3:
				*wire = nil
			}
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0:
				put(&a, &sentA)
			case 1:
				put(&b, &sentB)
			case 2:
				disturb(&toA)
				disturb(&toB)
			case 3:
				now = now.Add(rapid.SampledFrom([]time.Duration{time.Millisecond, resendMin, resendMax}).Draw(t, "time"))
			default:
				arrive(&a, &toA, &gotA)
				arrive(&b, &toB, &gotB)
			}
			a.flush(now, sendTo(&toB))
			b.flush(now, sendTo(&toA))
		}
		for range 200 { // the network is quiet now
			if a.idle() && b.idle() {
				break
			}
			now = now.Add(resendMax)
			a.flush(now, sendTo(&toB))
			b.flush(now, sendTo(&toA))
			arrive(&a, &toA, &gotA)
			arrive(&b, &toB, &gotB)
			a.flush(now, sendTo(&toB))
			b.flush(now, sendTo(&toA))
		}
		if d := cmp.Diff(sentA, gotB); d != "" {
			t.Fatalf("a to b: %d sent, %d received", len(sentA), len(gotB))
		}
		if d := cmp.Diff(sentB, gotA); d != "" {
			t.Fatalf("b to a: %d sent, %d received", len(sentB), len(gotA))
		}
		if a.bytes != 0 || b.bytes != 0 {
			t.Fatalf("%d and %d bytes are still counted", a.bytes, b.bytes)
		}
	})
}

func FuzzAPacketThatIsNoneIsRefused(f *testing.F) {
	f.Add(appendPacket(nil, &packet{flags: flagMore, seq: 300, ack: 7, data: []byte("x")}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := decodePacket(raw)
		if err != nil {
			return
		}
		again, err := decodePacket(appendPacket(nil, &p))
		if err != nil || again.seq != p.seq || again.ack != p.ack || again.flags != p.flags || !bytes.Equal(again.data, p.data) {
			t.Errorf("%+v became %+v, %v", p, again, err)
		}
		var c conduit
		c.take(&p, func([]byte) {})
	})
}
