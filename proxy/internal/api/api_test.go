package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"

	"github.com/wagglehq/waggle/pkg/audit"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/certtest"
	"github.com/wagglehq/waggle/proxy/internal/api"
	"github.com/wagglehq/waggle/proxy/internal/certs"
	"github.com/wagglehq/waggle/proxy/internal/certs/store"
	"github.com/wagglehq/waggle/proxy/internal/controller"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/apply"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/replicas"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/claims"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
)

// proxy is what the interface tells of.
type proxy struct {
	view    *controller.View
	entries *controller.Certificates
	// refused is what HAProxy says of certificates, away what the bus does.
	refused, away error
	list          bool
	noted         []audit.Entry
}

func (p *proxy) router() http.Handler {
	r := chi.NewRouter()
	view := func() *controller.View { return p.view }
	api.Mount(r, view)
	api.MountConfig(r, "token", view)
	api.MountInstances(r, func() []replicas.Replica {
		return []replicas.Replica{{Instance: catalog.Instance{Instance: "one", Hash: "x"}, Self: true}}
	})
	api.Certs{
		Note:  func(e audit.Entry) { p.noted = append(p.noted, e) },
		Token: "token", OwnList: p.list, View: func() *controller.Certificates { return p.entries },
		Check: func(context.Context, ...string) error { return p.refused },
		Put: func(_ context.Context, name, pem string) error {
			c, err := certs.Parse([]byte(pem))
			if err != nil || p.away != nil {
				return errors.Join(err, p.away)
			}
			e := certs.Entry{Candidate: certs.Candidate{Name: name, Source: certs.Upload, Certificate: c}}
			p.entries = &controller.Certificates{Entries: append(slices.Clone(p.entries.Entries), e), Applied: true}
			return nil
		},
		Delete: func(_ context.Context, name string) error {
			left := slices.DeleteFunc(slices.Clone(p.entries.Entries), func(e certs.Entry) bool { return e.Source == certs.Upload && e.Name == name })
			if len(left) == len(p.entries.Entries) {
				return store.ErrNotFound
			}
			p.entries = &controller.Certificates{Entries: left, Applied: true}
			return nil
		},
	}.Mount(r)
	return r
}

// ask makes a request, with the token if there is one.
func ask(t *testing.T, h http.Handler, method, path, token, body string) (int, string) {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return w.Code, w.Body.String()
}

// swarm is a view of services that are in force, rejected, and not asked for.
func swarm() *controller.View {
	notify := func(more ...string) map[string]string {
		out := map[string]string{catalog.Notify: "true"}
		for i := 0; i < len(more); i += 2 {
			out[catalog.Prefix+more[i]] = more[i+1]
		}
		return out
	}
	services := map[string]catalog.Service{}
	for _, svc := range []catalog.Service{
		{Name: "web", Labels: notify("servicePath", "/a", "port", "80", "serviceDomain", "a.com")},
		{Name: "db", Labels: notify("reqMode", "sni", "srcPort", "5432", "port", "5432", "servicePath", "db.com")},
		{Name: "broken", Labels: notify("servicePath", "/b", "port", "many")},
		{Name: "plain", Labels: map[string]string{}},
		{Name: "off", Labels: map[string]string{catalog.Notify: "yes please"}},
		{Name: "astray", ContainerLabels: map[string]string{catalog.Notify: "true"}},
	} {
		svc.ID = svc.Name
		services[svc.ID] = svc
	}
	snapshot := catalog.Snapshot{Services: services, Revision: catalog.Revision{Epoch: "e", Sequence: 7}}
	at := func(a string) [][]netip.Addr { return [][]netip.Addr{{netip.MustParseAddr(a)}} }
	return &controller.View{
		Snapshot: snapshot, Desired: claims.Settle(snapshot.Sorted(), nil, labels.Options{}), Hash: "x", FromBus: true,
		Addresses: map[string][][]netip.Addr{"web": at("10.0.0.2"), "db": at("10.0.0.3")}, File: file.File{Frame: []*file.Section{file.NewSection("", "global", "", "")}},
	}
}

// TestWhyIsMyServiceNotRouted: the answer names what to do, also for a service that did
// not opt in.
func TestWhyIsMyServiceNotRouted(t *testing.T) {
	h := (&proxy{view: swarm()}).router()
	for _, c := range []struct {
		name   string
		status int
		state  catalog.State
		says   []string
	}{
		{"web", 200, catalog.StateApplied, []string{`"a.com"`, `"/a"`, "10.0.0.2"}},
		{"db", 200, catalog.StateApplied, []string{"5432", "db.com", "10.0.0.3"}},
		{"broken", 200, catalog.StateRejected, []string{"com.df.port", "many", "want"}},
		{"plain", 200, catalog.StateIgnored, []string{"it has no label com.df.notify", "under deploy.labels"}},
		{"off", 200, catalog.StateIgnored, []string{`yes please`, "want true"}},
		{"astray", 200, catalog.StateIgnored, []string{"stands on the container", "under deploy.labels"}},
		{"we", 404, "", []string{"no service named we", "the full name is needed, with the stack before it"}},
	} {
		status, text := ask(t, h, "GET", "/v1/services/"+c.name, "", "")
		var got api.Service
		if err := json.Unmarshal([]byte(text), &got); err != nil || status != c.status || got.State != c.state {
			t.Errorf("%s: %d %s (%v), want %d %s", c.name, status, text, err, c.status, c.state)
		}
		for _, word := range c.says {
			if !strings.Contains(strings.ReplaceAll(text, `\"`, `"`), word) {
				t.Errorf("%s: %s, want %s in it", c.name, text, word)
			}
		}
	}
}

