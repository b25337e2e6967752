package embedded

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/minio/highwayhash"
	"github.com/nats-io/nats-server/v2/server"

	"github.com/wagglehq/waggle/pkg/atomicfile"
	"github.com/wagglehq/waggle/pkg/bus"
)

// isRebuilt reports whether a stream is one whose content somebody has at any time, the swarm or who wrote it.
// Where one is damaged it begins anew: among what could be saved there may be values that
// had been replaced, if what said so is gone.
func isRebuilt(stream string) bool {
	return slices.Contains([]string{bus.CatalogBucket, bus.SecretsBucket, bus.LeaseBucket, bus.StatusBucket}, strings.TrimPrefix(stream, "KV_"))
}

// sizesFile has the sizes of all blocks when the server was stopped: what is shorter at the
// next start has lost something.
const sizesFile = "waggle.sizes"

// sizes are those of the blocks of a stream, by their names.
type sizes struct {
	// Index is the sum of the server's index of the stream. With another one it is another
	// stream, such as that of a backup, of which nothing is known.
	Index  string           `json:"index"`
	Blocks map[string]int64 `json:"blocks"`
}

// asidePattern is how the folders are called into which what was broken is moved.
const asidePattern = "jetstream.bad-*"

// SetAside returns the folders into which broken parts of the store were moved, until
// somebody removes them.
func (s *Server) SetAside() []string {
	all, err := filepath.Glob(filepath.Join(s.o.Dir, asidePattern))
	if err != nil {
		return nil // the pattern is ours
	}
	return all
}

func newAside(dir string) string {
	return filepath.Join(dir, "jetstream.bad-"+time.Now().UTC().Format("20060102T150405.000"))
}

// damage is what is wrong with one block of messages.
type damage struct {
	// block is its file, in the folder of its stream.
	stream, block string
	// lost are the bytes that cannot be read, whole what is left without them.
	lost  int
	whole []byte
	// unread is why the disk did not tell all of it, nil if it did.
	unread error
}

// mend looks through all blocks of messages before a server reads them. That one would cut a
// block at the first message which it cannot read, and start as if nothing had happened;
// here what follows is saved, the block is kept as it was, and it is said.
func mend(o Options) error {
	known := readSizes(o.Dir)
	streams, err := filepath.Glob(filepath.Join(o.Dir, server.JetStreamStoreDir, "*", "streams", "*"))
	if err != nil {
		return fmt.Errorf("embedded NATS: %w", err)
	}
	damaged, read, strange := map[string][]damage{}, 0, 0
	for _, stream := range streams {
		path, err := filepath.Rel(o.Dir, stream)
		if err != nil {
			return fmt.Errorf("embedded NATS: %w", err)
		}
		before := known[path]
		if before.Index != indexOf(stream) {
			before = sizes{}
		}
		seen, err := examine(stream, before)
		if err != nil {
			return err
		}
		read, strange = read+seen.read, strange+seen.strange
		if len(seen.damaged) > 0 {
			damaged[stream] = seen.damaged
		}
	}
	if strange > 0 && read == 0 {
		// More likely than a disk without a single whole message is another form of blocks.
		o.Log.Error("no message of the store can be read here, so that damage will not be noticed", "folder", o.Dir)
		clear(damaged)
	}
	aside := newAside(o.Dir)
	for _, stream := range slices.Sorted(maps.Keys(damaged)) {
		if err := repair(o, stream, aside, damaged[stream]); err != nil {
			return fmt.Errorf("embedded NATS: the store of %s is damaged, and cannot be mended: %w", filepath.Base(stream), err)
		}
	}
	return os.RemoveAll(filepath.Join(o.Dir, sizesFile))
}

// examined is what was seen of the blocks of a stream.
type examined struct {
	damaged []damage
	// read are the bytes that could be read, strange those that are there and are no messages.
	read, strange int
}

// isBlock reports whether a file is one that a server takes for a block.
func isBlock(path string) bool {
	_, err := strconv.ParseUint(strings.TrimSuffix(filepath.Base(path), ".blk"), 10, 32)
	return err == nil
}

