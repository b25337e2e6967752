package runtime_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/runtime"
	"github.com/wagglehq/waggle/proxy/internal/haproxytest"
)

// BenchmarkBatch measures what a new task costs: a server, its start, an entry.
func BenchmarkBatch(b *testing.B) {
	c := runtime.New(haproxytest.Start(b, routed).Stats)
	addr := netip.MustParseAddrPort("127.0.0.1:9")
	for i := 0; b.Loop(); i++ {
		server := fmt.Sprintf("s%d", i)
		err := c.Do(b.Context(),
			runtime.AddServer("one", server, addr), runtime.EnableServer("one", server),
			runtime.AddMapEntries("virt@paths", runtime.Entry{Key: "/" + server, Value: "one"}))
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBackend measures what a new service costs without a reload.
func BenchmarkBackend(b *testing.B) {
	c := runtime.New(haproxytest.Start(b, routed).Stats)
	addr := netip.MustParseAddrPort("127.0.0.1:9")
	for i := 0; b.Loop(); i++ {
		backend := fmt.Sprintf("new%d", i)
		err := c.Do(b.Context(),
			runtime.AddBackend(backend, "base"), runtime.AddServer(backend, "s", addr), runtime.EnableServer(backend, "s"),
			runtime.PublishBackend(backend),
			runtime.AddMapEntries("virt@paths", runtime.Entry{Key: "/" + backend, Value: backend}))
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReload measures a reload until HAProxy says that it is done.
func BenchmarkReload(b *testing.B) {
	for _, n := range []int{10, 200, 1000} {
		b.Run(fmt.Sprint(n, " backends"), func(b *testing.B) {
			var config strings.Builder
			config.WriteString(routed)
			for i := range n {
				fmt.Fprintf(&config, "backend b%d from base\n  server s1 127.0.0.1:1\n  server s2 127.0.0.1:2\n", i)
			}
			m := runtime.NewMaster(haproxytest.Start(b, config.String()).Master)
			var worst time.Duration
			for b.Loop() {
				begin := time.Now()
				if _, err := m.Reload(b.Context()); err != nil {
					b.Fatal(err)
				}
				worst = max(worst, time.Since(begin))
			}
			b.ReportMetric(float64(worst.Milliseconds()), "ms-worst")
		})
	}
}
