package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"loadstar/models"
)

// itemFlags are the flags of submit that say what a task is to be done for.
type itemFlags struct {
	items, from, shard string
	maxFailures        int
}

func itemFlagNames() []string { return []string{"items", "items-from", "shard", "max-failures"} }

// fill enters the items in a task's document.
func (f itemFlags) fill(stdin io.Reader) func(*models.TaskSpec) error {
	return func(s *models.TaskSpec) (err error) {
		if f.items != "" && f.from != "" {
			return usage("either --items or --items-from, not both")
		}
		if f.shard != "" {
			if s.Shard, err = models.ParseShard(f.shard); err != nil {
				return usage("--shard: %w", err)
			}
		}
		s.MaxFailures = f.maxFailures
		var items models.Items
		switch {
		case f.items != "":
			items, err = readItems(f.items)
		case f.from != "":
			items, err = itemsFrom(f.from, stdin)
		default:
			return nil
		}
		s.Items = &items
		return err
	}
}

// readItems reads FROM..TO, FROM..TO..STEP, or items with commas between them.
func readItems(text string) (models.Items, error) {
	parts := strings.Split(text, "..")
	ends := make([]int64, 0, len(parts))
	for _, p := range parts {
		if n, err := strconv.ParseInt(p, 10, 64); err == nil {
			ends = append(ends, n)
		}
	}
	if len(parts) < 2 || len(parts) > 3 || len(ends) != len(parts) {
		return models.NewItems(strings.Split(text, ",")), nil
	}
	step := int64(1)
	if ends[1] < ends[0] {
		step = -1
	}
	if len(ends) == 3 {
		step = ends[2]
	}
	items, err := models.NewRange(ends[0], ends[1], step)
	var fe *models.FieldError
	if errors.As(err, &fe) {
		return items, usage("--items: %s", fe.Problem)
	}
	return items, err
}

// itemsFrom reads a file's lines; where it holds NUL characters, what stands between
// those (as find -print0 writes). Empty ones are left out.
func itemsFrom(file string, stdin io.Reader) (models.Items, error) {
	var data []byte
	var err error
	if file == "-" {
		data, err = io.ReadAll(stdin)
	} else {
		data, err = os.ReadFile(file)
	}
	if err != nil {
		return models.Items{}, usage("--items-from: %w", err)
	}
	mark := "\n"
	if bytes.IndexByte(data, 0) >= 0 {
		mark = "\x00"
	}
	var list []string
	n := 0
	for line := range strings.SplitSeq(string(data), mark) {
		n++
		if mark == "\n" {
			line = strings.TrimSuffix(line, "\r")
		}
		if line == "" {
			continue
		}
		if !utf8.ValidString(line) {
			return models.Items{}, usage("--items-from: %s:%d: not UTF-8", file, n)
		}
		list = append(list, line)
	}
	if len(list) == 0 {
		return models.Items{}, usage("--items-from: no items in %s", file)
	}
	return models.NewItems(list), nil
}

// itemBytes is how much of a document items may take; the rest of it needs room, too.
const itemBytes = models.MaxTaskBytes * 3 / 4

// spread cuts a task whose items are more than a document takes into several.
func (a *program) spread(s models.TaskSpec) ([]models.TaskSpec, error) {
	if s.Items == nil {
		return []models.TaskSpec{s}, nil
	}
	if _, _, _, ok := s.Items.Range(); ok {
		return []models.TaskSpec{s}, nil
	}
	var out []models.TaskSpec
	var part []string
	size := 0
	end := func() {
		items := models.NewItems(part)
		one := s
		one.Items = &items
		out = append(out, one)
		part, size = nil, 0
	}
	for _, item := range s.Items.Texts() {
		text, err := json.Marshal(item)
		if err != nil {
			return nil, fmt.Errorf("encode an item: %w", err)
		}
		if size+len(text)+1 > itemBytes && len(part) > 0 {
			end()
		}
		part, size = append(part, item), size+len(text)+1
	}
	end()
	if len(out) == 1 {
		return out, nil
	}
	a.note("%d items are more than one task takes (%s of text): they go in %d tasks, each with its own shards", s.Items.Len(), models.Bytes(itemBytes), len(out))
	for i := range out {
		if s.TaskID != "" {
			out[i].TaskID = fmt.Sprintf("%s-%d", s.TaskID, i+1)
		}
	}
	return out, nil
}

// itemsEvery is the time between two looks at how far a task with items is.
const itemsEvery = 500 * time.Millisecond

// showItems says how far a task is with its items, where it has any, until the
// result is called.
func (a *program) showItems(ctx context.Context, b Backend, id string) (stop func()) {
	t, err := b.Task(ctx, id)
	if err != nil || t.Progress == nil {
		return func() {}
	}
	meter := a.meter(true, "items done", t.Progress.Items)
	meter.to(t.Progress.Done)
	done := make(chan struct{})
	var looks sync.WaitGroup
	looks.Go(func() {
		look := time.NewTicker(itemsEvery)
		defer look.Stop()
		for ended := false; !ended; {
			select {
			case <-look.C:
			case <-done:
				ended = true // and look a last time
			}
			if t, err := b.Task(ctx, id); err == nil && t.Progress != nil {
				meter.to(t.Progress.Done)
			}
		}
		meter.end()
	})
	return func() {
		close(done)
		looks.Wait()
	}
}
