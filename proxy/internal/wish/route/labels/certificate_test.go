package labels_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/certtest"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/claims"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
)

func certified(name string, pairs ...string) catalog.Service {
	svc := catalog.Service{ID: name, Name: name, CreatedAt: time.Unix(1, 0), Labels: map[string]string{catalog.Notify: "true", "com.df.port": "80"}}
	for i := 0; i < len(pairs); i += 2 {
		svc.Labels[catalog.Prefix+pairs[i]] = pairs[i+1]
	}
	return svc
}

func TestCertificatesOfServices(t *testing.T) {
	pem := certtest.Self(t, "shop.com").PEM()
	escaped := strings.ReplaceAll(pem, "\n", `\n`)
	for _, c := range []struct {
		what  string
		pairs []string
		name  string
		fault string
	}{
		{what: "none", pairs: []string{"servicePath", "/"}},
		{what: "named after the first domain", pairs: []string{"serviceDomain", "*.Shop.com,b.com", "serviceCert", escaped}, name: "shop.com"},
		{what: "named after the service", pairs: []string{"servicePath", "/", "serviceCert", escaped}, name: "shop"},
		{what: "a pattern is no name", pairs: []string{"serviceDomain", "^a", "serviceDomainAlgo", "hdr_reg(host)", "serviceCert", escaped}, name: "shop"},
		{what: "real ends of lines", pairs: []string{"servicePath", "/", "serviceCert", pem}, name: "shop"},
		{what: "no PEM", pairs: []string{"servicePath", "/", "serviceCert", "secret text"}, fault: "it is not PEM"},
		{what: "empty", pairs: []string{"servicePath", "/", "serviceCert", "-"}, fault: "it is not PEM"},
		{what: "no key", pairs: []string{"servicePath", "/", "serviceCert", certtest.Self(t, "a.com").Cert}, fault: "it has no key"},
		{what: "the key of another", pairs: []string{"servicePath", "/", "serviceCert", certtest.Self(t, "a.com").Cert + certtest.Self(t, "a.com").Key}, fault: "its key does not belong to its certificate"},
	} {
		t.Run(c.what, func(t *testing.T) {
			svc, err := labels.FromService(certified("shop", c.pairs...), labels.Options{})
			if c.fault != "" {
				f := label.First(err)
				if f == nil || f.Label != "com.df.serviceCert" || f.Text != "(hidden)" || !strings.Contains(f.Want, c.fault) || strings.Contains(err.Error(), "secret text") {
					t.Errorf("got %v, want the fault %q", err, c.fault)
				}
				return
			}
			switch {
			case err != nil:
				t.Error(err)
			case c.name == "" && svc.Certificate != nil, c.name != "" && svc.Certificate == nil:
				t.Errorf("got %v", svc.Certificate)
			case c.name != "" && (svc.Certificate.Name != c.name || svc.Certificate.PEM != pem):
				t.Errorf("got %q", svc.Certificate.Name)
			}
		})
	}
}

func TestAnExpiredCertificateRejectsANewServiceAlone(t *testing.T) {
	over := time.Now().Add(time.Hour).Truncate(time.Second)
	svc := certified("shop", "servicePath", "/", "serviceCert", certtest.Issue(t, certtest.Options{NotAfter: over}, "shop.com").PEM())
	s := claims.NewSettler(labels.Options{})
	s.At(over.Add(time.Minute))
	d := s.Settle([]catalog.Service{svc}, nil)
	if f := label.First(d.Verdicts[0].Err); f == nil || f.Label != "com.df.serviceCert" || !strings.Contains(f.Want, "still valid") {
		t.Errorf("a new one that has expired: %v", d.Verdicts[0].Err)
	}
	s.At(over.Add(-time.Minute))
	d = s.Settle([]catalog.Service{svc}, nil)
	if d.Verdicts[0].Err != nil {
		t.Errorf("a valid one: %v", d.Verdicts[0].Err)
	}
	// What was accepted stays when its time is over: without it nothing would be better.
	s.At(over.Add(time.Minute))
	if d = s.Settle([]catalog.Service{svc}, d.Accepted); d.Verdicts[0].Err != nil || len(d.Services) != 1 {
		t.Errorf("one that expires in force: %v", d.Verdicts[0].Err)
	}
}

func TestThePortForTLSIsTheProxysOwnWhileItIsOpen(t *testing.T) {
	old := certified("old", "reqMode", "tcp", "srcPort", "443")
	young := certified("young", "reqMode", "sni", "srcPort", "443", "servicePath", "young.com")
	s := claims.NewSettler(labels.Options{})
	s.Reserve([]int{443})
	d := s.Settle([]catalog.Service{old}, nil)
	if f := label.First(d.Verdicts[0].Err); f == nil || f.Label != "com.df.srcPort" || f.Text != "443" {
		t.Errorf("a port that the proxy has: %v", d.Verdicts[0].Err)
	}
	// A service that was there before the first certificate keeps the port, also when
	// something else of it changes.
	s.Reserve(nil)
	accepted := s.Settle([]catalog.Service{old}, nil).Accepted
	s.Reserve([]int{443})
	old.Labels = certified("old", "reqMode", "tcp", "srcPort", "443", "timeoutServer", "5").Labels
	d = s.Settle([]catalog.Service{old}, accepted)
	if d.Verdicts[0].Err != nil || len(d.Tables.Listeners) != 1 {
		t.Errorf("a port that the service had first: %v", d.Verdicts[0].Err)
	}
	// One that says which server names it wants may share it, with this service or the proxy.
	d = s.Settle([]catalog.Service{old, young}, d.Accepted)
	for _, v := range d.Verdicts {
		if v.Err != nil {
			t.Errorf("%s: %v", v.Service.Name, v.Err)
		}
	}
}

// TestWhatAServiceSaysOfObtainedCertificates, also by the labels of a companion of Docker Flow.
func TestWhatAServiceSaysOfObtainedCertificates(t *testing.T) {
	for _, c := range []struct {
		pairs []string
		want  route.ACME
	}{
		{nil, route.ACME{}},
		{[]string{"acme", "TRUE", "acmeChallenge", "dns"}, route.ACME{Asks: route.Yes, Challenge: "dns"}},
		{[]string{"acme", "false"}, route.ACME{Asks: route.No}},
		{[]string{"letsencrypt.host", "A.com, b.com", "letsencrypt.email", "me@a.com", "letsencrypt.testing", "true"},
			route.ACME{Hosts: []string{"a.com", "b.com"}, Email: "me@a.com", Testing: true}},
		{[]string{"letsencrypt.host", "a.com", "letsencrypt.email", "me <me@a.com>"}, route.ACME{Hosts: []string{"a.com"}}},
	} {
		svc, err := labels.FromService(certified("shop", append([]string{"serviceDomain", "a.com"}, c.pairs...)...), labels.Options{})
		if err != nil || !reflect.DeepEqual(svc.ACME, c.want) {
			t.Errorf("%q: got %+v, %v; want %+v", c.pairs, svc.ACME, err, c.want)
		}
	}
}
