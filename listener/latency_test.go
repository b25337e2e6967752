package listener

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/dockertest"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// BenchmarkALabelChangeIsReadable is the time from a change in the swarm, of one service of
// some, until a consumer of the listener's own bus, with TLS and each write on disk, reads
// it; p50-ms is the median.
func BenchmarkALabelChangeIsReadable(b *testing.B) {
	for _, services := range []int{20, 200} {
		b.Run(fmt.Sprintf("%d_services", services), func(b *testing.B) { labelChanges(b, services) })
	}
}

func labelChanges(b *testing.B, services int) {
	b.Helper()
	swarm := dockertest.New(b)
	for i := range services {
		svc := web("servicePath", "/0")
		svc.Name = fmt.Sprintf("shop_%d", i)
		swarm.Create(svc)
	}
	port := tooltest.FreePort(b)
	c := Config{
		DockerHost: swarm.Host(), Resync: 30 * time.Second, NATSReplicas: 1, DataDir: b.TempDir(), NATSHost: "127.0.0.1", NATSPort: port,
		KeyListener: "the-secret-of-the-listener", KeyProxy: "the-secret-of-the-proxy", KeyMonitor: "the-secret-of-the-monitor", KeyScaler: "the-secret-of-the-scaler",
	}
	consumer, err := bus.Connect(bus.Options{URL: fmt.Sprintf("tls://127.0.0.1:%d", port), Component: "proxy", Key: "the-secret-of-the-proxy"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(consumer.Close)
	news := make(chan struct{}, 1)
	seen := consumer.Catalog(func() {
		select {
		case news <- struct{}{}:
		default:
		}
	})
	bustest.Run(b, seen.Run)
	sh := app.Shell{Name: "listener", Version: "test", Admin: fmt.Sprintf("127.0.0.1:%d", tooltest.FreePort(b)), Registry: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler)}
	bustest.Run(b, func(ctx context.Context) error { return Run(ctx, c, sh) })
	id := swarm.ID("shop_0")
	reads := func(path string) {
		end := time.After(10 * time.Second)
		for {
			if s, ok := seen.Snapshot(); ok && len(s.Services) == services && s.Services[id].Labels["com.df.servicePath"] == path {
				return
			}
			select {
			case <-news:
			case <-end:
				b.Fatalf("%s is not there after 10 s", path)
			}
		}
	}
	reads("/0")
	var took []time.Duration
	for b.Loop() {
		// Changes that follow each other at once are gathered for 10 ms.
		if err := tooltest.Pause(b.Context(), 50*time.Millisecond); err != nil {
			b.Fatal(err)
		}
		path := "/" + strconv.Itoa(len(took)+1)
		began := time.Now()
		swarm.Relabel("shop_0", map[string]string{"com.df.notify": "true", "com.df.servicePath": path})
		reads(path)
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
}
