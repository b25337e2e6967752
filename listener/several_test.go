package listener

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/dockertest"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// beside starts a further listener on the same bus; the house goes on asking the first.
func (h *house) beside(instance string, changes ...func(*Config)) (admin string, stop func()) {
	h.t.Helper()
	first, firstStop := h.admin, h.stop
	defer func() { h.admin, h.stop = first, firstStop }()
	h.run(append([]func(*Config){func(c *Config) { c.Instance = instance }}, changes...)...)
	return h.admin, h.stop
}

type about struct {
	Leads                  bool
	Leader, Failure, Blind string
}

// leads waits until a listener is the one that writes, and returns how long that took.
func (h *house) leads(instance string) time.Duration {
	h.t.Helper()
	start := time.Now()
	tooltest.Eventually(h.t, instance+" leads", func() error {
		var got about
		if h.get("/v1/catalog", &got); got.Leader != instance {
			return fmt.Errorf("%q does: %+v", got.Leader, got)
		}
		return nil
	})
	return time.Since(start)
}

// recorder sees each write to the catalog.
type recorder struct {
	t testing.TB
	// mu guards the rest: the reader of the bucket writes, the test asks.
	mu      sync.Mutex
	last    map[string]bus.Value
	deleted []string
	older   []string
}

// record begins to record. At the end of the test no entry may have been older than one
// before it.
func (h *house) record() *recorder {
	h.t.Helper()
	r := &recorder{t: h.t}
	var m *bus.Mirror
	m = h.consume.Bucket(bus.CatalogBucket).Mirror(">", func() {
		if values, ok := m.Values(); ok {
			r.note(values)
		}
	})
	bustest.Run(h.t, m.Run)
	tooltest.Eventually(h.t, "what is there is recorded", func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.last == nil {
			return errors.New("nothing yet")
		}
		return nil
	})
	h.t.Cleanup(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.older) > 0 {
			h.t.Errorf("older after newer: %s", strings.Join(r.older, ", "))
		}
	})
	return r
}

func (r *recorder) note(values map[string]bus.Value) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, old := range r.last {
		now, ok := values[key]
		switch {
		case !ok:
			r.deleted = append(r.deleted, key)
		case now.Index < old.Index:
			r.older = append(r.older, fmt.Sprintf("%s: %d after %d", key, now.Index, old.Index))
		}
	}
	r.last = values
}

// deletedOnly fails unless these services, and no others, were deleted. The recorder may hear of
// it a moment after those who look at the catalog.
func (r *recorder) deletedOnly(ids ...string) {
	r.t.Helper()
	slices.Sort(ids)
	tooltest.Eventually(r.t, fmt.Sprintf("%v is deleted, and nothing else", ids), func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		var got []string
		for _, key := range r.deleted {
			if id, ok := strings.CutPrefix(key, catalog.ServiceKey("")); ok {
				got = append(got, id)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, ids) {
			return fmt.Errorf("deleted %v", got)
		}
		return nil
	})
}

func TestOfSeveralListenersOneWrites(t *testing.T) {
	h := newHouse(t)
	h.swarm.Create(web("unheardOf", "x"))
	h.run()
	h.leads("l1")
	h.seesServices("shop_web")
	r := h.record()
	admin, _ := h.beside("l2")
	first := h.stop
	for i := range 20 {
		h.swarm.Relabel("shop_web", map[string]string{"com.df.notify": "true", "com.df.servicePath": fmt.Sprint("/", i)})
		h.swarm.Create(dockertest.Service{Name: fmt.Sprint("s", i), Replicas: 1})
	}
	h.sees("the last state", func(s catalog.Snapshot) bool {
		svc, _ := s.ByName("shop_web")
		return len(s.Services) == 21 && svc.Labels["com.df.servicePath"] == "/19"
	})
	r.deletedOnly()

	h.admin = admin
	h.leads("l1")
	h.healthy(true)
	var got struct{ Name string }
	if status := h.get("/v1/services/s3", &got); status != http.StatusOK || got.Name != "s3" {
		t.Errorf("who does not write answers %d %+v", status, got)
	}
	first()
	if took := h.leads("l2"); took > 5*time.Second {
		t.Errorf("it took %s to take over", took)
	}
	gone := h.swarm.ID("s0")
	h.swarm.Remove("s0")
	h.sees("what the other tells", func(s catalog.Snapshot) bool { return len(s.Services) == 20 })
	r.deletedOnly(gone)
}