// TestRoutes: what each path answers, to whom.
func TestRoutes(t *testing.T) {
	good, other := certtest.Self(t, "a.com").PEM(), certtest.Self(t, "b.com").PEM()
	file, err := certs.Parse([]byte(other))
	if err != nil {
		t.Fatal(err)
	}
	failed := swarm()
	failed.Err = errors.New("HAProxy is gone")
	full := func() *controller.Certificates {
		return &controller.Certificates{Applied: true, Entries: []certs.Entry{{Candidate: certs.Candidate{Name: "b.pem", Source: certs.File, Certificate: file}}}}
	}
	ready := func(change func(*proxy)) *proxy {
		p := &proxy{view: swarm(), entries: full()}
		if change != nil {
			change(p)
		}
		return p
	}
	for _, c := range []struct {
		name, method, path, token, body string
		proxy                           *proxy
		status                          int
		says                            string
	}{
		{"services before the first pass", "GET", "/v1/services", "", "", &proxy{}, 503, "is the listener running"},
		{"a service before the first pass", "GET", "/v1/services/web", "", "", &proxy{}, 503, "is the listener running"},
		{"all services", "GET", "/v1/services", "", "", ready(nil), 200, `"fromBus": true`},
		{"services while HAProxy is away", "GET", "/v1/services", "", "", ready(func(p *proxy) { p.view = failed }), 200, "not applied yet: HAProxy is gone"},
		{"the configuration", "GET", "/v1/config", "token", "", ready(nil), 200, "global"},
		{"the configuration without the token", "GET", "/v1/config", "", "", ready(nil), 401, "token"},
		{"the configuration before there is one", "GET", "/v1/config", "token", "", &proxy{}, 503, ""},
		{"replicas", "GET", "/v1/instances", "", "", ready(nil), 200, `"self": true`},
		{"certificates before the first pass", "GET", "/v1/certs", "", "", &proxy{}, 503, ""},
		{"certificates", "GET", "/v1/certs", "", "", ready(nil), 200, `"b.pem"`},
		{"an upload", "PUT", "/v1/certs/a.pem", "token", good, ready(nil), 200, `"a.com"`},
		{"an upload without the token", "PUT", "/v1/certs/a.pem", "", good, ready(nil), 401, "token"},
		{"an upload beside a list of the operator's", "PUT", "/v1/certs/a.pem", "token", good, ready(func(p *proxy) { p.list = true }), 409, "crt-list-path"},
		{"a name that is none", "PUT", "/v1/certs/a%20b", "token", good, ready(nil), 400, "the name"},
		{"what is no certificate", "PUT", "/v1/certs/a.pem", "token", "x", ready(nil), 422, "it is not PEM"},
		{"one that HAProxy refuses", "PUT", "/v1/certs/a.pem", "token", good,
			ready(func(p *proxy) { p.refused = &apply.CheckError{Output: "parsing [x:1] : key too small"} }), 422, "key too small"},
		{"an upload while the bus is away", "PUT", "/v1/certs/a.pem", "token", good, ready(func(p *proxy) { p.away = errors.New("no bus") }), 503, "no bus"},
		{"the end of what was not uploaded", "DELETE", "/v1/certs/b.pem", "token", "", ready(nil), 404, "it comes from a file"},
		{"Docker Flow's path", "GET", "/v1/docker-flow-proxy/certs", "", "", ready(nil), 404, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, text := ask(t, c.proxy.router(), c.method, c.path, c.token, c.body)
			if status != c.status || !strings.Contains(text, c.says) || strings.Contains(text, "PRIVATE") {
				t.Errorf("%d %s, want %d with %q and no key", status, text, c.status, c.says)
			}
		})
	}
}

// TestAnUploadMayBeTakenBack: it is gone when that is answered.
func TestAnUploadMayBeTakenBack(t *testing.T) {
	p := &proxy{entries: &controller.Certificates{}}
	h := p.router()
	if status, text := ask(t, h, "PUT", "/v1/certs/a.pem", "token", certtest.Self(t, "a.com").PEM()); status != 200 || len(p.entries.Entries) != 1 {
		t.Fatalf("%d %s", status, text)
	}
	if status, text := ask(t, h, "DELETE", "/v1/certs/a.pem", "token", ""); status != 200 || len(p.entries.Entries) != 0 {
		t.Errorf("%d %s", status, text)
	}
}

// TestWhoChangedACertificate is noted, with its fingerprint, once it is changed and not before.
func TestWhoChangedACertificate(t *testing.T) {
	c := certtest.Self(t, "a.com").PEM()
	parsed, err := certs.Parse([]byte(c))
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{entries: &controller.Certificates{Applied: true}}
	router := p.router()
	for _, r := range []struct{ method, token, body string }{{"PUT", "wrong", c}, {"PUT", "token", "no certificate"}, {"PUT", "token", c}, {"DELETE", "token", ""}} {
		req := httptest.NewRequestWithContext(t.Context(), r.method, "/v1/certs/a.pem", strings.NewReader(r.body))
		req.Header.Set("Authorization", "Bearer "+r.token)
		router.ServeHTTP(httptest.NewRecorder(), req)
	}
	var got []string
	for _, e := range p.noted {
		got = append(got, fmt.Sprint(e.Action, " ", e.Object, " ", e.Fingerprint == parsed.Fingerprint, " ", e.By, " ", e.Remote))
	}
	const by = " a.pem true token 3c469e9d 192.0.2.1:1234"
	if want := []string{"certificate put" + by, "certificate deleted" + by}; !slices.Equal(got, want) {
		t.Errorf("noted are %q, want %q", got, want)
	}
}
