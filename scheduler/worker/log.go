package worker

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"loadstar/models"
)

// LogConfig says where output is kept, and how much of it.
type LogConfig struct {
	// Dir is the folder of all logs; it is made where it is missing, mode 0700.
	Dir string
	// MaxBytesPerAttempt bounds one attempt's output on disk, in bytes: its first
	// half is kept, and of the rest at least the last quarter. Default 8 MiB.
	MaxBytesPerAttempt int64
	// MaxTotalBytes bounds the output of all ended attempts, in bytes; the oldest
	// goes first. Default 1 GiB.
	MaxTotalBytes int64
	// MaxAttempts bounds how many ended attempts are kept. Default 100,000.
	MaxAttempts int
	// MaxAge is how long an ended attempt's output is kept; negative is for ever.
	// Default 30 days.
	MaxAge time.Duration
	// Clock tells the time. Default time.Now.
	Clock func() time.Time
	// Logger takes warnings. Default slog.Default().
	Logger *slog.Logger
}

const minAttemptBytes = 4 << 10

// WithDefaults fills what was left zero.
func (c LogConfig) WithDefaults() LogConfig {
	c.MaxBytesPerAttempt = cmp.Or(c.MaxBytesPerAttempt, 8<<20)
	c.MaxTotalBytes = cmp.Or(c.MaxTotalBytes, 1<<30)
	c.MaxAttempts = cmp.Or(c.MaxAttempts, 100_000)
	c.MaxAge = cmp.Or(c.MaxAge, 30*24*time.Hour)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	if c.Clock == nil {
		c.Clock = time.Now
	}
	return c
}

// Validate checks the config after WithDefaults; the error is a *models.FieldError.
func (c *LogConfig) Validate() error {
	switch {
	case c.Dir == "":
		return models.Invalid("logs.dir", "no folder is named")
	case c.MaxBytesPerAttempt < minAttemptBytes:
		return models.Invalid("logs.max_bytes_per_attempt", "%d is less than %d", c.MaxBytesPerAttempt, minAttemptBytes)
	case c.MaxTotalBytes < 0:
		return models.Invalid("logs.max_total_bytes", "%d is negative", c.MaxTotalBytes)
	case c.MaxAttempts < 0:
		return models.Invalid("logs.max_attempts", "%d is negative", c.MaxAttempts)
	}
	return nil
}

// LogStore keeps what attempts print, within bounds, on disk:
//
//	DIR/tasks/HH/NAME~HASH.ATTEMPT.log        the first half of MaxBytesPerAttempt
//	DIR/tasks/HH/NAME~HASH.ATTEMPT.log.OFFSET up to two segments of the rest, each named
//	                                          by the offset of its first byte in the output
//	DIR/packs/NNNNNNNN.pack                   the output of attempts that printed at most
//	                                          4 KiB within their first second; see packs
//	DIR/pools/POOL.log, POOL.log.1            what stdio workers say on stderr
//
// What an attempt prints first is held in memory, and lost where the program is
// killed within a second or so; after that everything is handed to the system as it
// comes.
//
// NAME is the task's id with all but letters, digits, '.', '-' and '_' replaced,
// HASH the first 16 hex digits of the id's SHA-256 and HH its first two, so that
// any id, however odd or long, has a name of its own on any file system. As a
// segment's name says where it belongs, what is missing between two segments is
// known even after a crash, and is told to readers in a line of its own.
//
// It is safe for use by several goroutines.
type LogStore struct {
	cfg LogConfig

	mu    sync.Mutex
	live  map[string]*LogWriter // by base path
	kept  []keptLog             // ended, oldest first
	packs packs
	total int64 // bytes in kept and in the pack that is written to
	count int   // attempts in the same
	pools map[string]*PoolLog
}

// keptLog is one attempt's files, or a pack of many attempts.
type keptLog struct {
	base     string // relative to the tasks folder; empty for a pack
	bytes    int64
	began    int64 // Unix seconds, of packs that are written to
	at       int64 // when it ended, Unix seconds
	attempts int
	number   uint32 // of the pack
	pack     bool
	tail     bool // whether it has segments beyond the first
}

