package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// A message is a header and a payload, integers little-endian:
//
//	 0  magic    "LSJF"
//	 4  version  1
//	 5  kind     1 frame, 2 void, 3 chunk, 4 manifest, 5 side log
//	 6  reserved 0 0
//	 8  seq      u64  journal: the message's sequence; chunk: its index; else 0
//	16  length   u32  bytes of payload
//	20  prev     u32  sum of the message before it in its chain; 0 at the start
//	24  sum      u32  CRC32C of bytes 0 to 23 and the payload
//	28  payload
//
// As prev is under sum, a sum stands for everything before it in the chain. A
// void frame has no payload: it strikes out the frame just before it.
const (
	headerSize   = 28
	frameMagic   = "LSJF"
	frameVersion = 1
)

type kind uint8

const (
	kindFrame    kind = 1
	kindVoid     kind = 2
	kindChunk    kind = 3
	kindManifest kind = 4
	kindLog      kind = 5
)

// maxPayload is the largest payload taken, in bytes: scheduler.MaxFrame.
const maxPayload = 768 << 10

// header is a decoded message's own part.
type header struct {
	kind kind
	seq  uint64
	prev uint32
	sum  uint32
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli) //nolint:gochecknoglobals // a constant table

// appendFrame appends the message to buf and returns it with the message's sum.
func appendFrame(buf []byte, k kind, seq uint64, prev uint32, payload []byte) ([]byte, uint32) {
	start := len(buf)
	buf = append(buf, frameMagic...)
	buf = append(buf, frameVersion, byte(k), 0, 0)
	buf = binary.LittleEndian.AppendUint64(buf, seq)
	buf = binary.LittleEndian.AppendUint32(buf, uint32(len(payload))) //nolint:gosec // bounded by maxPayload
	buf = binary.LittleEndian.AppendUint32(buf, prev)
	sum := crc32.Update(crc32.Checksum(buf[start:], castagnoli), castagnoli, payload)
	buf = binary.LittleEndian.AppendUint32(buf, sum)
	return append(buf, payload...), sum
}

// decodeFrame checks a message and returns its parts; payload shares data's memory.
func decodeFrame(data []byte) (h header, payload []byte, err error) {
	if len(data) < headerSize {
		return header{}, nil, fmt.Errorf("%d bytes are less than a header", len(data))
	}
	if string(data[:4]) != frameMagic {
		return header{}, nil, errors.New("it does not begin as a frame does")
	}
	if data[4] != frameVersion {
		return header{}, nil, fmt.Errorf("its format is version %d, this program knows %d", data[4], frameVersion)
	}
	k := kind(data[5])
	if k < kindFrame || k > kindLog || data[6] != 0 || data[7] != 0 {
		return header{}, nil, errors.New("its header makes no sense")
	}
	payload = data[headerSize:]
	if n := binary.LittleEndian.Uint32(data[16:]); uint64(n) != uint64(len(payload)) {
		return header{}, nil, fmt.Errorf("it has %d bytes of payload, its header says %d", len(payload), n)
	}
	h = header{
		kind: k,
		seq:  binary.LittleEndian.Uint64(data[8:]),
		prev: binary.LittleEndian.Uint32(data[20:]),
		sum:  binary.LittleEndian.Uint32(data[24:]),
	}
	if crc32.Update(crc32.Checksum(data[:24], castagnoli), castagnoli, payload) != h.sum {
		return header{}, nil, errors.New("its checksum does not match")
	}
	return h, payload, nil
}

// sumOf is the sum of a message that appendFrame made.
func sumOf(message []byte) uint32 { return binary.LittleEndian.Uint32(message[24:]) }
