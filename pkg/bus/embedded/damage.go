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
	"strings"
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
}

// mend looks through all blocks of messages before a server reads them. That one would cut a
// block at the first message which it cannot read, and start as if nothing had happened;
// here what follows is saved, the block is kept as it was, and it is said.
func mend(o Options) error {
	known, err := readSizes(o.Dir)
	if err != nil {
		return err
	}
	streams, err := filepath.Glob(filepath.Join(o.Dir, server.JetStreamStoreDir, "*", "streams", "*"))
	if err != nil {
		return fmt.Errorf("embedded NATS: %w", err)
	}
	damaged, isKnown := map[string][]damage{}, false
	for _, stream := range streams {
		path, err := filepath.Rel(o.Dir, stream)
		if err != nil {
			return fmt.Errorf("embedded NATS: %w", err)
		}
		before := known[path]
		if before.Index != indexOf(stream) {
			before = sizes{}
		}
		blocks, read, err := examine(stream, before)
		if err != nil {
			return err
		}
		isKnown = isKnown || read > 0
		if len(blocks) > 0 {
			damaged[stream] = blocks
		}
	}
	if len(damaged) > 0 && !isKnown {
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

// examine returns what is wrong with the blocks of a stream, and how many of their bytes could be
// read.
func examine(stream string, before sizes) (out []damage, read int, err error) {
	blocks, err := filepath.Glob(filepath.Join(stream, "msgs", "*.blk"))
	if err != nil {
		return nil, 0, fmt.Errorf("embedded NATS: %w", err)
	}
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
			return nil, 0, fmt.Errorf("embedded NATS: %w", err)
		}
		content, err := os.ReadFile(block)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, 0, fmt.Errorf("embedded NATS: %w", err)
		}
		whole, lost, torn := readable(sum, content)
		read += len(whole)
		if size, ok := before.Blocks[filepath.Base(block)]; ok {
			// It was whole when the server stopped.
			lost += torn + int(max(0, size-int64(len(content))))
		}
		if lost > 0 {
			out = append(out, damage{stream: filepath.Base(stream), block: filepath.Base(block), lost: lost, whole: whole})
		}
	}
	return out, read, nil
}

// repair keeps the stream as it is aside, and leaves in its place what could be read, or nothing of
// what is rebuilt by others.
func repair(o Options, stream, aside string, damaged []damage) error {
	path, err := filepath.Rel(filepath.Join(o.Dir, server.JetStreamStoreDir), stream)
	if err != nil {
		return err
	}
	kept := filepath.Join(aside, path)
	if err := os.MkdirAll(filepath.Dir(kept), 0o700); err != nil {
		return err
	}
	consequence := "the other messages are there; components bring back what they have"
	if isRebuilt(filepath.Base(stream)) {
		consequence = "it begins empty, and is written anew"
		if err := os.Rename(stream, kept); err != nil {
			return err
		}
	} else {
		if err := os.CopyFS(kept, os.DirFS(stream)); err != nil {
			return err
		}
		// The server reads the blocks where there is no index of them.
		if err := os.RemoveAll(filepath.Join(stream, "msgs", "index.db")); err != nil {
			return err
		}
		for _, d := range damaged {
			if _, err := atomicfile.Write(filepath.Join(stream, "msgs", d.block), d.whole, 0o600); err != nil {
				return err
			}
		}
	}
	for _, d := range damaged {
		o.Log.Error("the store is damaged: messages are lost", "stream", d.stream, "block", d.block, "bytes", d.lost, "consequence", consequence, "kept", kept)
	}
	return nil
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

// readSizes returns what noteSizes kept, by stream, or nothing after a process that was killed.
func readSizes(dir string) (map[string]sizes, error) {
	text, err := os.ReadFile(filepath.Join(dir, sizesFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("embedded NATS: %w", err)
	}
	var all map[string]sizes
	if json.Unmarshal(text, &all) != nil {
		return nil, nil //nolint:nilerr // As good as none.
	}
	return all, nil
}
