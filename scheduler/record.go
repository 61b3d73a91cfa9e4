package scheduler

import (
	"encoding/binary"
	"errors"
	"fmt"

	"loadstar/models"
)

// RecordKind is what a Record tells.
type RecordKind uint8

// The kinds of record. Their numbers are on disk: never reuse one.
const (
	recOpened       RecordKind = 1  // a daemon began to write
	recSubmitted    RecordKind = 2  // a task was accepted
	recReady        RecordKind = 3  // a task's time (not_before, backoff) has come
	recAssigned     RecordKind = 4  // an attempt was given to an agent
	recStarted      RecordKind = 5  // its work began
	recEnded        RecordKind = 6  // it ended, and the task is final or waits again
	recReturned     RecordKind = 7  // it was taken back before it began: the same attempt waits again
	recClosed       RecordKind = 8  // a waiting task became final without an attempt
	recCancelWanted RecordKind = 9  // a running task is to be cancelled
	recRetried      RecordKind = 10 // a FAILED or CANCELLED task goes round again
	recPrioritized  RecordKind = 11 // a task has another priority
	recPool         RecordKind = 12 // a pool was changed
	recKey          RecordKind = 13 // an idempotency key was used
	recImage        RecordKind = 14 // snapshots: a whole task
	recMeta         RecordKind = 15 // snapshots: the counters
	recForgotten    RecordKind = 16 // finished tasks left memory for the archive
	recRecalled     RecordKind = 17 // one came back from it
	recExpired      RecordKind = 18 // the archive has forgotten its oldest
	recShelf        RecordKind = 19 // snapshots: what is archived
	recBegun        RecordKind = 20 // an agent has a shard of a parent
	recCut          RecordKind = 21 // a shard was cut from a parent's items
)

// Record is one change of the durable state. The fields that count depend on Kind.
type Record struct {
	Kind     RecordKind
	State    stateCode // ended, closed: the state it leads to; image: the state
	Outcome  outcome   // ended
	Priority uint8     // prioritized, image
	Death    bool      // ended: its own worker died under it
	HasExit  bool      // ended: Exit counts
	Exit     int32
	At       int64  // Unix ns
	Until    int64  // ended: not before (Unix ns); 0 is none
	Seq      uint64 // the task's place in the order of submission
	Lease    Lease  // assigned
	Agent    string // assigned
	Worker   string // assigned
	Text     string // an error or a reason; pool: its name; key: the key
	Body     []byte // submitted: the document, see appendSpec; pool: the patch as JSON; key: hash and places; image, meta: see snapshot.go; cut: see cutBody
}

// stateCode is a models.State on disk; the numbers never change.
type stateCode uint8

const (
	statePending stateCode = iota
	stateAssigned
	stateRunning
	stateSuccess
	stateFailed
	stateCancelled
	stateCount = 6
)

func (s stateCode) model() models.State {
	return [stateCount]models.State{models.Pending, models.Assigned, models.Running, models.Success, models.Failed, models.Cancelled}[s]
}

func (s stateCode) final() bool { return s >= stateSuccess }

// active reports whether an agent has the task.
func (s stateCode) active() bool { return s == stateAssigned || s == stateRunning }

func stateOf(s models.State) (stateCode, bool) {
	for c := range stateCode(stateCount) {
		if c.model() == s {
			return c, true
		}
	}
	return 0, false
}

// outcome is how an attempt ended, on disk; the numbers never change.
type outcome uint8

const (
	outcomeNone outcome = iota
	outcomeSuccess
	outcomeFailed
	outcomeCancelled
	outcomeTimeout
	outcomeLost
	outcomeCount = 6
)

func (o outcome) String() string {
	return [outcomeCount]string{"", string(models.Success), string(models.Failed), string(models.Cancelled), models.OutcomeTimeout, models.OutcomeLost}[o]
}

func outcomeOf(text string) (outcome, bool) {
	for o := outcomeSuccess; o < outcomeCount; o++ {
		if o.String() == text {
			return o, true
		}
	}
	return 0, false
}

var errRecord = errors.New("damaged record")

// maxRecordText bounds an error message or a reason on disk, in bytes.
const maxRecordText = 4 << 10

const (
	flagDeath = 1 << iota
	flagHasExit
)

