package models

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"path"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of items.
const (
	// MaxItems is how many items a task may have.
	MaxItems = 1_000_000_000
	// MaxShardBytes is how much text the items of one shard may have together, a byte
	// for each added, so that they fit on a command line.
	MaxShardBytes = 64 << 10
	// MaxParentID is how long the id of a task with items may be: its shards add to it.
	MaxParentID = MaxTaskIDLength - 12
)

// ItemsMark stands in a command for the items of a shard.
const ItemsMark = "{}"

// Items is a list of texts that a task is to be done for: those of an array, or a
// range of integers. It is kept as one string, and a range as its ends. The zero
// value is empty. It is immutable.
type Items struct {
	packed string // of a list: each a uvarint length and its bytes
	from   int64  // of a range
	step   int64  // 0: it is a list
	count  int
}

// NewItems packs a list.
func NewItems(list []string) Items {
	var b []byte
	for _, s := range list {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	return Items{packed: string(b), count: len(list)}
}

// PackedItems is a list as Packed gave it; ok is false where it is damaged.
func PackedItems(packed string, count int) (it Items, ok bool) {
	n := 0
	for rest := packed; rest != ""; n++ {
		size, used := uvarint(rest)
		if used <= 0 || size > uint64(len(rest)-used) {
			return Items{}, false
		}
		rest = rest[used+int(size):] //nolint:gosec // bounded just above
	}
	return Items{packed: packed, count: count}, n == count
}

// NewRange is the integers from one to another, both included, by a step that may
// be negative. The error is a *FieldError.
func NewRange(from, to, step int64) (Items, error) {
	const most = 1 << 60
	if step == 0 || from > most || from < -most || to > most || to < -most || step > most || step < -most {
		return Items{}, Invalid("items", "a range needs a step other than 0 and ends within 2^60")
	}
	n := (to-from)/step + 1
	if (to-from)*sign(step) < 0 {
		return Items{}, Invalid("items", "the range from %d to %d by %d is empty", from, to, step)
	}
	if n > MaxItems {
		return Items{}, Invalid("items", "%d are more than %d", n, MaxItems)
	}
	return Items{from: from, step: step, count: int(n)}, nil
}

func sign(v int64) int64 {
	if v < 0 {
		return -1
	}
	return 1
}

// Equal reports whether two hold the same.
func (it Items) Equal(other Items) bool { return it == other }

// Len is how many there are.
func (it Items) Len() int { return it.count }

// Range is the ends and the step of a range; ok is false for a list.
func (it Items) Range() (from, to, step int64, ok bool) {
	return it.from, it.from + int64(max(0, it.count-1))*it.step, it.step, it.step != 0
}

// Packed is the string of a list.
func (it Items) Packed() string { return it.packed }

// First is up to n items from the front, but at least one and no more than
// MaxShardBytes have room for, and the rest.
func (it Items) First(n int) (first, rest Items) {
	n = max(0, min(n, it.count))
	if it.step != 0 {
		n = min(n, MaxShardBytes/21) // an integer has at most 20 characters
		return Items{from: it.from, step: it.step, count: n}, Items{from: it.from + int64(n)*it.step, step: it.step, count: it.count - n}
	}
	at, k, room := 0, 0, MaxShardBytes
	for ; k < n; k++ {
		size, used := uvarint(it.packed[at:])
		if room -= int(size) + 1; used <= 0 || room < 0 && k > 0 { //nolint:gosec // within the string
			break
		}
		at += used + int(size) //nolint:gosec // within the string
	}
	return Items{packed: it.packed[:at], count: k}, Items{packed: it.packed[at:], count: it.count - k}
}

// Skip is the items after the first n, or after as many as there are.
func (it Items) Skip(n int) Items {
	n = max(0, min(n, it.count))
	if it.step != 0 {
		return Items{from: it.from + int64(n)*it.step, step: it.step, count: it.count - n}
	}
	at := 0
	for range n {
		size, used := uvarint(it.packed[at:])
		at += max(used, 0) + int(size) //nolint:gosec // within the string
	}
	return Items{packed: it.packed[at:], count: it.count - n}
}

// Texts are the items as strings.
func (it Items) Texts() []string {
	out := make([]string, 0, it.count)
	if it.step != 0 {
		for i := range it.count {
			out = append(out, strconv.FormatInt(it.from+int64(i)*it.step, 10))
		}
		return out
	}
	for rest := it.packed; rest != ""; {
		size, used := uvarint(rest)
		if used <= 0 || size > uint64(len(rest)-used) {
			break
		}
		end := used + int(size) //nolint:gosec // bounded just above
		out, rest = append(out, rest[used:end]), rest[end:]
	}
	return out
}

func uvarint(s string) (v uint64, used int) {
	for i := 0; i < len(s) && i < binary.MaxVarintLen32; i++ {
		if v |= uint64(s[i]&0x7f) << (7 * i); s[i] < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}

// MarshalJSON gives an array, or {"range": [from, to, step]}.
func (it Items) MarshalJSON() ([]byte, error) {
	if from, to, step, ok := it.Range(); ok {
		if step == 1 {
			return fmt.Appendf(nil, `{"range":[%d,%d]}`, from, to), nil
		}
		return fmt.Appendf(nil, `{"range":[%d,%d,%d]}`, from, to, step), nil
	}
	return json.Marshal(it.Texts())
}

// UnmarshalJSON takes an array of strings and numbers, or {"range": [from, to]}
// with a step after them or without.
func (it *Items) UnmarshalJSON(data []byte) error {
	if isObject(data) {
		var r map[string][]int64
		if err := json.Unmarshal(data, &r); err != nil || len(r) != 1 || len(r["range"]) < 2 || len(r["range"]) > 3 {
			return fmt.Errorf(`neither an array nor {"range": [from, to]} of integers`)
		}
		ends := r["range"]
		step := sign(ends[1] - ends[0])
		if len(ends) == 3 {
			step = ends[2]
		}
		out, err := NewRange(ends[0], ends[1], step)
		if fe, ok := err.(*FieldError); ok { //nolint:errorlint // made just above
			return fmt.Errorf("%s", fe.Problem)
		}
		*it = out
		return err
	}
	var list []json.RawMessage
	if err := json.Unmarshal(data, &list); err != nil {
		return fmt.Errorf(`neither an array nor {"range": [from, to]} of integers`)
	}
	texts := make([]string, len(list))
	for i, raw := range list {
		switch {
		case len(raw) > 0 && raw[0] == '"':
			if err := json.Unmarshal(raw, &texts[i]); err != nil {
				return err
			}
		case len(raw) > 0 && (raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9'):
			texts[i] = string(raw)
		default:
			return fmt.Errorf("item %d is neither a string nor a number", i+1)
		}
	}
	*it = NewItems(texts)
	return nil
}

// ShardSize is how many items a shard gets; 0 is one, ShardAuto as many as turn out
// to be right. In JSON it is a number or "auto".
type ShardSize int

// ShardAuto lets measurements decide.
const ShardAuto ShardSize = -1

// ParseShard reads a number of items or "auto".
func ParseShard(text string) (ShardSize, error) {
	if strings.EqualFold(text, "auto") {
		return ShardAuto, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > MaxItems {
		return 0, fmt.Errorf("%q is neither auto nor a number of items from 1 to %d", text, MaxItems)
	}
	return ShardSize(n), nil
}

// MarshalJSON gives a number or "auto".
func (s ShardSize) MarshalJSON() ([]byte, error) {
	if s == ShardAuto {
		return []byte(`"auto"`), nil
	}
	return strconv.AppendInt(nil, int64(s), 10), nil
}

// UnmarshalJSON takes a number or "auto".
func (s *ShardSize) UnmarshalJSON(data []byte) error {
	text := strings.Trim(string(data), `"`)
	v, err := ParseShard(text)
	if err != nil {
		return err
	}
	*s = v
	return nil
}

// checkItems refuses items that no command or input could take.
func (t *TaskSpec) checkItems() error {
	if t.Items == nil {
		switch {
		case t.Shard != 0:
			return Invalid("shard", "there are no items to cut")
		case t.MaxFailures != 0:
			return Invalid("max_failures", "there are no items whose shards could fail")
		}
		return nil
	}
	switch {
	case t.Items.count == 0:
		return Invalid("items", "there is none")
	case t.Shard < ShardAuto:
		return Invalid("shard", "%d is not a number of items", int(t.Shard))
	case t.MaxFailures < 0:
		return Invalid("max_failures", "%d is negative", t.MaxFailures)
	case len(t.TaskID) > MaxParentID:
		return Invalid("task_id", "with items it may have %d bytes, since its shards add to it", MaxParentID)
	case t.HTTP != nil && len(t.HTTP.Body) > 0:
		return Invalid("http.body", `with items the body is {"items": [...]} and what input holds beside it`)
	case len(t.Input) > 0 && string(t.Input) != "null" && !isObject(t.Input):
		return Invalid("input", "with items it must be an object, to which they are added")
	}
	if len(t.Input) > 0 {
		var members map[string]json.RawMessage
		if err := json.Unmarshal(t.Input, &members); err == nil && members["items"] != nil {
			return Invalid("input", "it has items of its own")
		}
	}
	return t.checkItemTexts()
}

func (t *TaskSpec) checkItemTexts() error {
	if t.Items.step != 0 {
		return nil
	}
	script := t.scriptAt()
	inScript := script > 0 && strings.Contains(t.Run[script], ItemsMark)
	for i, s := range t.Items.Texts() {
		switch {
		case len(s) >= MaxShardBytes:
			return Invalid("items", "item %d has %d bytes, and a shard has room for %d", i+1, len(s), MaxShardBytes-1)
		case strings.ContainsRune(s, 0):
			return Invalid("items", "item %d holds a NUL character", i+1)
		case !utf8.ValidString(s):
			return Invalid("items", "item %d is not UTF-8", i+1)
		case inScript && strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
			return Invalid("items", `item %d holds a line break or a control character, which cannot be put into a shell's script: leave out {} and use "$@" there`, i+1)
		}
	}
	return nil
}

// scriptAt is the place of a shell's script in the command; 0 where it has none.
func (t *TaskSpec) scriptAt() int {
	if len(t.Run) < 3 {
		return 0
	}
	switch path.Base(t.Run[0]) {
	case "sh", "bash", "dash", "zsh", "ksh", "ash":
	default:
		return 0
	}
	flag := t.Run[1]
	if len(flag) < 2 || flag[0] != '-' || flag[1] == '-' || !strings.Contains(flag, "c") {
		return 0
	}
	return 2
}

// ForItems is the task as it is run for the items that it has: they are in its
// command, its input and its environment, and no longer beside them. parent is the
// task that it is a shard of.
//
// In the command an argument that is {} becomes the items, one argument each; one
// that holds {} is repeated for each of them; in the script of a shell (sh -c) {}
// becomes all of them, quoted. Where no {} is, they are appended. A {} in stdin
// becomes the items, a line each. An input becomes {"items": [...]} with what the
// input held.
func (t *TaskSpec) ForItems(parent string) TaskSpec {
	out := *t
	if t.Items == nil {
		return out
	}
	items := t.Items.Texts()
	out.Items, out.Shard, out.MaxFailures = nil, 0, 0
	lines := strings.Join(items, "\n")
	if strings.Contains(t.Stdin, ItemsMark) {
		out.Stdin = strings.ReplaceAll(t.Stdin, ItemsMark, lines+"\n")
	}
	if len(t.Run) > 0 {
		out.Run = t.runFor(items)
		out.Env = map[string]string{"LOADSTAR_ITEMS": lines, "LOADSTAR_PARENT": parent}
		for k, v := range t.Env {
			out.Env[k] = v
		}
		return out
	}
	members := map[string]json.RawMessage{}
	if len(t.Input) > 0 {
		_ = json.Unmarshal(t.Input, &members) // it was checked when it was accepted
	}
	members["items"], _ = json.Marshal(items) // strings: it cannot fail
	out.Input, _ = json.Marshal(members)
	return out
}

func (t *TaskSpec) runFor(items []string) []string {
	script := t.scriptAt()
	found := strings.Contains(t.Stdin, ItemsMark)
	out := make([]string, 0, len(t.Run)+len(items))
	for i, arg := range t.Run {
		switch {
		case i == 0 || !strings.Contains(arg, ItemsMark):
			out = append(out, arg)
			continue
		case i == script && script > 0:
			out = append(out, strings.ReplaceAll(arg, ItemsMark, quoted(items)))
		case arg == ItemsMark:
			out = append(out, items...)
		default:
			for _, item := range items {
				out = append(out, strings.ReplaceAll(arg, ItemsMark, item))
			}
		}
		found = true
	}
	if found {
		return out
	}
	if script > 0 && len(t.Run) == script+1 { // else the first one would be the script's name, $0
		out = append(out, t.Run[0])
	}
	return append(out, items...)
}

// quoted writes items for a shell's script. Each character that is not plain has a
// backslash before it, so that it is one word and runs nothing, whatever quotes the
// script puts around it.
func quoted(items []string) string {
	var b strings.Builder
	for i, item := range items {
		if i > 0 {
			b.WriteByte(' ')
		}
		if item == "" {
			b.WriteString("''")
		}
		for _, r := range item {
			if r < 0x80 && !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("_-./:=@%+,", r)) {
				b.WriteByte('\\')
			}
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Progress is how far a task with items is.
type Progress struct {
	Items        int      `json:"items"`                  // in all
	Done         int      `json:"done"`                   // items of shards that ended SUCCESS
	Failed       int      `json:"failed"`                 // items of shards that ended otherwise
	Uncut        int      `json:"uncut"`                  // items that are in no shard yet
	Shards       int      `json:"shards"`                 // cut so far
	ShardsDone   int      `json:"shards_done"`            //
	ShardsFailed int      `json:"shards_failed"`          //
	Grain        int      `json:"grain"`                  // items that the next shard gets
	ItemMS       *float64 `json:"item_ms,omitempty"`      // measured time of an item
	OverheadMS   *float64 `json:"overhead_ms,omitempty"`  // measured time of a shard beside its items
	EtaS         *float64 `json:"eta_s,omitempty"`        // until the end at the present rate
	FailedItems  []string `json:"failed_items,omitempty"` // the first of those, where one task is looked at
}

// String says it in a few words.
func (p *Progress) String() string {
	text := fmt.Sprintf("%d of %d items done", p.Done, p.Items)
	if p.Failed > 0 {
		text += fmt.Sprintf(", %d failed", p.Failed)
	}
	return text + fmt.Sprintf(", %d shards cut", p.Shards)
}
