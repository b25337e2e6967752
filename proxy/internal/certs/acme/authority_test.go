package acme_test

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/acmetest"
	"github.com/wagglehq/waggle/proxy/internal/certs/acme"
)

// TestAnAccountThatIsBound: an authority that gives certificates to its customers alone is told
// whose the account is. Without the binding, or with another key, it is told that it refuses.
func TestAnAccountThatIsBound(t *testing.T) {
	t.Parallel()
	const key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
	w := newWorld(t)
	w.Authority = acmetest.StartWith(t, acmetest.Options{Port: w.port, Resolver: acmetest.DNS(t), Bound: map[string]string{"customer": key}})
	bound := func(id, key string) options {
		return func(o *acme.Options) { o.Settings.Authorities[0].KeyID, o.Settings.Authorities[0].MACKey = id, key }
	}
	one := w.start("one", t.TempDir(), nil)
	w.want(service("web", "www.example.com"))
	w.told("www.example.com", "Pebble says", "externalAccountBinding", "externalAccountRequired", "the authority wants ACME_EAB_KEY_ID and ACME_EAB_KEY")
	one.stop()
	w.replicas = nil
	two := w.start("two", t.TempDir(), nil, bound("customer", strings.Repeat("A", len(key))))
	w.want(service("web", "www.example.com"))
	w.told("www.example.com", "external account binding", "unauthorized")
	two.stop()
	w.replicas = nil
	w.three(nil, bound("customer", key))
	w.want(service("web", "www.example.com"))
	w.all("www.example.com")
	if w.Accounts() != 1 || w.Orders() != 1 {
		t.Errorf("%d accounts, %d orders", w.Accounts(), w.Orders())
	}
}

// TestThePreferredChain is served where an authority offers several, and the first one where it
// offers none that leads there.
func TestThePreferredChain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Authority = acmetest.StartWith(t, acmetest.Options{Port: w.port, Resolver: acmetest.DNS(t), OtherRoots: 2})
	var roots []string
	for n := range 3 {
		root, err := w.Root(n)
		if err != nil {
			t.Fatal(err)
		}
		roots = append(roots, root)
	}
	for i, c := range []struct{ prefer, want string }{{"", roots[0]}, {roots[0], roots[0]}, {roots[2], roots[2]}, {"no root of theirs", roots[0]}} {
		w.replicas = nil
		host := string(rune('a'+i)) + ".example.com"
		r := w.start("one", t.TempDir(), nil, func(o *acme.Options) { o.Settings.PreferredChain = c.prefer })
		w.want(service("web", host))
		w.all(host)
		if got := r.leadsTo(t, host); got != c.want {
			t.Errorf("the chain that prefers %q leads to %q, want %q", c.prefer, got, c.want)
		}
		r.stop()
	}
}

// leadsTo is the authority that has signed the last certificate of a host's chain.
func (r *replica) leadsTo(t *testing.T, host string) string {
	t.Helper()
	for _, c := range r.runner.Known().Certificates {
		if c.Host != host {
			continue
		}
		last := ""
		for block, rest := pem.Decode([]byte(c.PEM)); block != nil; block, rest = pem.Decode(rest) {
			if parsed, err := x509.ParseCertificate(block.Bytes); err == nil {
				last = parsed.Issuer.CommonName
			}
		}
		return last
	}
	return ""
}

// TestTheSealKeyIsReplaced, replica by replica, while certificates are renewed: all are sealed anew,
// with the account and what counts orders, and nothing of it is ordered twice.
func TestTheSealKeyIsReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hosts := []string{"www.example.com", "example.com"}
	var dirs []string
	for _, name := range []string{"one", "two", "three"} {
		dirs = append(dirs, t.TempDir())
		w.start(name, dirs[len(dirs)-1], nil)
	}
	w.want(service("web", hosts...))
	w.all(hosts...)
	again := func(secrets ...string) {
		t.Helper()
		w.secrets = secrets
		for i, name := range []string{"one", "two", "three"} {
			w.mu.Lock()
			old := w.replicas[i]
			w.mu.Unlock()
			old.stop()
			next := w.start(name, dirs[i], nil)
			w.mu.Lock()
			w.replicas = w.replicas[:3]
			w.replicas[i] = next
			w.mu.Unlock()
			w.want(service("web", hosts...))
			w.all(hosts...)
		}
	}
	again("the next one of sixteen", "a secret of sixteen bytes")
	// Who has nothing but the new one learns all of it.
	w.secrets = []string{"the next one of sixteen"}
	fresh := w.start("fresh", t.TempDir(), nil)
	w.want(service("web", hosts...))
	w.all(hosts...)
	if troubles := fresh.troubles(); len(troubles) > 0 {
		t.Errorf("%v", troubles)
	}
	fresh.stop()
	w.mu.Lock()
	w.replicas = w.replicas[:3]
	w.mu.Unlock()
	again("the next one of sixteen")
	if w.Orders() != 2 {
		t.Errorf("%d orders for 2 names", w.Orders())
	}
	first := w.replicas[0].serves(hosts[0])
	w.ahead.Store(int64(23 * time.Hour))
	w.want(service("web", append(hosts, "new.example.com")...))
	tooltest.Eventually(t, "they are renewed", func() error {
		for _, r := range w.replicas {
			if c := r.serves(hosts[0]); c == nil || c.Equal(first) {
				return errors.New("not yet")
			}
		}
		return nil
	})
	w.all(append(hosts, "new.example.com")...)
	if w.Orders() != 5 || w.Accounts() != 1 {
		t.Errorf("%d orders, %d accounts; want 5 and 1", w.Orders(), w.Accounts())
	}
}

// TestASealKeyThatNobodyHasAnyMore: what cannot be opened is served from the disk and told, and
// costs no order and no account. A new store gets all of it back, by the new key.
func TestASealKeyThatNobodyHasAnyMore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := t.TempDir()
	one := w.start("one", dir, nil)
	w.want(service("web", "www.example.com"))
	w.all("www.example.com")
	tooltest.Eventually(t, "the copy is written", func() error { return contains(dir+"/acme.json", "BEGIN CERTIFICATE") })
	one.stop()
	w.replicas, w.secrets = nil, []string{"another one of sixteen"}
	w.start("one", dir, nil)
	w.ahead.Store(int64(23 * time.Hour))
	w.want(service("web", "www.example.com"))
	w.all("www.example.com")
	w.told("www.example.com", "can be neither obtained nor renewed", "sealed by another secret", "SEAL_KEY_OTHER")
	if w.Orders() != 1 || w.Accounts() != 1 {
		t.Errorf("%d orders, %d accounts", w.Orders(), w.Accounts())
	}
	first := w.replicas[0].serves("www.example.com")
	w.bus.Stop()
	w.bus.LoseStore()
	w.bus.StartAgain()
	w.bus.Prepared()
	w.epoch.Store("e2")
	w.want(service("web", "www.example.com"))
	tooltest.Eventually(t, "it is renewed", func() error {
		if c := w.replicas[0].serves("www.example.com"); c == nil || c.Equal(first) || len(w.replicas[0].troubles()) > 0 {
			return fmt.Errorf("not yet: %v", w.replicas[0].troubles())
		}
		return nil
	})
	if w.Orders() != 2 || w.Accounts() != 1 {
		t.Errorf("%d orders, %d accounts; want 2 and 1", w.Orders(), w.Accounts())
	}
}
