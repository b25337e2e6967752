package proxy

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// statics are the variables of one good static service, one that a service of the
// swarm replaces, one at fault and one that has no name.
func (h *house) statics() []string {
	port := fmt.Sprint(h.upstream)
	return []string{
		"DFP_SERVICE_1_SERVICE_NAME=ext1", "DFP_SERVICE_1_SERVICE_PATH=/e1", "DFP_SERVICE_1_PORT=" + port, "DFP_SERVICE_1_OUTBOUND_HOSTNAME=127.0.0.3",
		"DFP_SERVICE_2_SERVICE_NAME=web", "DFP_SERVICE_2_SERVICE_PATH=/static", "DFP_SERVICE_2_PORT=" + port,
		"DFP_SERVICE_3_SERVICE_NAME=broken", "DFP_SERVICE_3_SERVICE_PATH=broken", "DFP_SERVICE_3_PORT=" + port,
		"DFP_SERVICE_4_PORT=1",
	}
}

func TestStaticServices(t *testing.T) {
	h := newHouse(t)
	h.config.Environ = h.statics()
	h.supervised()
	h.dns.set("web", "127.0.0.2")
	h.deploy("web", "/a")
	h.run()
	h.answers("/e1", "127.0.0.3")
	h.answers("/a", "127.0.0.2")
	h.answers("/static", "503")
	h.says("ext1", `"state": "applied"`, "/e1", "127.0.0.3")
	h.says("web", `"state": "applied"`)
	h.says("broken", "rejected", "com.df.servicePath", "broken")
	h.says("DFP_SERVICE_4", "rejected", "DFP_SERVICE_4_SERVICE_NAME")
	// It is the oldest, so that a service of the swarm cannot take its route.
	h.deploy("thief", "/e1")
	h.says("thief", "rejected", "belongs to ext1")
	// Without the swarm's service the variables of its name are in force.
	h.remove("web")
	h.answers("/static", "127.0.0.2")

	tooltest.Eventually(t, "the state on disk is that of the swarm alone", func() error {
		text, err := os.ReadFile(filepath.Join(h.config.DataDir, "services.json"))
		if err == nil && (strings.Contains(string(text), "ext1") || strings.Contains(string(text), "web")) {
			err = errors.New(string(text))
		}
		return err
	})
	b := h.bus.Connect("proxy")
	accepted := b.Accepted(func() {})
	bustest.Run(t, accepted.Run)
	statuses := b.Bucket(bus.StatusBucket).Mirror("proxy.>", func() {})
	bustest.Run(t, statuses.Run)
	tooltest.Eventually(t, "the bus knows the swarm's services alone", func() error {
		services, ok := accepted.Services()
		values, okStatuses := statuses.Values()
		// What has been removed stays accepted for a minute, in case it comes back.
		delete(services, "id-web")
		thief := slices.ContainsFunc(slices.Collect(maps.Keys(values)), func(key string) bool { return strings.HasSuffix(key, ".id-thief") })
		if !ok || !okStatuses || !thief || len(services) != 0 || len(values) != 1 {
			return fmt.Errorf("accepted: %v, %v; statuses %v, %v", services, ok, values, okStatuses)
		}
		return nil
	})
}

func TestStaticServicesNeedNoBus(t *testing.T) {
	h := newHouse(t)
	h.config.Environ = h.statics()
	h.bus.Stop()
	h.supervised()
	h.run()
	h.answers("/e1", "127.0.0.3")
	res, err := http.Get("http://" + h.admin + "/healthz") //nolint:noctx // answered at once.
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("healthy before the catalog has been seen: %d", res.StatusCode)
	}
	h.bus.StartAgain()
	h.prepareAgain()
	h.dns.set("web", "127.0.0.2")
	h.deploy("web", "/a")
	h.answers("/a", "127.0.0.2")
	h.answers("/e1", "127.0.0.3")
}
