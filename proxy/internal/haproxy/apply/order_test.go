package apply_test

import (
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/apply"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/runtime"
)

// overheard is what has been said to HAProxy's socket through another one.
type overheard struct {
	mu   sync.Mutex // connections are copied side by side
	text strings.Builder
}

// Write adds what is said.
func (o *overheard) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

// since returns what was said, and forgets it.
func (o *overheard) since() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer o.text.Reset()
	return o.text.String()
}

// overhear listens beside HAProxy's socket, and hands all on to it.
func overhear(t *testing.T, stats string) (path string, o *overheard) {
	t.Helper()
	path, o = filepath.Join(filepath.Dir(stats), "relay.sock"), &overheard{}
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); wait.Wait() })
	wait.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			var d net.Dialer
			to, err := d.DialContext(t.Context(), "unix", stats)
			if err != nil {
				_ = conn.Close()
				continue
			}
			wait.Go(func() {
				_, _ = io.Copy(to, io.TeeReader(conn, o))
				_ = to.(*net.UnixConn).CloseWrite()
			})
			wait.Go(func() {
				_, _ = io.Copy(conn, to)
				_, _ = conn.Close(), to.Close()
			})
		}
	})
	return path, o
}

// TestNothingIsFoundBeforeItLeadsSomewhere: a wildcard comes after its paths, so that its
// hosts are served at every moment, by who had them or by who gets them.
func TestNothingIsFoundBeforeItLeadsSomewhere(t *testing.T) {
	w := newWorld(t)
	path, said := overhear(t, w.hap.Stats)
	w.h = apply.New(apply.Options{
		Binary: tooltest.Path(t, "haproxy"), Dir: w.hap.Dir,
		Worker: runtime.New(path), Master: runtime.NewMaster(w.hap.Master), Log: slog.New(slog.DiscardHandler),
	})
	w.deploy("a", []string{"127.0.0.2"}, "serviceDomain", "*.acme.com")
	w.apply()
	said.since()
	w.deploy("b", []string{"127.0.0.3"}, "serviceDomain", "*.eu.acme.com,one.acme.com")
	if res := w.apply(); res.Reload != "" {
		t.Fatalf("a reload (%s), want a change", res.Reload)
	}
	words := said.since()
	last := -1
	for _, step := range []string{"add backend b-", "add map " + filepath.Join(w.hap.Dir, "paths.map"), "prepare map " + filepath.Join(w.hap.Dir, "wildcards.map"), "add map " + filepath.Join(w.hap.Dir, "hosts.map")} {
		at := strings.Index(words, step)
		if at <= last {
			t.Fatalf("%q comes at %d, after %d of what must follow it:\n%s", step, at, last, words)
		}
		last = at
	}
	w.want("x.eu.acme.com", "/", "3")
	w.want("x.acme.com", "/", "2")
}
