package scheduler

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"loadstar/models"
)

// maxSubmission is how many tasks one submission may hold.
const maxSubmission = 1 << 20

// Submission is tasks handed in together: all are accepted or none.
type Submission struct {
	// Specs are the tasks, validated one by one, each with an id.
	Specs []models.TaskSpec
	// Bodies are the same as the journal has them, see appendSpec.
	Bodies [][]byte
	// Key makes it safe to repeat; empty is none. Hash is what the key stands for.
	Key  string
	Hash [16]byte
}

// NewSubmission checks the tasks one by one, gives an id to those without, and
// writes them out. The error is a *models.FieldError. specs is not changed.
func NewSubmission(specs []models.TaskSpec, key string, newID func() string) (*Submission, error) {
	switch {
	case len(specs) == 0:
		return nil, models.Invalid("", "no task in it")
	case len(specs) > maxSubmission:
		return nil, models.Invalid("", "%d tasks are more than %d at once", len(specs), maxSubmission)
	case len(key) > models.MaxTaskIDLength:
		return nil, models.Invalid("idempotency_key", "it is longer than %d bytes", models.MaxTaskIDLength)
	}
	s := &Submission{Specs: make([]models.TaskSpec, len(specs)), Bodies: make([][]byte, len(specs)), Key: key}
	copy(s.Specs, specs)
	hash := sha256.New()
	encode := json.NewEncoder(hash)
	encode.SetEscapeHTML(false)
	var bodies []byte
	ends := make([]int, len(specs))
	for i := range s.Specs {
		spec := &s.Specs[i]
		if err := spec.Validate(); err != nil {
			return nil, err
		}
		if key != "" { // as it came, without an id of ours
			if err := encode.Encode(spec); err != nil {
				return nil, models.Invalid("input", "%v", err)
			}
		}
		if spec.TaskID == "" {
			spec.TaskID = newID()
		}
		start := len(bodies)
		var err error
		if bodies, err = appendSpec(bodies, spec); err != nil {
			return nil, err
		}
		if n := len(bodies) - start; n > MaxFrame/2 {
			return nil, &models.FieldError{TaskID: spec.TaskID, Problem: fmt.Sprintf("the document has %d bytes, more than %d", n, MaxFrame/2)}
		}
		ends[i] = len(bodies)
	}
	for i, start := 0, 0; i < len(ends); i++ {
		s.Bodies[i] = bodies[start:ends[i]:ends[i]]
		start = ends[i]
	}
	if key != "" {
		copy(s.Hash[:], hash.Sum(nil))
	}
	return s, nil
}

// conflictError is a *models.FieldError that is a conflict too.
type conflictError struct{ field *models.FieldError }

func (e conflictError) Error() string   { return e.field.Error() }
func (e conflictError) Unwrap() []error { return []error{e.field, models.ErrConflict} }

var errDraining = fmt.Errorf("the daemon is stopping and takes no more tasks: %w", models.ErrUnavailable)

func (c *Core) submit(s *Submission) error {
	if c.draining {
		return errDraining
	}
	if s.Key != "" {
		if used, ok := c.keys[s.Key]; ok {
			return c.again(s, used)
		}
	}
	known, err := c.checkSubmission(s)
	if err != nil {
		return err
	}
	order, err := c.dependencyOrder(s, known)
	if err != nil {
		return err
	}
	first := c.nextSeq
	place := make([]uint64, len(s.Specs)) // by the order in the submission
	next := first
	for i := range s.Specs {
		switch j := known[s.Specs[i].TaskID]; {
		case j < 0:
			place[i] = c.placeOf(s.Specs[i].TaskID)
		case j == i:
			place[i] = next
			next++
		default: // the same document twice
			place[i] = place[j]
		}
	}
	if next > first {
		c.grow(next - 1)
	}
	for _, i := range order {
		c.accept(&s.Specs[i], s.Bodies[i], place[i])
	}
	c.out.Tasks = append(c.out.Tasks, place...)
	if s.Key != "" {
		c.emit(Record{Kind: recKey, Text: s.Key, Body: appendKey(nil, s.Hash, place)})
	}
	return nil
}

func (c *Core) accept(spec *models.TaskSpec, body []byte, seq uint64) {
	c.incoming = spec
	ok := c.emit(Record{Kind: recSubmitted, Seq: seq, Body: body})
	c.incoming = nil
	if !ok {
		return
	}
	t := c.tasks[seq]
	c.trail.followed(spec.Affinity)
	c.told(t)
	if p := t.pool; !p.exec() && p.ready()+p.starting == 0 {
		if n := len(c.out.Decide); n == 0 || c.out.Decide[n-1] != p.spec.Name {
			c.out.Decide = append(c.out.Decide, p.spec.Name)
		}
	}
	for _, d := range t.dependencies() { // one that has failed already decides at once
		if d.state.final() && d.state != stateSuccess && t.rule == ruleCancel {
			c.conclude(t, stateCancelled, fmt.Sprintf("its dependency %s ended %s", d.id, d.state.model()))
			break
		}
	}
}

// again answers a key that was used before.
func (c *Core) again(s *Submission, used usedKey) error {
	if used.hash != s.Hash {
		return conflictError{&models.FieldError{Field: "idempotency_key", Problem: fmt.Sprintf("%q was used with other tasks", s.Key)}}
	}
	for _, run := range used.runs {
		for seq := run.first; seq < run.first+run.count; seq++ {
			c.out.Tasks = append(c.out.Tasks, seq)
		}
	}
	return nil
}

