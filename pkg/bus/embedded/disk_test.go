package embedded

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// fill puts twenty values into a bucket.
func fill(t *testing.T, b *bus.Bus, bucket string) {
	t.Helper()
	for i := range 20 {
		_, err := b.Bucket(bucket).Put(t.Context(), fmt.Sprint("proxy.", i), bytes.Repeat([]byte("kept "), 20))
		tooltest.Must(t, err)
	}
}

// has tells which of the twenty are there.
func has(t *testing.T, b *bus.Bus, bucket string) (out string) {
	t.Helper()
	for i := range 20 {
		_, _, err := b.Bucket(bucket).Get(t.Context(), fmt.Sprint("proxy.", i))
		switch {
		case err == nil:
			out += "."
		case errors.Is(err, bus.ErrNotFound):
			out += "x"
		default:
			t.Error(err)
		}
	}
	return out
}

const all, none = "....................", "xxxxxxxxxxxxxxxxxxxx"

func msgs(dir, bucket string) string {
	return filepath.Join(dir, "jetstream", "WAGGLE", "streams", "KV_"+bucket, "msgs")
}

// TestABlockThatCannotBeRead: a disk answers with an error where a block lies. The bus starts, other
// streams are whole, and it is said.
func TestABlockThatCannotBeRead(t *testing.T) {
	for _, bucket := range []string{bus.ManualBucket, bus.CatalogBucket} {
		t.Run(bucket, func(t *testing.T) {
			dir := t.TempDir()
			s, b, _ := run(t, dir)
			fill(t, b, bucket)
			fill(t, b, bus.AcceptedBucket)
			b.Close()
			s.Stop()
			block := filepath.Join(msgs(dir, bucket), "1.blk")
			tooltest.Must(t, os.Remove(block))
			// Reading this file is an error of input and output, as of a bad sector.
			tooltest.Must(t, os.Symlink("/proc/self/mem", block))
			for again := range 2 {
				s, b, log := run(t, dir)
				if got := has(t, b, bus.AcceptedBucket); got != all {
					t.Errorf("what was whole: %s", got)
				}
				want := none
				if again > 0 {
					want = all
				}
				if got := has(t, b, bucket); got != want {
					t.Errorf("%s: %s, want %s", bucket, got, want)
				}
				if isSaid := strings.Contains(log.String(), "level=ERROR msg=\"the store "); isSaid != (again == 0) || len(s.SetAside()) != 1 {
					t.Errorf("start %d: %v\n%s", again, s.SetAside(), log)
				}
				fill(t, b, bucket)
				b.Close()
				s.Stop()
			}
		})
	}
}

// TestDamageOnAFullDisk: there is no room to keep a damaged stream aside. The bus starts nevertheless,
// and what can be read is there.
func TestDamageOnAFullDisk(t *testing.T) {
	dir := smallDisk(t)
	s, b, _ := run(t, dir)
	fill(t, b, bus.ManualBucket)
	fill(t, b, bus.AcceptedBucket)
	_, err := b.Bucket(bus.ManualBucket).Put(t.Context(), "proxy.large", make([]byte, 300_000))
	tooltest.Must(t, err)
	b.Close()
	s.Stop()
	scratch(t, dir, bus.ManualBucket, "proxy.7")
	ballast := fillUp(t, dir)
	log := &tooltest.Log{}
	for range 2 {
		s, err := Start(Options{Dir: dir, Keys: keys, Log: slog.New(slog.NewTextHandler(log, nil))})
		tooltest.Must(t, err)
		s.Stop()
	}
	tooltest.Must(t, os.Remove(ballast))
	s, b, _ = run(t, dir)
	defer s.Stop()
	defer b.Close()
	if got := has(t, b, bus.ManualBucket); got != ".......x............" {
		t.Errorf("%s\n%s", got, log)
	}
	if got := has(t, b, bus.AcceptedBucket); got != all {
		t.Errorf("what was whole: %s", got)
	}
	if got := strings.Count(log.String(), "the store is damaged"); got != 1 || !strings.Contains(log.String(), notKept) {
		t.Errorf("it was said %d times:\n%s", got, log)
	}
}

