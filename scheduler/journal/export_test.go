package journal

import "context"

// AfterPart calls fn after each part of a snapshot is on disk: n counts them from
// 1, the manifest included.
func AfterPart(j *Journal, fn func(n int)) { j.afterPart = fn }

// IgnoreSpace lets nats-server meet a full disk itself.
func IgnoreSpace(j *Journal) { j.ignoreSpace = true }

// BreakStorage makes the link count as broken.
func BreakStorage(j *Journal) { j.links.now.fail(errStorage) }

// AfterPublish calls fn in the place of each acknowledgement of a frame.
func AfterPublish(j *Journal, fn func() error) { j.afterPublish = fn }

// Intrude appends a frame as another process would.
func Intrude(j *Journal, payload string) error {
	message, _ := appendFrame(nil, kindFrame, j.seq+1, j.sum, []byte(payload))
	_, err := j.links.now.js.Publish(context.Background(), journalSubject, message)
	return err
}
