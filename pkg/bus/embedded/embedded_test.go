package embedded

import (
	"context"
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

var keys = map[string]string{
	"listener": "0123456789abcdef-l", "proxy": "0123456789abcdef-p", "monitor": "0123456789abcdef-m", "scaler": "0123456789abcdef-s",
}

func run(t *testing.T, dir string) (*Server, *bus.Bus, *tooltest.Log) {
	t.Helper()
	log := &tooltest.Log{}
	s, err := Start(Options{Dir: dir, Keys: keys, Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	b, err := bus.Connect(bus.Options{Component: "listener", Key: keys["listener"], InProcess: s.InProcess()})
	if err != nil {
		t.Fatal(err)
	}
	tooltest.Eventually(t, "the buckets are made", func() error { return b.Prepare(t.Context(), 1) })
	return s, b, log
}

func TestOneProcessPerFolder(t *testing.T) {
	dir := t.TempDir()
	first, b, _ := run(t, dir)
	b.Close()
	if _, err := lockFolder(dir, 200*time.Millisecond); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), dir) {
		t.Fatalf("a second one: %v, want ErrInUse with the folder's name", err)
	}
	// The next one waits for the last one, as an update has it.
	started := make(chan error, 1)
	var second *Server
	go func() {
		var err error
		second, err = Start(Options{Dir: dir, Keys: keys})
		started <- err
	}()
	first.Stop()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	second.Stop()
}

// Each of the accidents that a disk may have leaves a bus that can be written, and
// what cannot be read is kept beside.
func TestABrokenStore(t *testing.T) {
	overwrite := func(pattern string, change func(path string) error) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			paths, err := filepath.Glob(filepath.Join(dir, "jetstream", "WAGGLE", "streams", "KV_"+bus.ManualBucket, pattern))
			if err != nil || len(paths) == 0 {
				t.Fatalf("nothing to break: %v", err)
			}
			for _, path := range paths {
				if err := change(path); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	garbage := func(path string) error { return os.WriteFile(path, []byte("garbage"), 0o600) }
	for name, c := range map[string]struct {
		damage func(t *testing.T, dir string)
		aside  bool
	}{
		"settings overwritten": {overwrite("meta.inf", garbage), true},
		"settings gone":        {overwrite("meta.*", os.Remove), true},
		"block cut":            {overwrite("msgs/*.blk", func(path string) error { return os.Truncate(path, 30) }), true},
		"block overwritten":    {overwrite("msgs/*.blk", garbage), true},
		"block gone":           {overwrite("msgs/*.blk", os.Remove), true},
		"index overwritten":    {overwrite("msgs/index.db", garbage), false},
		"nothing":              {func(*testing.T, string) {}, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s, b, _ := run(t, dir)
			for i := range 20 {
				if _, err := b.Bucket(bus.ManualBucket).Put(t.Context(), fmt.Sprint("proxy.", i), []byte("kept")); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := b.Bucket(bus.AcceptedBucket).Put(t.Context(), "proxy.1", []byte("whole")); err != nil {
				t.Fatal(err)
			}
			b.Close()
			s.Stop()
			c.damage(t, dir)
			s, b, log := run(t, dir)
			defer s.Stop()
			defer b.Close()
			tooltest.Eventually(t, "the bus can be written", func() error {
				_, err := b.Bucket(bus.ManualBucket).Put(t.Context(), "proxy.new", []byte("x"))
				return err
			})
			if value, _, err := b.Bucket(bus.AcceptedBucket).Get(t.Context(), "proxy.1"); err != nil || string(value) != "whole" {
				t.Errorf("what was not broken: %q, %v", value, err)
			}
			moved, err := filepath.Glob(filepath.Join(dir, "jetstream.bad-*"))
			if err != nil || (len(moved) == 1) != c.aside {
				t.Errorf("moved aside: %v (%v), want one: %v\n%s", moved, err, c.aside, log)
			}
			if c.aside && !strings.Contains(log.String(), "level=ERROR msg=\"the store ") {
				t.Errorf("it was not said:\n%s", log)
			}
			if err := s.Healthy(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAFullDisk(t *testing.T) {
	dir := smallDisk(t)
	s, b, log := run(t, dir)
	defer s.Stop()
	defer b.Close()
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 18<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	put := func(key string, size int) error {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		_, err := b.Bucket(bus.ManualBucket).Put(ctx, key, make([]byte, size))
		return err
	}
	if err := put("proxy.before", 10); err != nil {
		t.Fatal(err)
	}
	tooltest.Eventually(t, "a write fails", func() error {
		for i := range 30 {
			if put(fmt.Sprint("proxy.", i), 400<<10) != nil {
				return nil
			}
		}
		return errors.New("there is still room")
	})
	tooltest.Eventually(t, "the server is not healthy", func() error {
		if s.Healthy() == nil {
			return errors.New("healthy")
		}
		return nil
	})
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	tooltest.Eventually(t, "the server is healthy again", s.Healthy)
	tooltest.Eventually(t, "and can be written again", func() error { return put("proxy.after", 10) })
	if _, _, err := b.Bucket(bus.ManualBucket).Get(t.Context(), "proxy.before"); err != nil {
		t.Errorf("what was there before: %v\n%s", err, log)
	}
}
