package listener

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/dockertest"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// TestADamagedStoreOfTheListener: bytes of the catalog and of the accepted labels are overwritten while the
// listener is down. Nobody takes what is lost for removed, the catalog is whole again, what could
// be read of the rest is there, and it is said.
func TestADamagedStoreOfTheListener(t *testing.T) {
	swarm := dockertest.New(t)
	names := []string{}
	for i := range 5 {
		name := fmt.Sprint("web", i)
		swarm.Create(dockertest.Service{Name: name, Replicas: 1, Labels: map[string]string{catalog.Notify: "true"}})
		names = append(names, name)
	}
	port := tooltest.FreePort(t)
	c := Config{
		DockerHost: swarm.Host(), Resync: 30 * time.Second, NATSReplicas: 1, DataDir: t.TempDir(), NATSHost: "127.0.0.1", NATSPort: port,
		KeyListener: "the-secret-of-the-listener", KeyProxy: "the-secret-of-the-proxy", KeyMonitor: "the-secret-of-the-monitor", KeyScaler: "the-secret-of-the-scaler",
	}
	h := &house{t: t, swarm: swarm, admin: fmt.Sprintf("127.0.0.1:%d", tooltest.FreePort(t))}
	proxy, err := bus.Connect(bus.Options{URL: fmt.Sprintf("tls://127.0.0.1:%d", port), Component: "proxy", Key: string(c.KeyProxy)})
	tooltest.Must(t, err)
	t.Cleanup(proxy.Close)
	fewest := len(names)
	h.catalog = proxy.Catalog(func() {
		if s, ok := h.catalog.Snapshot(); ok && len(s.Services) > 0 {
			fewest = min(fewest, len(s.Services))
		}
	})
	h.stop = start(t, c, h.admin, h.reads)
	follow := bustest.Run(t, h.catalog.Run)
	h.sees("all", func(s catalog.Snapshot) bool { return len(s.Services) == 5 })
	for _, name := range names {
		_, err := proxy.Bucket(bus.AcceptedBucket).Put(t.Context(), "proxy."+name, []byte(`{"kept": true}`))
		tooltest.Must(t, err)
	}
	h.stop()
	for bucket, key := range map[string]string{bus.CatalogBucket: "service.", bus.AcceptedBucket: "proxy.web2"} {
		blocks, err := filepath.Glob(filepath.Join(c.DataDir, "jetstream", bus.Account, "streams", "KV_"+bucket, "msgs", "*.blk"))
		tooltest.Must(t, err)
		damaged := 0
		for _, path := range blocks {
			content, err := os.ReadFile(path)
			tooltest.Must(t, err)
			if at := bytes.Index(content, []byte(key)); at >= 0 {
				copy(content[at:], "XXXXXXXX")
				damaged++
			}
			tooltest.Must(t, os.WriteFile(path, content, 0o600))
		}
		if damaged == 0 {
			t.Fatalf("nothing of %s to damage in %v", bucket, blocks)
		}
	}
	h.stop = start(t, c, h.admin, h.reads)
	h.seesServices(names...)
	h.healthy(true)
	follow()
	if fewest < len(names) {
		t.Errorf("for a while there were only %d services", fewest)
	}
	for _, name := range names {
		_, _, err := proxy.Bucket(bus.AcceptedBucket).Get(t.Context(), "proxy."+name)
		if isLost := err != nil; isLost != (name == "web2") {
			t.Errorf("%s: %v", name, err)
		}
	}
	res, err := http.Get("http://" + h.admin + "/metrics") //nolint:noctx // the test ends with its deadline
	tooltest.Must(t, err)
	defer func() { _ = res.Body.Close() }()
	metrics, err := io.ReadAll(res.Body)
	tooltest.Must(t, err)
	if !bytes.Contains(metrics, []byte("\nwaggle_listener_store_set_aside 1\n")) {
		t.Error("the metric does not tell")
	}
}
