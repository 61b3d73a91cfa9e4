package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"loadstar/models"
)

const (
	journalStream   = "LOADSTAR_JOURNAL"
	journalSubject  = "loadstar.journal"
	snapshotStream  = "LOADSTAR_SNAPSHOT"
	manifestSubject = "loadstar.snapshot.manifest"
	chunkSubjects   = "loadstar.snapshot.chunk" // then the generation
)

// Config says where the journal is.
type Config struct {
	// Dir is the folder that holds it; made where it is missing. It must be this
	// process's alone: see LockDir.
	Dir string
	// URL is an external NATS cluster, as in nats://host:4222. Default: none, a
	// server inside the process that listens on nothing and stores under Dir.
	URL string
	// Creds is a NATS credentials file for URL. Default: none.
	Creds string
	// Replicas is how many of the cluster's servers keep each stream, 1 to 5.
	// Default 1. It counts with URL only.
	Replicas int
	// StreamMaxBytes bounds the frames kept between two snapshots, in bytes; when
	// they reach it, Append says ErrNoSpace. Default 0: the disk is the bound.
	StreamMaxBytes int64
	// AckTimeout is how long an acknowledgement is waited for before the frame is
	// looked for in the stream. Default 10 s.
	AckTimeout time.Duration
	// Logger gets what a person should know; nats-server's own log at debug.
	// Default slog.Default().
	Logger *slog.Logger
}

// Validate checks the configuration; the error is a *models.FieldError.
func (c *Config) Validate() error {
	switch {
	case c.Dir == "":
		return models.Invalid("dir", "it is empty")
	case c.Replicas < 0 || c.Replicas > 5:
		return models.Invalid("replicas", "%d is not between 1 and 5", c.Replicas)
	case c.StreamMaxBytes < 0:
		return models.Invalid("stream_max_bytes", "%d is negative", c.StreamMaxBytes)
	case c.AckTimeout < 0:
		return models.Invalid("ack_timeout", "%s is negative", c.AckTimeout)
	}
	if c.URL == "" {
		return nil
	}
	if u, err := url.Parse(c.URL); err != nil || u.Scheme == "" || u.Host == "" {
		return models.Invalid("nats", "%q is not an address such as nats://host:4222", c.URL)
	}
	return nil
}

func (c *Config) withDefaults() Config {
	d := *c
	if d.Replicas == 0 || d.URL == "" {
		d.Replicas = 1
	}
	if d.AckTimeout == 0 {
		d.AckTimeout = 10 * time.Second
	}
	if d.Logger == nil {
		d.Logger = slog.Default()
	}
	return d
}

// Journal is the durable log. Its methods may be called by several goroutines;
// Load, Append and Snapshot wait for each other.
type Journal struct {
	cfg  Config
	log  *slog.Logger
	mark *mark // nil with an external cluster

	links linkHolder

	mu        sync.Mutex // guards what follows
	loaded    bool
	seq       uint64 // the last acknowledged frame's sequence
	sum       uint32 // and sum: the chain so far
	unsettled []byte // a message that may or may not be in the stream behind seq
	buf       []byte // of the message under way

	// Tests only: called after each part of a snapshot; called in the place of a
	// frame's acknowledgement; whether the disk's reserve is left to nats-server.
	afterPart    func(n int)
	afterPublish func() error
	ignoreSpace  bool
}

// Open starts the embedded server, or connects to the cluster, and makes the
// streams that are missing. It reads the embedded server's block files first and
// refuses damage, as a *CorruptError, before anything is changed.
func Open(ctx context.Context, cfg Config) (*Journal, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	cfg = cfg.withDefaults()
	if fresh := unfinishedRepair(cfg.Dir); fresh != "" {
		return nil, fmt.Errorf("journal: a repair was broken off before %s took the place of %s: loadstar doctor --repair ends it", fresh, cfg.Dir)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	j := &Journal{cfg: cfg, log: cfg.Logger}
	j.links.dial = func() (*link, error) { return j.connect(ctx) }
	if cfg.URL == "" {
		if err := j.scanAll(); err != nil {
			return nil, err
		}
		var err error
		if j.mark, err = openMark(j.markPath()); err != nil {
			return nil, err
		}
	}
	if err := j.links.open(); err != nil {
		if j.mark != nil {
			_ = j.mark.close()
		}
		return nil, err
	}
	return j, nil
}

func (j *Journal) markPath() string { return filepath.Join(j.cfg.Dir, "acked") }

// connect makes a link on which both streams are there.
func (j *Journal) connect(ctx context.Context) (*link, error) {
	l, err := dial(j.cfg)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), startTimeout)
	defer cancel()
	for _, s := range j.streams() {
		if err := j.ensureStream(ctx, l, s); err != nil {
			l.close()
			return nil, err
		}
	}
	return l, nil
}

