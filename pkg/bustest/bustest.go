// Package bustest gives tests a real NATS server in their own process.
package bustest

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bus/embedded"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// Server is a server that a test may stop, start again and rob of its store.
type Server struct {
	t    testing.TB
	opts embedded.Options
	s    *embedded.Server
}

// Start starts a server on a free port, which admits everybody; it is stopped when the
// test ends.
func Start(t testing.TB) *Server { return StartWithKeys(t, nil) }

// StartWithKeys is Start with the components' settings of keys: with accounts, which
// are walls, and TLS.
func StartWithKeys(t testing.TB, keys map[string]string) *Server {
	t.Helper()
	s := &Server{t: t, opts: embedded.Options{Dir: t.TempDir(), Host: "127.0.0.1", Port: -1, Keys: keys}}
	s.StartAgain()
	url, err := url.Parse(s.s.URL())
	if err != nil {
		t.Fatal(err)
	}
	if s.opts.Port, err = strconv.Atoi(url.Port()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// Stop stops the server; its store stays.
func (s *Server) Stop() {
	if s.s != nil {
		s.s.Stop()
		s.s = nil
	}
}

// StartAgain starts the stopped server on its old port and store.
func (s *Server) StartAgain() {
	s.t.Helper()
	started, err := embedded.Start(s.opts)
	if err != nil {
		s.t.Fatal(err)
	}
	s.s = started
}

// LoseStore makes the next start begin with an empty store.
func (s *Server) LoseStore() { s.opts.Dir = s.t.TempDir() }

// Keep copies the store as it is on disk at this moment, for Rewind.
func (s *Server) Keep() (backup string) {
	s.t.Helper()
	s.Stop()
	defer s.StartAgain()
	backup = filepath.Join(s.t.TempDir(), "store")
	if err := os.CopyFS(backup, os.DirFS(s.opts.Dir)); err != nil {
		s.t.Fatal(err)
	}
	return backup
}

// Rewind puts the store back to what it was when the backup was made, as after a power
// cut or when a backup is restored, and starts the server again.
func (s *Server) Rewind(backup string) {
	s.t.Helper()
	s.Stop()
	s.opts.Dir = filepath.Join(s.t.TempDir(), "store")
	if err := os.CopyFS(s.opts.Dir, os.DirFS(backup)); err != nil {
		s.t.Fatal(err)
	}
	s.StartAgain()
}

// Damage overwrites on the disk, in each message of a bucket's key, what the message holds, as a
// disk may that goes bad, and starts the server again.
func (s *Server) Damage(bucket, key string) {
	s.t.Helper()
	s.Stop()
	defer s.StartAgain()
	blocks, err := filepath.Glob(filepath.Join(s.opts.Dir, "jetstream", "*", "streams", "KV_"+bucket, "msgs", "*.blk"))
	if err != nil {
		s.t.Fatal(err)
	}
	damaged := 0
	for _, block := range blocks {
		content, err := os.ReadFile(block)
		if err != nil {
			s.t.Fatal(err)
		}
		subject := []byte("$KV." + bucket + "." + key)
		for at := bytes.Index(content, subject); at >= 0; at = bytes.Index(content, subject) {
			copy(content[at:], bytes.Repeat([]byte{'X'}, len(subject)))
			damaged++
		}
		if err := os.WriteFile(block, content, 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	if damaged == 0 {
		s.t.Fatalf("there is nothing of %s/%s to be damaged", bucket, key)
	}
}

// Rekey gives the server other keys from its next start on.
func (s *Server) Rekey(keys map[string]string) { s.opts.Keys = keys }

// URL is where to connect.
func (s *Server) URL() string {
	scheme := "nats"
	if len(s.opts.Keys) > 0 {
		scheme = "tls"
	}
	return scheme + "://127.0.0.1:" + strconv.Itoa(s.opts.Port)
}

// Connect connects as a component; the connection is closed when the test ends.
func (s *Server) Connect(component string) *bus.Bus {
	s.t.Helper()
	b, err := bus.Connect(bus.Options{URL: s.URL(), Component: component, Key: s.opts.Keys[component], Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(b.Close)
	return b
}

// Prepared is Connect as the listener, with the buckets made.
func (s *Server) Prepared() *bus.Bus {
	s.t.Helper()
	b := s.Connect("listener")
	tooltest.Eventually(s.t, "the buckets are made", func() error { return b.Prepare(s.t.Context(), 1) })
	return b
}

// Run runs f in the background until the test ends or stop is called, and waits for it.
func Run(t testing.TB, f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := f(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return stop
}