// appendRecord writes a record behind b:
//
//	kind     1 byte
//	at       varint, ns after base
//	fields   by kind, in the order of fields below
//
// Numbers are (u)varints, strings and bytes a uvarint length and the bytes.
func appendRecord(b []byte, r *Record, base int64) []byte {
	b = append(b, byte(r.Kind))
	b = binary.AppendVarint(b, r.At-base)
	switch r.Kind {
	case recOpened:
	case recSubmitted, recImage, recCut, recRecalled:
		b = appendBytes(binary.AppendUvarint(b, r.Seq), r.Body)
	case recReady, recReturned, recCancelWanted, recRetried, recStarted, recBegun:
		b = appendText(binary.AppendUvarint(b, r.Seq), r.Text)
	case recAssigned:
		b = binary.AppendUvarint(b, r.Seq)
		b = binary.AppendUvarint(b, uint64(r.Lease))
		b = appendText(appendText(b, r.Agent), r.Worker)
	case recEnded:
		b = binary.AppendUvarint(b, r.Seq)
		flags := byte(0)
		if r.Death {
			flags |= flagDeath
		}
		if r.HasExit {
			flags |= flagHasExit
		}
		b = append(b, byte(r.State), byte(r.Outcome), flags)
		b = binary.AppendVarint(b, int64(r.Exit))
		until := int64(0)
		if r.Until != 0 {
			until = r.Until - base
		}
		b = binary.AppendVarint(b, until)
		b = appendText(b, r.Text)
	case recClosed:
		b = append(binary.AppendUvarint(b, r.Seq), byte(r.State))
		b = appendText(b, r.Text)
	case recPrioritized:
		b = append(binary.AppendUvarint(b, r.Seq), r.Priority)
	case recPool, recKey, recShelf:
		b = appendBytes(appendText(b, r.Text), r.Body)
	case recMeta, recForgotten, recExpired:
		b = appendBytes(b, r.Body)
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendBytes(b, s []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// decodeRecord reads the first record of b and says how many bytes it took. It
// takes nothing on trust; an error wraps errRecord. Body aliases b.
func decodeRecord(b []byte, base int64, r *Record) (n int, err error) {
	d := decoder{b: b}
	*r = Record{Kind: RecordKind(d.byte())}
	r.At = base + d.varint()
	switch r.Kind {
	case recOpened:
	case recSubmitted, recImage, recCut, recRecalled:
		r.Seq, r.Body = d.uvarint(), d.bytes()
	case recReady, recReturned, recCancelWanted, recRetried, recStarted, recBegun:
		r.Seq, r.Text = d.uvarint(), d.text()
	case recAssigned:
		r.Seq, r.Lease = d.uvarint(), Lease(d.uvarint())
		r.Agent, r.Worker = d.text(), d.text()
	case recEnded:
		r.Seq, r.State, r.Outcome = d.uvarint(), d.state(), d.outcome()
		flags := d.byte()
		r.Death, r.HasExit = flags&flagDeath != 0, flags&flagHasExit != 0
		r.Exit = int32(d.varint()) //nolint:gosec // written from an int32
		if until := d.varint(); until != 0 {
			r.Until = base + until
		}
		r.Text = d.text()
	case recClosed:
		r.Seq, r.State, r.Text = d.uvarint(), d.state(), d.text()
	case recPrioritized:
		r.Seq, r.Priority = d.uvarint(), d.byte()
	case recPool, recKey, recShelf:
		r.Text, r.Body = d.text(), d.bytes()
	case recMeta, recForgotten, recExpired:
		r.Body = d.bytes()
	default:
		d.fail("kind %d is not known", r.Kind)
	}
	return len(b) - len(d.b), d.err
}

// decoder reads fields off the front of b. After its first error it gives zeros.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: "+format, append([]any{errRecord}, args...)...)
	}
}

func (d *decoder) byte() byte {
	if d.err != nil || len(d.b) == 0 {
		d.fail("it ends too early")
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) state() stateCode {
	v := stateCode(d.byte())
	if v >= stateCount {
		d.fail("state %d is not known", v)
		return 0
	}
	return v
}

func (d *decoder) outcome() outcome {
	v := outcome(d.byte())
	if v >= outcomeCount {
		d.fail("outcome %d is not known", v)
		return 0
	}
	return v
}

func (d *decoder) uvarint() uint64 {
	if d.err != nil {
		return 0
	}
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail("a number is cut off")
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	if d.err != nil {
		return 0
	}
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail("a number is cut off")
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) bytes() []byte { return d.take(d.uvarint()) }

func (d *decoder) take(n uint64) []byte {
	if d.err != nil || n > uint64(len(d.b)) {
		d.fail("%d bytes are missing", n)
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) text() string { return string(d.bytes()) }