// TestEveryBlockIsEmpty: after a power cut a disk has all files, and nothing in them. That is no other
// form of blocks, and is said.
func TestEveryBlockIsEmpty(t *testing.T) {
	dir := t.TempDir()
	s, b, _ := run(t, dir)
	fill(t, b, bus.ManualBucket)
	b.Close()
	s.Stop()
	blocks, err := filepath.Glob(filepath.Join(msgs(dir, "*"), "*.blk"))
	tooltest.Must(t, err)
	for _, block := range blocks {
		tooltest.Must(t, os.Truncate(block, 0))
	}
	s, b, log := run(t, dir)
	defer s.Stop()
	defer b.Close()
	if got := has(t, b, bus.ManualBucket); got != none {
		t.Errorf("%s", got)
	}
	if len(s.SetAside()) != 1 || !strings.Contains(log.String(), "the store is damaged") || strings.Contains(log.String(), "will not be noticed") {
		t.Errorf("%v\n%s", s.SetAside(), log)
	}
}

// TestFilesThatAreNoBlocks: what somebody has put beside the blocks is not taken for a damaged one.
func TestFilesThatAreNoBlocks(t *testing.T) {
	dir := t.TempDir()
	s, b, _ := run(t, dir)
	fill(t, b, bus.CatalogBucket)
	b.Close()
	s.Stop()
	folder := msgs(dir, bus.CatalogBucket)
	content, err := os.ReadFile(filepath.Join(folder, "1.blk"))
	tooltest.Must(t, err)
	tooltest.Must(t, os.WriteFile(filepath.Join(folder, "copy.blk"), content, 0o600))
	tooltest.Must(t, os.WriteFile(filepath.Join(folder, "1.blk.tmp"), content[:100], 0o600))
	s, b, log := run(t, dir)
	defer s.Stop()
	defer b.Close()
	if got := has(t, b, bus.CatalogBucket); got != all {
		t.Errorf("%s", got)
	}
	if len(s.SetAside()) != 0 || strings.Contains(log.String(), "ERROR") {
		t.Errorf("%v\n%s", s.SetAside(), log)
	}
}

// TestANumberThatIsUsedTwice: the last message of a stream, which had an end, is damaged. The next one
// gets its number, and has no end.
func TestANumberThatIsUsedTwice(t *testing.T) {
	dir := t.TempDir()
	s, b, _ := run(t, dir)
	fill(t, b, bus.ManualBucket)
	first, err := b.Bucket(bus.ManualBucket).Put(t.Context(), "proxy.ends", bytes.Repeat([]byte("short "), 20), bus.WithTTL(4*time.Second))
	tooltest.Must(t, err)
	b.Close()
	s.Stop()
	scratch(t, dir, bus.ManualBucket, "proxy.ends")
	s, b, log := run(t, dir)
	defer s.Stop()
	defer b.Close()
	second, err := b.Bucket(bus.ManualBucket).Put(t.Context(), "proxy.stays", []byte("for ever"))
	tooltest.Must(t, err)
	if first != second {
		t.Errorf("number %d, and %d before\n%s", second, first, log)
	}
	_, err = b.Bucket(bus.ManualBucket).Put(t.Context(), "proxy.later", []byte("short"), bus.WithTTL(5*time.Second))
	tooltest.Must(t, err)
	tooltest.Eventually(t, "what comes later ends", func() error {
		if _, _, err := b.Bucket(bus.ManualBucket).Get(t.Context(), "proxy.later"); !errors.Is(err, bus.ErrNotFound) {
			return fmt.Errorf("it is there: %v", err)
		}
		return nil
	})
	if _, _, err := b.Bucket(bus.ManualBucket).Get(t.Context(), "proxy.stays"); err != nil {
		t.Error(err)
	}
}