func (j *Journal) streams() []jetstream.StreamConfig {
	return []jetstream.StreamConfig{{
		Name:        journalStream,
		Description: "Loadstar: frames of the scheduler's records",
		Subjects:    []string{journalSubject},
		Discard:     jetstream.DiscardNew,
		MaxBytes:    boundOr(j.cfg.StreamMaxBytes),
	}, {
		Name:        snapshotStream,
		Description: "Loadstar: snapshots of the scheduler",
		Subjects:    []string{chunkSubjects + ".*", manifestSubject},
		Discard:     jetstream.DiscardNew,
	}}
}

func boundOr(n int64) int64 {
	if n == 0 {
		return -1
	}
	return n
}

// ensureStream makes the stream where it is missing. One whose files are there but
// which the server could not open is damage, never a reason to begin anew.
func (j *Journal) ensureStream(ctx context.Context, l *link, s jetstream.StreamConfig) error {
	_, err := l.js.Stream(ctx, s.Name)
	if err == nil {
		return nil
	}
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("journal: open stream %s: %w", s.Name, err)
	}
	if j.cfg.URL == "" {
		if blocks, _ := filepath.Glob(filepath.Join(j.streamDir(s.Name), "msgs", "*.blk")); len(blocks) > 0 {
			return &CorruptError{Stream: s.Name, Seq: 1, File: j.streamDir(s.Name), Why: "the stream's description cannot be read, though its blocks are there"}
		}
	}
	s.Storage, s.Retention, s.Replicas = jetstream.FileStorage, jetstream.LimitsPolicy, j.cfg.Replicas
	s.DenyDelete, s.AllowDirect, s.Duplicates = true, true, time.Second
	if _, err := l.js.CreateStream(ctx, s); err != nil {
		_, told := refusal(err)
		return fmt.Errorf("journal: make stream %s: %w", s.Name, told)
	}
	return nil
}

func (j *Journal) streamDir(stream string) string {
	return filepath.Join(j.cfg.Dir, "jetstream", "$G", "streams", stream)
}

