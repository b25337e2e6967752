package acme_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/acmetest"
	"github.com/wagglehq/waggle/proxy/internal/certs/acme"
	"github.com/wagglehq/waggle/proxy/internal/certs/acme/dns"
	"github.com/wagglehq/waggle/proxy/internal/wish/names"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// TestWildcardsByDNS: by signed updates (RFC 2136) of a zone, a wildcard gets its certificate, and
// so does a name whose challenge is led into another zone. Names below the wildcard cost no order,
// nobody is asked at port 80, and nothing stays in DNS.
func TestWildcardsByDNS(t *testing.T) {
	zone := acmetest.StartZone(t)
	zone.Use(t)
	zone.Lead("_acme-challenge.away.example.org.", "away.acme.example.net.")
	provider, err := dns.New("rfc2136", zone.Addr)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	w.Authority = acmetest.Start(t, 1, zone.Addr)
	w.three(nil, func(o *acme.Options) {
		o.DNS, o.Rules = provider, names.Rules{On: true, Challenge: names.DNS, CanDNS: true}
	})
	w.want(service("wild", "*.example.com", "www.example.com"), service("away", "away.example.org"))
	w.all("*.example.com", "away.example.org")
	if got := w.Orders(); got != 2 {
		t.Errorf("%d orders", got)
	}
	c := w.replicas[2].serves("*.example.com")
	if err := c.VerifyHostname("www.example.com"); err != nil {
		t.Error(err)
	}
	tooltest.Eventually(t, "the records are gone", func() error {
		if len(zone.At("_acme-challenge.example.com."))+len(zone.At("away.acme.example.net.")) > 0 {
			return errors.New("not yet")
		}
		return nil
	})
	if len(w.asked) > 0 || zone.Unsigned() > 0 {
		t.Errorf("asked at port 80: %v; unsigned: %d", w.asked, zone.Unsigned())
	}
}

// TestBadNonces: an authority that refuses every second request for its nonce is asked again, with
// no order more.
func TestBadNonces(t *testing.T) {
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "50")
	w := newWorld(t)
	w.three(nil)
	w.want(service("web", "www.example.com", "example.com"))
	w.all("www.example.com", "example.com")
	if got := w.Orders(); got != 2 {
		t.Errorf("%d orders", got)
	}
}

// TestTheAuthorityNamesTheTime to renew: it is asked, and a certificate that it wants to be renewed
// is, long before a third of its time is left.
func TestTheAuthorityNamesTheTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.three(nil)
	w.want(service("web", "www.example.com"))
	w.all("www.example.com")
	first := w.replicas[0].serves("www.example.com")
	tooltest.Eventually(t, "the authority is asked", func() error {
		for _, r := range w.replicas {
			if err := contains(r.dir+"/acme.json", `\"ask\":`); err != nil {
				return err
			}
		}
		return nil
	})
	if err := w.Revise(first, time.Now().Add(-time.Hour), time.Now().Add(-time.Minute)); err != nil {
		t.Fatal(err)
	}
	// It is asked again after some hours, and the certificate is not renewed more than six times
	// in its time.
	w.ahead.Store(int64(8 * time.Hour))
	w.want(service("web", "www.example.com"))
	tooltest.Eventually(t, "it is renewed", func() error {
		if c := w.replicas[1].serves("www.example.com"); c == nil || c.Equal(first) {
			return errors.New("not yet")
		}
		return nil
	})
	if got := w.Orders(); got != 2 {
		t.Errorf("%d orders", got)
	}
}

// TestAnotherAuthorityIsChosen: all certificates are obtained anew, and the old ones serve until
// then. One for a test alone is from the authority for tests.
func TestAnotherAuthorityIsChosen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := acmetest.Start(t, w.port, acmetest.DNS(t))
	w.Roots.AddCert(other.Cert)
	to := func(o *acme.Options) {
		o.Settings.Authorities = []acme.Authority{{Name: "Other", Directory: other.URL}}
		o.Settings.Staging = acme.Authority{Name: "Stage", Directory: w.URL}
	}
	one := w.start("one", t.TempDir(), nil)
	w.want(service("web", "www.example.com"))
	w.all("www.example.com")
	first := one.serves("www.example.com")
	one.stop()
	two := w.start("two", t.TempDir(), nil, to)
	test := service("test", "test.example.com")
	test.ACME = route.ACME{Hosts: []string{"test.example.com"}, Testing: true}
	w.want(service("web", "www.example.com"), test)
	tooltest.Eventually(t, "it is another one", func() error {
		switch c := two.serves("www.example.com"); {
		case c == nil:
			return errors.New("none")
		case c.Equal(first):
			return errors.New("the first one")
		case two.serves("test.example.com") == nil:
			return errors.New("no test")
		}
		return nil
	})
	if w.Orders() != 2 || other.Orders() != 1 {
		t.Errorf("%d and %d orders", w.Orders(), other.Orders())
	}
}

// TestTheAuthorityRefusesAnAccount: it is told, and no order is placed.
func TestTheAuthorityRefusesAnAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Refuse("/sign-me-up", "externalAccountRequired", "an account must be bound", http.StatusForbidden)
	w.three(nil)
	w.want(service("web", "www.example.com"))
	w.told("www.example.com", "an account must be bound", "ACME_EAB_KEY_ID")
	if w.Orders() != 0 {
		t.Errorf("%d orders", w.Orders())
	}
}

// refuses is a provider of DNS that makes no records.
type refuses struct{}

// Present is for the acme package.
func (refuses) Present(context.Context, string, string, string) error {
	return errors.New("no such zone")
}

// CleanUp is for the acme package.
func (refuses) CleanUp(context.Context, string, string, string) error { return nil }

// TestAWildcardThatCannotBeHad takes nothing from the names below it, which others are routed by: they
// keep their certificates, get new ones, and are renewed, by their own means.
func TestAWildcardThatCannotBeHad(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.three(nil, func(o *acme.Options) {
		o.DNS, o.Rules = refuses{}, names.Rules{On: true, Challenge: names.HTTP, CanDNS: true}
	})
	w.want(service("web", "www.example.com"))
	w.all("www.example.com")
	first := w.replicas[0].serves("www.example.com")
	wild := service("wild", "*.example.com")
	wild.ACME.Challenge = names.DNS
	w.want(wild, service("web", "www.example.com", "new.example.com"))
	w.told("*.example.com", "the provider of DNS says: no such zone")
	w.all("www.example.com", "new.example.com")
	w.ahead.Store(int64(23 * time.Hour))
	w.want(wild, service("web", "www.example.com", "new.example.com"))
	tooltest.Eventually(t, "it is renewed", func() error {
		if c := w.replicas[0].serves("www.example.com"); c == nil || c.Equal(first) {
			return errors.New("not yet")
		}
		return nil
	})
}

// TestAWildcardForATest takes nothing either: nobody trusts it.
func TestAWildcardForATest(t *testing.T) {
	zone := acmetest.StartZone(t)
	zone.Use(t)
	provider, err := dns.New("rfc2136", zone.Addr)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	w.Authority = acmetest.Start(t, w.port, zone.Addr)
	w.three(nil, func(o *acme.Options) {
		o.DNS, o.Rules = provider, names.Rules{On: true, Challenge: names.DNS, CanDNS: true}
	})
	wild := service("wild", "*.example.com")
	wild.ACME = route.ACME{Hosts: []string{"*.example.com"}, Testing: true}
	w.want(wild, service("web", "www.example.com"))
	w.all("*.example.com", "www.example.com")
}