// NewLogStore opens the folder and takes stock of what is in it.
func NewLogStore(cfg LogConfig) (*LogStore, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &LogStore{cfg: cfg, live: map[string]*LogWriter{}, pools: map[string]*PoolLog{}}
	s.packs.dir = filepath.Join(cfg.Dir, "packs")
	for _, dir := range []string{s.tasksDir(), s.poolsDir()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make the log folder: %w", err)
		}
	}
	if err := s.takeStock(); err != nil {
		return nil, fmt.Errorf("read the log folder: %w", err)
	}
	s.Sweep()
	return s, nil
}

func (s *LogStore) tasksDir() string { return filepath.Join(s.cfg.Dir, "tasks") }
func (s *LogStore) poolsDir() string { return filepath.Join(s.cfg.Dir, "pools") }

// takeStock fills kept from the folder, so that bounds hold through restarts.
func (s *LogStore) takeStock() error {
	found := map[string]*keptLog{}
	err := filepath.WalkDir(s.tasksDir(), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		at := strings.LastIndex(path, ".log")
		info, infoErr := e.Info()
		if at < 0 || infoErr != nil {
			return nil //nolint:nilerr // not ours, or gone meanwhile
		}
		base, err := filepath.Rel(s.tasksDir(), path[:at])
		if err != nil {
			return err
		}
		k := found[base]
		if k == nil {
			k = &keptLog{base: base, attempts: 1}
			found[base] = k
		}
		k.bytes += info.Size()
		k.at = max(k.at, info.ModTime().Unix())
		k.tail = k.tail || path[at:] != ".log"
		return nil
	})
	if err != nil {
		return err
	}
	if s.kept, err = s.packs.open(); err != nil {
		return err
	}
	for _, k := range found {
		s.kept = append(s.kept, *k)
	}
	for _, k := range s.kept {
		s.total += k.bytes
		s.count += k.attempts
	}
	slices.SortFunc(s.kept, func(a, b keptLog) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.base, b.base), cmp.Compare(a.number, b.number))
	})
	return nil
}

// base is an attempt's path relative to the tasks folder, without ".log".
func logBase(taskID string, attempt int) string {
	const longest = 80
	hash := sha256.Sum256([]byte(taskID))
	name := []byte(taskID[:min(len(taskID), longest)])
	for i, c := range name {
		ok := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '_' || c == '.' && i > 0
		if !ok {
			name[i] = '_'
		}
	}
	digits := hex.EncodeToString(hash[:8])
	return filepath.Join(digits[:2], string(name)+"~"+digits+"."+strconv.Itoa(attempt))
}

// Create begins an attempt's log. What an earlier try at the same attempt left is
// dropped. The writer must be closed.
func (s *LogStore) Create(taskID string, attempt int) (*LogWriter, error) {
	base := logBase(taskID, attempt)
	w := &LogWriter{
		store: s, taskID: taskID, attempt: attempt, began: s.cfg.Clock(),
		base: base, path: filepath.Join(s.tasksDir(), base) + ".log",
		headMax: s.cfg.MaxBytesPerAttempt / 2, tailMax: s.cfg.MaxBytesPerAttempt / 4,
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.live[base]; old != nil {
		old.abandon()
	}
	delete(s.packs.index, packKeyOf(taskID, attempt)) // its bytes stay on the books with their pack
	switch err := os.Remove(w.path); {
	case err == nil:
		s.forget(base)
		s.removeFiles(base, true)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("create the log of task %s attempt %d: %w", taskID, attempt, err)
	}
	s.live[base] = w
	return w, nil
}

// Open reads what an attempt has printed so far, oldest first. The error wraps
// models.ErrNotFound where nothing is kept of it.
func (s *LogStore) Open(taskID string, attempt int) (io.ReadCloser, error) {
	return s.reader(taskID, attempt)
}

func (s *LogStore) reader(taskID string, attempt int) (*logReader, error) {
	base := logBase(taskID, attempt)
	s.mu.Lock()
	w := s.live[base]
	packed, isPacked := s.packs.segment(taskID, attempt)
	s.mu.Unlock()
	view := logView{ended: true}
	if w != nil {
		view = w.view()
		view.ended = true // as far as it goes now
		return &logReader{view: func() logView { return view }, stop: make(chan struct{})}, nil
	}
	// Where there are files, too, they are of a later try at the same attempt.
	segments, err := s.segments(base)
	switch {
	case err == nil:
		view.segments = segments
	case isPacked:
		view.segments = []segment{packed}
	default:
		return nil, fmt.Errorf("log of task %s attempt %d: %w", taskID, attempt, err)
	}
	last := view.segments[len(view.segments)-1]
	view.total = last.start + last.size
	return &logReader{view: func() logView { return view }, stop: make(chan struct{})}, nil
}

// segments lists an attempt's files from the disk, in order.
func (s *LogStore) segments(base string) ([]segment, error) {
	paths, err := filepath.Glob(filepath.Join(s.tasksDir(), base) + ".log*")
	if err != nil {
		return nil, err
	}
	var out []segment
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			continue // removed meanwhile
		}
		seg := segment{path: p, size: info.Size()}
		if ext := filepath.Ext(p); ext != ".log" {
			if seg.start, err = strconv.ParseInt(ext[1:], 10, 64); err != nil {
				continue // not ours
			}
		}
		out = append(out, seg)
	}
	if len(out) == 0 {
		return nil, models.ErrNotFound
	}
	slices.SortFunc(out, func(a, b segment) int { return cmp.Compare(a.start, b.start) })
	return out, nil
}

