package apply_test

import (
	"fmt"
	"log/slog"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/apply"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/render"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/runtime"
	"github.com/wagglehq/waggle/proxy/internal/haproxytest"
)

// TestConnectionsFollowTheLimitOfOpenFiles: without a number HAProxy takes nearly half
// of the files, but never so many that it needs memory for a million of them.
func TestConnectionsFollowTheLimitOfOpenFiles(t *testing.T) {
	var own syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &own); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ files, least, most int }{
		{1024, 450, 512}, {4096, 1900, 2048}, {0, int(min(own.Max, 200000) * 2 / 5), 100000},
	} {
		t.Run(fmt.Sprint(c.files), func(t *testing.T) {
			hap := haproxytest.New(t)
			hap.Files = c.files
			haproxytest.StartEmpty(t, hap, hap.Settings())
			info, err := runtime.New(hap.Stats).ShowInfo(t.Context())
			if err != nil || info.MaxConn < c.least || info.MaxConn > c.most {
				t.Errorf("%d connections (%v), want %d to %d", info.MaxConn, err, c.least, c.most)
			}
		})
	}
}

// TestOldWorkersAreCounted: a worker that still has a connection after a reload shows
// in the metrics, with its age, until the connection ends.
func TestOldWorkersAreCounted(t *testing.T) {
	w := newWorld(t, func(s *render.Settings) { s.HardStopAfter = 0 })
	registry := w.measured()
	port := freePort(t)
	w.deploy("tcp", []string{"127.0.0.2"}, "reqMode", "tcp", "srcPort", port, "port", serve(t, greeter, "127.0.0.2"))
	w.apply()
	conn, err := open(t, port)
	if err != nil {
		t.Fatal(err)
	}
	if line, err := conn.ReadString('\n'); err != nil || line != "2\n" {
		t.Fatalf("greeted by %q (%v)", line, err)
	}
	w.deploy("other", []string{"127.0.0.3"}, "servicePath", "/other", "timeoutServer", "7")
	w.step("another service that costs a reload", true)
	tooltest.Within(t, 10*time.Second, "one old worker, some seconds old", func() error {
		if n, age := gauge(t, registry, "waggle_proxy_old_workers"), gauge(t, registry, "waggle_proxy_oldest_worker_seconds"); n != 1 || age < 1 {
			return fmt.Errorf("%v, %v s", n, age)
		}
		return nil
	})
	_ = conn.Conn.Close()
	tooltest.Within(t, 10*time.Second, "none", func() error {
		if n, age := gauge(t, registry, "waggle_proxy_old_workers"), gauge(t, registry, "waggle_proxy_oldest_worker_seconds"); n != 0 || age != 0 {
			return fmt.Errorf("%v, %v s", n, age)
		}
		return nil
	})
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("metrics: %v (%v)", problems, err)
	}
}

// measured gives the world another applier, with metrics.
func (w *world) measured() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	w.h = apply.New(apply.Options{
		Binary: tooltest.Path(w.t, "haproxy"), Dir: w.hap.Dir, Registry: registry,
		Worker: runtime.New(w.hap.Stats), Master: runtime.NewMaster(w.hap.Master), Log: slog.New(slog.DiscardHandler),
	})
	return registry
}

// gauge is the value of a metric without labels.
func gauge(t *testing.T, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// TestAFileThatHAProxyWouldNotStartWithIsMeasured: until it is right again.
func TestAFileThatHAProxyWouldNotStartWithIsMeasured(t *testing.T) {
	w := newWorld(t)
	registry := w.measured()
	w.deploy("web", []string{"127.0.0.2"}, "servicePath", "/")
	w.apply()
	good, err := os.ReadFile(w.hap.Config)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what    string
		text    string
		refused float64
	}{
		{"as it was written", string(good), 0},
		{"with a line of nobody's", string(good) + "\nbackend broken\n  no such line\n", 1},
		{"as before", string(good), 0},
	} {
		w.hap.Write(t, c.text)
		if err := w.h.CheckFile(t.Context()); (err != nil) != (c.refused == 1) {
			t.Errorf("%s: %v", c.what, err)
		}
		if got := gauge(t, registry, "waggle_proxy_file_refused"); got != c.refused {
			t.Errorf("%s: waggle_proxy_file_refused is %v, want %v", c.what, got, c.refused)
		}
	}
}
