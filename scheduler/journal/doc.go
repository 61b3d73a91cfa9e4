// Package journal is the durable log of a daemon: frames appended one by one,
// each on disk before Append returns; whole snapshots that take the place of the
// frames they cover; and side logs for what may be lost (metric history,
// forecasts).
//
// It stands on NATS JetStream. By default nats-server runs inside the process,
// listens on nothing and stores under Config.Dir with SyncAlways; with Config.URL
// the same code runs on an external cluster. It imports models and NATS; nothing
// else in the house may import nats-server.
//
// # What is on disk
//
//	Dir/jetstream/…     nats-server's store: one stream a log, one message a frame
//	Dir/acked           the mark: the last acknowledged frame, see mark.go
//
//	LOADSTAR_JOURNAL    frames; message sequence = frame sequence, from 1
//	LOADSTAR_SNAPSHOT   chunk … chunk manifest; only what has a manifest counts
//	LOADSTAR_LOG_name   one side log, bounded by age and size
//
// JetStream alone hides damage: a flipped bit or a removed block comes back as
// "deleted", and a damaged last block is cut at the damage without a word. So each
// message begins with a header of ours (frame.go) that chains it to the one before,
// the block files are read through before nats-server may touch them (scan.go), and
// Load refuses a gap or a broken chain. Only a record that was never acknowledged,
// torn by a crash, is cut; the log says so.
//
// # What an error of Append means
//
//	           publish
//	[clean] ------------> acknowledged: nil, mark moved            -> [clean]
//	   ^ |
//	   | +--- no answer, or the disk failed ---> [unsettled]
//	   |                                             |
//	   |   read back: the frame is there -> nil      |
//	   +---read back: it is not -> the error <-------+
//	   |                                             | nothing can be read now:
//	   |                                             v the error
//	   +--- next call: is there after all ------ [unsettled]
//	        -> a void frame strikes it out
//
// So a frame whose Append failed is never replayed by a process that went on. When
// the process dies while unsettled, the frame may be replayed: nobody was told
// that it failed.
//
// After ENOSPC a JetStream stream refuses every write until it is opened anew, so
// the embedded server is restarted, in process, before the next publish; while
// too little space is free, appends are refused before they reach it.
package journal