// checkSubmission checks what depends on the pools and on the tasks that are
// there. known is, by id, the index of its first document, or -1 where the task
// is there already with the same body.
func (c *Core) checkSubmission(s *Submission) (known map[string]int, err error) {
	known = make(map[string]int, len(s.Specs))
	for i := range s.Specs {
		spec := &s.Specs[i]
		fail := func(field, format string, args ...any) error {
			return &models.FieldError{TaskID: spec.TaskID, Field: field, Problem: fmt.Sprintf(format, args...)}
		}
		if j, ok := known[spec.TaskID]; ok && j >= 0 {
			if !bytes.Equal(s.Bodies[i], s.Bodies[j]) {
				return nil, conflictError{fail("task_id", "it stands twice, with different documents").(*models.FieldError)} //nolint:errorlint,forcetypeassert // made just above
			}
			continue
		}
		if there, same := c.submitted(spec.TaskID, s.Bodies[i]); there {
			if !same {
				return nil, conflictError{fail("task_id", "a task of this id with another document is there").(*models.FieldError)} //nolint:errorlint,forcetypeassert // made just above
			}
			known[spec.TaskID] = -1
			continue
		}
		if p := c.shardOf(spec.TaskID); p != nil && !p.state.final() {
			return nil, fail("task_id", "such ids are kept for the shards of task %q", p.id)
		}
		known[spec.TaskID] = i
		p := c.pools[spec.Pool]
		if p == nil || !p.configured {
			return nil, fail("pool", "there is no pool %q (there is %s)", spec.Pool, c.poolNames())
		}
		if err := p.spec.CheckTask(spec); err != nil {
			return nil, err
		}
	}
	return known, nil
}

func (c *Core) poolNames() string {
	var names []string
	for _, p := range c.poolList {
		if p.configured {
			names = append(names, p.spec.Name)
		}
	}
	return strings.Join(names, ", ")
}

// dependencyOrder lists the new documents so that each comes after those it
// depends on, and else in their own order. It refuses what is not there and cycles.
func (c *Core) dependencyOrder(s *Submission, known map[string]int) ([]int, error) {
	order := make([]int, 0, len(s.Specs))
	const (
		unseen = iota
		open
		done
	)
	marks := make([]uint8, len(s.Specs))
	type step struct{ spec, next int }
	var path []step
	for i := range s.Specs {
		if known[s.Specs[i].TaskID] != i || marks[i] != unseen {
			continue
		}
		marks[i] = open
		path = append(path[:0], step{spec: i})
		for len(path) > 0 {
			top := &path[len(path)-1]
			spec := &s.Specs[top.spec]
			if top.next == len(spec.Dependencies) {
				marks[top.spec] = done
				order = append(order, top.spec)
				path = path[:len(path)-1]
				continue
			}
			id := spec.Dependencies[top.next]
			top.next++
			j, here := known[id]
			switch {
			case !here && !c.knows(id):
				return nil, &models.FieldError{TaskID: spec.TaskID, Field: "dependencies", Problem: fmt.Sprintf("there is no task %q", id)}
			case !here || j < 0 || marks[j] == done:
			case marks[j] == open:
				names := []string{id}
				for k := len(path) - 1; k >= 0; k-- {
					if names = append(names, s.Specs[path[k].spec].TaskID); path[k].spec == j {
						break
					}
				}
				for a, b := 0, len(names)-1; a < b; a, b = a+1, b-1 {
					names[a], names[b] = names[b], names[a]
				}
				return nil, &models.FieldError{TaskID: spec.TaskID, Field: "dependencies", Problem: "a cycle: " + strings.Join(names, " -> ")}
			default:
				marks[j] = open
				path = append(path, step{spec: j})
			}
		}
	}
	return order, nil
}

// appendKey writes what a key stands for: its hash and runs of places.
func appendKey(b []byte, hash [16]byte, places []uint64) []byte {
	b = append(b, hash[:]...)
	for i := 0; i < len(places); {
		n := 1
		for i+n < len(places) && places[i+n] == places[i]+uint64(n) {
			n++
		}
		b = binary.AppendUvarint(binary.AppendUvarint(b, places[i]), uint64(n))
		i += n
	}
	return b
}

func (c *Core) applyKey(r *Record) error {
	if len(r.Body) < 16 {
		return fmt.Errorf("%w: key %q", errRecord, r.Text)
	}
	if _, there := c.keys[r.Text]; there {
		return fmt.Errorf("%w: key %q is used twice", errRecord, r.Text)
	}
	var used usedKey
	d := decoder{b: r.Body[copy(used.hash[:], r.Body):]}
	for d.err == nil && len(d.b) > 0 {
		run := seqRun{first: d.uvarint(), count: d.uvarint()}
		if run.count > c.nextSeq || run.first > c.nextSeq-run.count {
			d.err = errors.Join(d.err, fmt.Errorf("%w: key %q names tasks that are not there", errRecord, r.Text))
		}
		used.runs = append(used.runs, run)
	}
	if d.err != nil {
		return d.err
	}
	c.keys[r.Text] = used
	c.keyList = append(c.keyList, r.Text)
	if !c.replaying {
		c.undo.keys = append(c.undo.keys, r.Text)
	}
	return nil
}

// trimKeys forgets the oldest keys beyond those to keep.
func (c *Core) trimKeys() {
	for len(c.keyList) > c.cfg.KeepKeys {
		delete(c.keys, c.keyList[0])
		c.keyList = c.keyList[1:]
	}
}