func examine(stream string, before sizes) (out examined, err error) {
	blocks, err := filepath.Glob(filepath.Join(stream, "msgs", "*.blk"))
	if err != nil {
		return out, fmt.Errorf("embedded NATS: %w", err)
	}
	blocks = slices.DeleteFunc(blocks, func(path string) bool { return !isBlock(path) })
	// Those that are not there any more, too.
	for name := range before.Blocks {
		if block := filepath.Join(stream, "msgs", name); !slices.Contains(blocks, block) {
			blocks = append(blocks, block)
		}
	}
	slices.Sort(blocks)
	for _, block := range blocks {
		key := sha256.Sum256([]byte(filepath.Base(stream) + "-" + strings.TrimSuffix(filepath.Base(block), ".blk")))
		sum, err := highwayhash.New64(key[:])
		if err != nil {
			return out, fmt.Errorf("embedded NATS: %w", err)
		}
		content, unread := os.ReadFile(block)
		if errors.Is(unread, fs.ErrNotExist) {
			unread = nil
		}
		d := damage{stream: filepath.Base(stream), block: filepath.Base(block), unread: unread}
		var torn int
		d.whole, d.lost, torn = readable(sum, content)
		out.read, out.strange = out.read+len(d.whole), out.strange+d.lost
		size, isKnown := before.Blocks[d.block]
		if isKnown || unread != nil {
			// It was whole when the server stopped, or goes on where it cannot be read.
			d.lost += torn
		}
		d.lost += int(max(0, size-int64(len(content))))
		if d.lost > 0 || unread != nil {
			out.damaged = append(out.damaged, d)
		}
	}
	return out, nil
}

// repair keeps aside what is damaged of a stream, as it is, and leaves in its place what could be
// read, or nothing of what is rebuilt by others.
func repair(o Options, stream, aside string, damaged []damage) error {
	path, err := filepath.Rel(filepath.Join(o.Dir, server.JetStreamStoreDir), stream)
	if err != nil {
		return err
	}
	kept := filepath.Join(aside, path)
	consequence := "the other messages are there; components bring back what they have"
	if isRebuilt(filepath.Base(stream)) {
		consequence = "it begins empty, and is written anew"
		err = moveAside(stream, kept)
		if isFull(err) {
			kept, err = notKept, os.RemoveAll(stream)
		}
	} else {
		// The server reads the blocks where there is no index of them. One of when messages end
		// would be that of the messages which get the numbers of lost ones.
		for _, index := range []string{"index.db", "thw.db"} {
			err = errors.Join(err, os.RemoveAll(filepath.Join(stream, "msgs", index)))
		}
		for _, d := range damaged {
			if err != nil {
				break
			}
			var isKept bool
			if isKept, err = replace(filepath.Join(stream, "msgs", d.block), filepath.Join(aside, path, "msgs", d.block), d.whole); !isKept {
				kept = notKept
			}
		}
	}
	if err != nil {
		return err
	}
	for _, d := range damaged {
		words := []any{"stream", d.stream, "block", d.block, "bytes", d.lost, "consequence", consequence, "kept", kept}
		if d.unread != nil {
			words = append(words, "error", d.unread)
		}
		o.Log.Error("the store is damaged: messages are lost", words...)
	}
	return nil
}

func moveAside(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	return os.Rename(from, to)
}

// notKept stands where there is no folder with what was damaged.
const notKept = "nothing, the disk is full"

// replace keeps a block aside and puts a whole one in its place. The block itself is kept and no copy
// of it, which would need room, and to read what cannot be read. On a full disk it is
// not kept, since the bus could not start otherwise.
func replace(block, kept string, whole []byte) (isKept bool, err error) {
	err = os.MkdirAll(filepath.Dir(kept), 0o700)
	if err == nil {
		if err = os.Link(block, kept); err != nil && !isFull(err) && !errors.Is(err, fs.ErrNotExist) {
			err = os.Rename(block, kept) // this kind of disk knows no links
		}
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		_, err = atomicfile.Write(block, whole, 0o600)
	}
	if !isFull(err) {
		return true, err
	}
	if _, err := os.Lstat(block); errors.Is(err, fs.ErrNotExist) {
		if err := os.Rename(kept, block); err != nil {
			return true, err
		}
	}
	if err := os.RemoveAll(kept); err != nil {
		return true, err
	}
	return false, overwrite(block, whole)
}

func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// overwrite writes a content over a longer one, for which there is room.
func overwrite(path string, content []byte) (err error) {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if _, err := file.WriteAt(content, 0); err != nil {
		return err
	}
	if err := file.Truncate(int64(len(content))); err != nil {
		return err
	}
	return file.Sync()
}