// Append makes one frame durable before it returns. The error wraps ErrNoSpace
// where the disk is full; package journal's comment says what an error means.
func (j *Journal) Append(ctx context.Context, frame []byte) error {
	if len(frame) > maxPayload {
		return fmt.Errorf("journal: a frame of %d bytes is more than %d", len(frame), maxPayload)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.settle(ctx); err != nil {
		return err
	}
	return j.append(ctx, kindFrame, frame)
}

// append publishes the next message of the chain.
func (j *Journal) append(ctx context.Context, k kind, payload []byte) error {
	if !j.loaded {
		return ErrNotLoaded
	}
	if err := j.checkSpace(len(payload), k == kindVoid); err != nil {
		return err
	}
	j.buf, _ = appendFrame(j.buf[:0], k, j.seq+1, j.sum, payload)
	err := j.publish(ctx, journalSubject, j.buf, j.seq, true)
	if err == nil && j.afterPublish != nil {
		err = j.afterPublish()
	}
	if err == nil {
		j.advance(j.buf)
		return nil
	}
	settled, told := refusal(err)
	if settled {
		return told
	}
	j.unsettled = bytes.Clone(j.buf)
	if ctx.Err() != nil {
		return fmt.Errorf("journal: append: %w", told)
	}
	stored, err := j.lookBack(ctx)
	switch {
	case errors.Is(err, ErrFenced):
		return err
	case err != nil:
		j.log.Warn("the journal cannot be read back after a failed append; the next call looks again", "error", err)
		return told
	case stored:
		j.advance(j.unsettled)
		j.unsettled = nil
		return nil
	}
	j.unsettled = nil
	return told
}

func (j *Journal) advance(message []byte) {
	j.seq++
	j.sum = sumOf(message)
	if j.mark == nil {
		return
	}
	if err := j.mark.write(j.seq, j.sum); err != nil {
		j.log.Warn("the journal's mark could not be written: damage at its very end would not be told from a torn write", "error", err)
	}
}

// settle finds out what became of a message whose append failed, and strikes it
// out where it is in the stream after all: its caller was told that it is not.
func (j *Journal) settle(ctx context.Context) error {
	if j.unsettled == nil {
		return nil
	}
	if err := j.checkSpace(0, true); err != nil {
		return err
	}
	stored, err := j.lookBack(ctx)
	if err != nil {
		_, told := refusal(err)
		return fmt.Errorf("journal: read back the last frame: %w", told)
	}
	message := j.unsettled
	if !stored {
		j.unsettled = nil
		return nil
	}
	h, _, err := decodeFrame(message)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	j.unsettled = nil
	j.advance(message)
	if h.kind == kindVoid { // a void that arrived after all has done its work
		return nil
	}
	if err := j.append(ctx, kindVoid, nil); err != nil {
		// Back to where it was: the frame is there and not yet struck out.
		if j.unsettled == nil {
			j.seq, j.sum, j.unsettled = h.seq-1, h.prev, message
		}
		return err
	}
	return nil
}

// lookBack says whether the unsettled message is in the stream. ErrFenced: something
// else is there in its place.
func (j *Journal) lookBack(ctx context.Context) (stored bool, err error) {
	err = j.links.with(ctx, func(ctx context.Context, l *link) error {
		ctx, cancel := context.WithTimeout(ctx, j.cfg.AckTimeout)
		defer cancel()
		stream, err := l.js.Stream(ctx, journalStream)
		if err != nil {
			return err
		}
		switch last := stream.CachedInfo().State.LastSeq; {
		case last == j.seq:
			stored = false
			return nil
		case last < j.seq:
			return &GapError{From: last + 1, To: j.seq, Why: "the stream ends before a frame that was acknowledged"}
		}
		msg, err := stream.GetMsg(ctx, j.seq+1)
		if err != nil {
			return err
		}
		if !bytes.Equal(msg.Data, j.unsettled) {
			return ErrFenced
		}
		stored = true
		return syncBlocks(j.streamDir(journalStream), l)
	})
	return stored, err
}

// publish sends one message, on a new link where the last one's storage failed.
func (j *Journal) publish(ctx context.Context, subject string, data []byte, expectLast uint64, fenced bool) error {
	return j.links.with(ctx, func(ctx context.Context, l *link) error {
		ctx, cancel := context.WithTimeout(ctx, j.cfg.AckTimeout)
		defer cancel()
		_, err := l.publish(ctx, subject, data, expectLast, fenced)
		return err
	})
}

// checkSpace refuses what would eat into the disk's reserve; a small message that
// puts things right may use half of it.
func (j *Journal) checkSpace(size int, small bool) error {
	if j.cfg.URL != "" || j.ignoreSpace {
		return nil
	}
	free, total, ok := freeSpace(j.cfg.Dir)
	if !ok {
		return nil
	}
	need := reserve(total) + uint64(size) //nolint:gosec // a length
	if small {
		need = reserve(total) / 2
	}
	if free < need {
		return fmt.Errorf("%w: %s has %s free, %s are needed", ErrNoSpace, j.cfg.Dir, mib(free), mib(need))
	}
	return nil
}

func mib(n uint64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// Close ends the journal. What was acknowledged is on disk already. It may be
// called twice.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.links.close()
	j.loaded = false
	if j.mark == nil {
		return nil
	}
	m := j.mark
	j.mark = nil
	return m.close()
}
