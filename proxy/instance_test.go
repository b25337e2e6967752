package proxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"strconv"
	"testing"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/internal/certs/store"
	"github.com/wagglehq/waggle/proxy/internal/replicas"
	"github.com/wagglehq/waggle/proxy/judge"
)

// TestAnInstanceTellsOfItself: what it has applied, by which settings, and how many
// clients are connected.
func TestAnInstanceTellsOfItself(t *testing.T) {
	h := newHouse(t)
	h.config.Instance = "one"
	h.supervised()
	h.run()
	h.dns.set("web", "127.0.0.2")
	h.deploy("web", "/a")
	h.answers("/a", "127.0.0.2")
	for range 3 {
		var d net.Dialer
		c, err := d.DialContext(t.Context(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(h.http)))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		// Until it has been spoken on, HAProxy may not have taken it up.
		if _, err := fmt.Fprint(c, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	h.deploy("other", "/b")
	b := h.bus.Connect("proxy").Bucket(bus.StatusBucket)
	tooltest.Eventually(t, "the instance tells of itself", func() error {
		text, _, err := b.Get(t.Context(), bus.InstanceKey("proxy", "one"))
		if err != nil {
			return err
		}
		var i catalog.Instance
		if err := json.Unmarshal(text, &i); err != nil {
			return err
		}
		if i.Component != "proxy" || i.Instance != "one" || i.Hash == "" || i.Revision.Epoch == "" || i.Settings["networks"] != "waggle" || i.Connections != 3 {
			return errors.New(string(text))
		}
		return nil
	})
}

// TestWhoHasCertificates: whether ports with TLS are the proxy's own is known only when the
// bus has told all uploads and all instances; another replica's certificates count, and
// what this one has said of itself before does not.
func TestWhoHasCertificates(t *testing.T) {
	server := bustest.Start(t)
	b := server.Prepared()
	uploads := b.Bucket(bus.ManualBucket).Mirror(store.Prefix+">", func() {})
	peers := replicas.NewPeers(b, "proxy", func() {})
	there := published(peers, "one", uploads, obtained{})
	if _, known := there(); known {
		t.Error("it is known before the bus has said anything")
	}
	bustest.Run(t, peers.Run)
	if _, known := there(); known {
		t.Error("it is known before the uploads are")
	}
	bustest.Run(t, uploads.Run)
	writer := server.Connect("proxy")
	put := func(bucket, key, value string) {
		t.Helper()
		if _, err := writer.Bucket(bucket).Put(t.Context(), key, []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	says := func(what string, want bool) {
		t.Helper()
		tooltest.Eventually(t, what, func() error {
			if got, known := there(); !known || got != want {
				return fmt.Errorf("%v, known %v", got, known)
			}
			return nil
		})
	}
	instance := func(name string) string {
		text, err := json.Marshal(catalog.Instance{Component: "proxy", Instance: name, Settings: map[string]string{judge.Certificates: "true"}})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	says("nobody has any", false)
	put(bus.StatusBucket, bus.InstanceKey("proxy", "one"), instance("one"))
	says("this replica does not count", false)
	put(bus.StatusBucket, bus.InstanceKey("proxy", "two"), instance("two"))
	says("another replica has some", true)
	if err := writer.Bucket(bus.StatusBucket).Delete(t.Context(), bus.InstanceKey("proxy", "two")); err != nil {
		t.Fatal(err)
	}
	says("it has left", false)
	put(bus.ManualBucket, store.Prefix+"x", "{}")
	says("there is an upload", true)
}

// TestReplicasThatDifferDoNotOverwriteEachOther: one of two proxies cannot look up a
// service's tasks. Each says so under its own name, once, however often it looks again.
func TestReplicasThatDifferDoNotOverwriteEachOther(t *testing.T) {
	h := newHouse(t)
	h.supervised()
	two := h.twin()
	two.config.Resolver = &dns{names: map[string][]netip.Addr{}}
	h.run()
	two.run()
	h.dns.set("web", "127.0.0.2")
	h.deploy("web", "/a")
	h.answers("/a", "127.0.0.2")
	watched := h.bus.Connect("proxy").Bucket(bus.StatusBucket)
	status := func(instance, service string) (s catalog.Status, revision uint64) {
		text, revision, err := watched.Get(t.Context(), bus.StatusKey("proxy", instance, "id-"+service))
		if err == nil {
			err = json.Unmarshal(text, &s)
		}
		if err != nil && !errors.Is(err, bus.ErrNotFound) {
			t.Error(err)
		}
		return s, revision
	}
	says := func(service string, want map[string]catalog.State) (revisions map[string]uint64) {
		t.Helper()
		tooltest.Eventually(t, fmt.Sprintf("of %s is said %v", service, want), func() error {
			revisions = map[string]uint64{}
			for instance, state := range want {
				s, revision := status(instance, service)
				if s.State != state || s.Instance != instance || s.Since.IsZero() || s.Revision.Sequence == 0 {
					return fmt.Errorf("%s says %+v", instance, s)
				}
				revisions[instance] = revision
			}
			return nil
		})
		return revisions
	}
	differ := map[string]catalog.State{"one": catalog.StateApplied, "two": catalog.StateDegraded}
	before := says("web", differ)

	// Both report again and again, of something else.
	degraded := map[string]catalog.State{"one": catalog.StateDegraded, "two": catalog.StateDegraded}
	first := max(before["one"], before["two"])
	var last uint64
	const deploys = 8
	for i := range deploys {
		name := fmt.Sprintf("other%d", i)
		h.deploy(name, "/"+name)
		for _, revision := range says(name, degraded) {
			last = max(last, revision)
		}
	}
	if after := says("web", differ); !maps.Equal(after, before) {
		t.Errorf("the statuses of web have been written again: %v, before %v", after, before)
	}
	// Each new service has two statuses, and perhaps a first word before its look-up; each
	// instance tells of each change at most once.
	if messages := last - first; messages > 6*deploys {
		t.Errorf("%d messages about %d new services", messages, deploys)
	}
}