// ended moves a closed writer's log to what retention may take: its files, or
// what it printed where it has none.
func (s *LogStore) ended(w *LogWriter, files keptLog, output []byte) {
	s.mu.Lock()
	if s.live[w.base] == w {
		delete(s.live, w.base)
		if files.attempts > 0 {
			files.at = s.cfg.Clock().Unix()
			s.kept = append(s.kept, files)
			s.total += files.bytes
			s.count++
		} else {
			s.pack(w, output)
		}
	}
	s.retain()
	s.mu.Unlock()
}

// Sweep drops the logs of ended attempts that are too many or too old, and moves
// to disk what attempts printed more than a second ago. The former happens by
// itself whenever an attempt ends, too; call Sweep every few seconds.
func (s *LogStore) Sweep() {
	old := s.cfg.Clock().Add(-memoryTime)
	var settled []*LogWriter
	s.mu.Lock()
	s.retain()
	for _, w := range s.live {
		if w.began.Before(old) {
			settled = append(settled, w)
		}
	}
	s.mu.Unlock()
	for _, w := range settled {
		w.settle()
	}
}

// retain drops the oldest logs until the bounds hold.
func (s *LogStore) retain() {
	oldest := int64(0)
	if s.cfg.MaxAge > 0 {
		oldest = s.cfg.Clock().Add(-s.cfg.MaxAge).Unix()
	}
	n := 0
	for n < len(s.kept) && (s.total > s.cfg.MaxTotalBytes || s.count > s.cfg.MaxAttempts || s.kept[n].at < oldest) {
		k := s.kept[n]
		s.total -= k.bytes
		s.count -= k.attempts
		if !k.pack {
			s.removeFiles(k.base, k.tail)
		} else if err := s.packs.drop(k.number); err != nil {
			s.cfg.Logger.Warn("an old log stays", "err", err)
		}
		s.kept[n] = keptLog{} // lets its name go
		n++
	}
	s.kept = s.kept[n:] // append moves to a new array in time, so the front is not kept for ever
}

// forget takes a log off the books.
func (s *LogStore) forget(base string) {
	if i := slices.IndexFunc(s.kept, func(k keptLog) bool { return !k.pack && k.base == base }); i >= 0 {
		s.total -= s.kept[i].bytes
		s.count--
		s.kept = slices.Delete(s.kept, i, i+1)
	}
}

func (s *LogStore) removeFiles(base string, tail bool) {
	paths := []string{filepath.Join(s.tasksDir(), base) + ".log"}
	if tail {
		segs, _ := s.segments(base) //nolint:errcheck // none left is what is wanted
		for _, seg := range segs {
			paths = append(paths, seg.path)
		}
	}
	for _, p := range paths {
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.cfg.Logger.Warn("an old log stays", "err", err)
		}
	}
}