// What a message is made of in a block of NATS: its length, number, time and the length of its
// subject; then subject, content and a sum of all that.
const (
	headSize, sumSize = 22, 8
	hasHeaders        = 1 << 31
	// largest is more than a message may have.
	largest = 2 << 20
)

// readable returns a block without what cannot be read of it, and how many bytes that is. A
// message that ends before its end may be one that was being written when the power went or
// the disk was full, and that nobody was told of: its bytes are torn and not lost.
func readable(sum hash.Hash64, content []byte) (whole []byte, lost, torn int) {
	begin := 0 // of what is good and not yet in whole
	for at := 0; at < len(content); {
		if size, ok := message(sum, content[at:]); ok {
			at += size
			continue
		}
		whole = append(whole, content[begin:at]...)
		bad := at
		for at++; at < len(content) && !isMessage(sum, content[at:]); at++ {
		}
		if begin = at; at == len(content) && isCut(content[bad:]) {
			torn = at - bad
		} else {
			lost += at - bad
		}
	}
	return append(whole, content[begin:]...), lost, torn
}

// isCut reports whether a text is shorter than the message that begins there.
func isCut(text []byte) bool {
	return len(text) < headSize+sumSize || int(binary.LittleEndian.Uint32(text)&^hasHeaders) > len(text)
}

// message returns the length of the message at the beginning of a text, if there is one.
func message(sum hash.Hash64, text []byte) (size int, ok bool) {
	if len(text) < headSize+sumSize {
		return 0, false
	}
	length, subject := binary.LittleEndian.Uint32(text), int(binary.LittleEndian.Uint16(text[20:]))
	size = int(length &^ hasHeaders)
	if size < headSize+sumSize || size > len(text) || size > largest {
		return 0, false
	}
	rest := headSize + subject
	if length&hasHeaders != 0 {
		rest += 4
	}
	end := size - sumSize
	if rest > end {
		return 0, false
	}
	sum.Reset()
	for _, part := range [][]byte{text[4:20], text[headSize : headSize+subject], text[rest:end]} {
		if _, err := sum.Write(part); err != nil {
			return 0, false
		}
	}
	return size, bytes.Equal(sum.Sum(nil), text[end:size])
}

// isMessage is message where nothing says that one begins, so that few places are worth a sum: a
// message has a subject of ours, and what says that another one is gone has none.
func isMessage(sum hash.Hash64, text []byte) bool {
	if len(text) < headSize+sumSize {
		return false
	}
	if subject := binary.LittleEndian.Uint16(text[20:]); subject == 0 {
		if binary.LittleEndian.Uint32(text) != headSize+sumSize {
			return false
		}
	} else if rest := text[headSize:]; !bytes.HasPrefix(rest, []byte("$KV.")) && !bytes.HasPrefix(rest, []byte("waggle.")) {
		return false
	}
	_, ok := message(sum, text)
	return ok
}

// noteSizes keeps the sizes of all blocks of a server that has stopped.
func noteSizes(dir string) error {
	blocks, err := filepath.Glob(filepath.Join(dir, server.JetStreamStoreDir, "*", "streams", "*", "msgs", "*.blk"))
	if err != nil {
		return err
	}
	all := map[string]sizes{}
	for _, block := range blocks {
		info, err := os.Stat(block)
		if err != nil {
			return err
		}
		stream := filepath.Dir(filepath.Dir(block))
		path, err := filepath.Rel(dir, stream)
		if err != nil {
			return err
		}
		if _, ok := all[path]; !ok {
			all[path] = sizes{Index: indexOf(stream), Blocks: map[string]int64{}}
		}
		all[path].Blocks[filepath.Base(block)] = info.Size()
	}
	text, err := json.Marshal(all)
	if err != nil {
		return err
	}
	_, err = atomicfile.Write(filepath.Join(dir, sizesFile), text, 0o600)
	return err
}

// indexOf is a sum of the server's index of a stream, empty if there is none.
func indexOf(stream string) string {
	content, err := os.ReadFile(filepath.Join(stream, "msgs", "index.db"))
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// readSizes returns what noteSizes kept, by stream, or nothing after a process that was killed. One
// that cannot be read is as good as none.
func readSizes(dir string) map[string]sizes {
	text, err := os.ReadFile(filepath.Join(dir, sizesFile))
	var all map[string]sizes
	if err != nil || json.Unmarshal(text, &all) != nil {
		return nil
	}
	return all
}