func TestAListenerWhoseListsFailLeavesItToAnother(t *testing.T) {
	h := newHouse(t)
	h.swarm.Create(web())
	second := h.swarm.AddManager("m2")
	h.run()
	h.leads("l1")
	h.seesServices("shop_web")
	r := h.record()
	admin, _ := h.beside("l2", func(c *Config) { c.DockerHost = second.Host() })
	tooltest.Eventually(t, "the other has asked its manager", func() error {
		if second.Calls(dockertest.Services) == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	h.swarm.NoLeader()
	h.swarm.SetNode("m1", "ready", "drain") // an event
	took := h.leads("l2")
	t.Logf("taken over after %s", took)
	h.swarm.Create(dockertest.Service{Name: "meanwhile", Replicas: 1})
	h.seesServices("shop_web", "meanwhile")
	r.deletedOnly()
	var got about
	if h.get("/v1/catalog", &got); got.Leads || !strings.Contains(got.Failure, "leader") || got.Blind != "" {
		t.Errorf("who let go says %+v", got)
	}
	h.admin = admin
	var now about
	if h.get("/v1/catalog", &now); !now.Leads || now.Failure != "" {
		t.Errorf("who took over says %+v", now)
	}
}

func TestAManagerThatIsCutOffTellsNothingOld(t *testing.T) {
	h := newHouse(t)
	h.swarm.Create(web())
	gone := h.swarm.Create(dockertest.Service{Name: "gone", Replicas: 1})
	second := h.swarm.AddManager("m2")
	h.run()
	h.leads("l1")
	h.seesServices("shop_web", "gone")
	admin, _ := h.beside("l2", func(c *Config) { c.DockerHost = second.Host() })
	tooltest.Eventually(t, "the other has asked its manager", func() error {
		if second.Calls(dockertest.Services) == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	r := h.record()
	second.Cut()
	h.swarm.Remove("gone")
	h.swarm.Relabel("shop_web", map[string]string{"com.df.notify": "true", "com.df.servicePath": "/new"})
	h.swarm.Create(dockertest.Service{Name: "new", Replicas: 1})
	want := func(s catalog.Snapshot) bool {
		svc, _ := s.ByName("shop_web")
		_, made := s.ByName("new")
		return len(s.Services) == 2 && made && svc.Labels["com.df.servicePath"] == "/new"
	}
	h.sees("the present state", want)
	h.stop()
	h.admin = admin
	before := second.Calls(dockertest.Services)
	h.leads("l2")
	tooltest.Eventually(t, "it has listed the past twice", func() error {
		if second.Calls(dockertest.Services) < before+2 {
			return errors.New("not yet")
		}
		return nil
	})
	if !want(h.sees("the catalog is complete", func(catalog.Snapshot) bool { return true })) {
		t.Error("the past is on the bus")
	}
	second.Heal()
	h.swarm.Create(dockertest.Service{Name: "after", Replicas: 1})
	h.seesServices("shop_web", "new", "after")
	r.deletedOnly(gone)
}

func TestTwoSwarmsOnOneBus(t *testing.T) {
	h := newHouse(t)
	h.swarm.Create(web())
	h.run()
	h.leads("l1")
	h.seesServices("shop_web")
	r := h.record()
	other := dockertest.New(t)
	other.Create(dockertest.Service{Name: "theirs", Replicas: 1})
	admin, _ := h.beside("l2", func(c *Config) { c.DockerHost = other.Host() })
	first := h.admin
	h.admin = admin
	tooltest.Eventually(t, "the other says whose it is", func() error {
		var got about
		if h.get("/v1/catalog", &got); !strings.Contains(got.Failure, h.swarm.Cluster()) || !strings.Contains(got.Failure, "another swarm") {
			return fmt.Errorf("%+v", got)
		}
		return nil
	})
	h.healthy(false)
	h.admin = first
	h.stop()
	h.admin = admin
	h.healthy(false)
	h.seesServices("shop_web")
	r.deletedOnly()
}
