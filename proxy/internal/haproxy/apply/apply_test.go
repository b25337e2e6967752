package apply_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/apply"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/render"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/runtime"
	"github.com/wagglehq/waggle/proxy/internal/haproxytest"
	"github.com/wagglehq/waggle/proxy/internal/wish/outbound"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/claims"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
)

// world is a real HAProxy, the applier and services that are wanted.
type world struct {
	t        *testing.T
	hap      *haproxytest.Instance
	settings render.Settings
	renderer *render.Renderer
	h        *apply.HAProxy
	services map[string]catalog.Service
	tasks    map[string][]netip.Addr
	backend  uint16
	accepted map[string]catalog.Service
}

// newWorld starts HAProxy on the configuration of no services, and one HTTP
// server per address 127.0.0.2 to 127.0.0.4, all on one port, that say their
// address. The settings may be changed before.
func newWorld(t *testing.T, changes ...func(*render.Settings)) *world {
	hap := haproxytest.New(t)
	s := hap.Settings()
	s.MaxConn = 500
	for _, change := range changes {
		change(&s)
	}
	w := &world{t: t, hap: hap, settings: s, renderer: haproxytest.StartEmpty(t, hap, s), services: map[string]catalog.Service{}, tasks: map[string][]netip.Addr{}}
	w.renderer.SetForbidden(loopback(t).Forbidden(nil))
	w.backend = upstreams(t, "127.0.0.2", "127.0.0.3", "127.0.0.4")
	w.h = w.applier()
	return w
}

func (w *world) applier() *apply.HAProxy {
	return apply.New(apply.Options{
		Binary: tooltest.Path(w.t, "haproxy"), Dir: w.hap.Dir,
		Worker: runtime.New(w.hap.Stats), Master: runtime.NewMaster(w.hap.Master), Log: slog.New(slog.DiscardHandler),
	})
}

func upstreams(t *testing.T, addrs ...string) uint16 {
	t.Helper()
	port := tooltest.FreePort(t)
	for _, a := range addrs {
		var lc net.ListenConfig
		ln, err := lc.Listen(t.Context(), "tcp", net.JoinHostPort(a, strconv.Itoa(port)))
		if err != nil {
			t.Fatal(err)
		}
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprint(w, a) }))
		_ = srv.Listener.Close()
		srv.Listener = ln
		srv.Start()
		t.Cleanup(srv.Close)
	}
	return uint16(port)
}

// deploy sets the labels of a service and its tasks.
func (w *world) deploy(name string, tasks []string, pairs ...string) {
	svc := catalog.Service{ID: name, Name: name, CreatedAt: time.Unix(int64(len(w.services)), 0), Labels: map[string]string{
		catalog.Notify: "true", "com.df.port": strconv.Itoa(int(w.backend)),
	}}
	for i := 0; i < len(pairs); i += 2 {
		svc.Labels[catalog.Prefix+pairs[i]] = pairs[i+1]
	}
	w.services[name] = svc
	w.tasks[name] = nil
	for _, a := range tasks {
		w.tasks[name] = append(w.tasks[name], netip.MustParseAddr(a))
	}
}

// loopback lets services name hosts where those of tests are.
func loopback(t *testing.T) outbound.Rules {
	t.Helper()
	r, err := outbound.Parse("127.0.0.0/8")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (w *world) apply() apply.Result {
	w.t.Helper()
	d := claims.Settle(mapValues(w.services), w.accepted, labels.Options{Outbound: loopback(w.t)})
	w.accepted = d.Accepted
	f, err := w.renderer.Render(d.Services, d.Tables, func(s route.Service, _ route.Backend) []netip.Addr { return w.tasks[s.ID] })
	if err != nil {
		w.t.Fatal(err)
	}
	res, err := w.h.Apply(w.t.Context(), f)
	if err != nil {
		w.t.Fatal(err)
	}
	return res
}

func mapValues(m map[string]catalog.Service) []catalog.Service {
	var out []catalog.Service
	for v := range maps.Values(m) {
		out = append(out, v)
	}
	return out
}

// answers asks often enough to see every task, and returns who answered, or the status.
func (w *world) answers(host, path string) string {
	w.t.Helper()
	seen := map[string]bool{}
	for range 6 {
		req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.hap.URL(path), nil)
		if err != nil {
			w.t.Fatal(err)
		}
		req.Host = host
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			w.t.Fatal(err)
		}
		body := make([]byte, 64)
		n, _ := res.Body.Read(body)
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK {
			seen[strconv.Itoa(res.StatusCode)] = true
			continue
		}
		seen[strings.TrimPrefix(string(body[:n]), "127.0.0.")] = true
	}
	var out []string
	for _, k := range []string{"2", "3", "4", "503"} {
		if seen[k] {
			out = append(out, k)
			delete(seen, k)
		}
	}
	if len(seen) > 0 {
		w.t.Fatalf("unexpected answers %v", seen)
	}
	return strings.Join(out, ",")
}

func (w *world) want(host, path, who string) {
	w.t.Helper()
	if got := w.answers(host, path); got != who {
		w.t.Errorf("%s%s is answered by %q, want %q", host, path, got, who)
	}
}

func TestLifeOfAService(t *testing.T) {
	w := newWorld(t)
	if err := w.h.Adopt(t.Context()); err != nil {
		t.Fatal(err)
	}
	pid := w.h.Running()
	step := func(what string) {
		t.Helper()
		if res := w.apply(); !res.Changed || res.Reload != "" {
			t.Errorf("%s: %+v, want a change without a reload", what, res)
		}
		if _, _, err := w.h.Tidy(t.Context()); err != nil {
			t.Errorf("%s: tidy: %v", what, err)
		}
		if drift, err := w.h.Compare(t.Context()); err != nil || drift != "" {
			t.Errorf("%s: what runs differs from what was applied: %s (%v)", what, drift, err)
		}
		if err := w.h.CheckFile(t.Context()); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if res := w.apply(); res.Changed {
			t.Errorf("%s: the second pass changed something again: %+v", what, res)
		}
	}
	w.want("x.com", "/a", "503")
	w.deploy("web", []string{"127.0.0.2"}, "servicePath", "/a")
	step("a new service")
	w.want("x.com", "/a/b", "2")
	w.deploy("web", []string{"127.0.0.2", "127.0.0.3"}, "servicePath", "/a")
	step("a second task")
	w.want("x.com", "/a", "2,3")
	w.deploy("web", []string{"127.0.0.3"}, "servicePath", "/b")
	step("a path that moves while the first task leaves")
	w.want("x.com", "/b", "3")
	w.want("x.com", "/a", "503")
	w.deploy("www", []string{"127.0.0.4"}, "serviceDomain", "www.acme.com,*.x.acme.com")
	step("a service with domains")
	w.want("WWW.acme.com:8080", "/b", "4")
	w.want("y.x.acme.com.", "/", "4")
	w.want("acme.com", "/b", "3")
	w.deploy("more", []string{"127.0.0.2"}, "serviceDomain", "*.y.x.acme.com", "servicePath", "/only")
	step("a longer wildcard")
	w.want("z.y.x.acme.com", "/only", "2")
	w.want("z.y.x.acme.com", "/else", "4")
	w.deploy("web", nil, "servicePath", "/b")
	step("the last task is gone")
	w.want("x.com", "/b", "503")
	delete(w.services, "web")
	delete(w.services, "more")
	step("services removed")
	w.want("z.y.x.acme.com", "/only", "4")
	w.deploy("web", []string{"127.0.0.2"}, "servicePath", "/again")
	step("a service of the same name comes back")
	w.want("x.com", "/again", "2")
	if w.h.Running() != pid {
		t.Error("HAProxy reloaded")
	}
	text, err := os.ReadFile(filepath.Join(w.hap.Dir, apply.ConfigName))
	if err != nil || !strings.Contains(string(text), "backend web-be") {
		t.Errorf("the file does not follow what runs (%v): %s", err, text)
	}
}

func TestTablesOfTheRealHAProxyFollowTheModel(t *testing.T) {
	w := newWorld(t)
	w.deploy("root", []string{"127.0.0.2"}, "servicePath", "/")
	w.deploy("api", []string{"127.0.0.3"}, "servicePath", "/api", "aclName", "01")
	w.deploy("host", []string{"127.0.0.4"}, "serviceDomain", "h.com", "servicePath", "/,/api/v2")
	w.deploy("well", []string{"127.0.0.3"}, "servicePath", "/.well-known/x")
	w.apply()
	for request, who := range map[string]string{
		"h.com/": "4", "h.com/api/v2": "3", "o.com/": "2", "o.com/apixyz": "3", "o.com/API": "2", "h.com/.well-known/x/y": "3", "h.com/.well-known": "4",
	} {
		host, path, _ := strings.Cut(request, "/")
		w.want(host, "/"+path, who)
	}
}

func TestRefusedConfigurationTouchesNothing(t *testing.T) {
	w := newWorld(t)
	w.deploy("web", []string{"127.0.0.2"}, "servicePath", "/a")
	w.apply()
	before, err := os.ReadFile(filepath.Join(w.hap.Dir, apply.ConfigName))
	if err != nil {
		t.Fatal(err)
	}
	bad := file.File{Frame: []*file.Section{file.NewSection("", "nonsense", "", "")}}
	_, err = w.h.Apply(t.Context(), bad)
	var refused *apply.CheckError
	if !errors.As(err, &refused) || !strings.Contains(refused.Output, "nonsense") {
		t.Fatalf("got %v, want HAProxy's own words", err)
	}
	after, err := os.ReadFile(filepath.Join(w.hap.Dir, apply.ConfigName))
	if err != nil || string(after) != string(before) {
		t.Errorf("the last good file was touched (%v)", err)
	}
	w.want("x.com", "/a", "2")
}

func TestControllerThatStartsAnewAdopts(t *testing.T) {
	w := newWorld(t)
	w.deploy("web", []string{"127.0.0.2", "127.0.0.3"}, "servicePath", "/a")
	w.apply()
	w.deploy("web", []string{"127.0.0.3"}, "servicePath", "/b")
	w.apply()
	if _, _, err := w.h.Tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	pid := w.h.Running()
	w.h = w.applier()
	if err := w.h.Adopt(t.Context()); err != nil {
		t.Fatal(err)
	}
	if res := w.apply(); res.Changed {
		t.Errorf("a restart of the controller changed %+v", res)
	}
	if got := w.h.Addresses(route.Backend{Name: "web-be" + strconv.Itoa(int(w.backend)) + "_0"}); len(got) != 1 || got[0].String() != "127.0.0.3" {
		t.Errorf("adopted addresses %v, want 127.0.0.3", got)
	}
	w.deploy("web", []string{"127.0.0.4"}, "servicePath", "/b")
	w.apply()
	w.want("x.com", "/b", "4")
	if w.h.Running() != pid {
		t.Error("HAProxy reloaded")
	}
}

func TestHAProxyThatWasReloadedByOthersIsMadeEqualAgain(t *testing.T) {
	w := newWorld(t)
	w.deploy("web", []string{"127.0.0.2"}, "servicePath", "/a")
	w.apply()
	if _, err := runtime.NewMaster(w.hap.Master).Reload(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	if res := w.apply(); res.Reload == "" {
		t.Errorf("%+v, want a reload, because the new process's state is not known", res)
	}
	w.want("x.com", "/a", "2")
}

// TestChangesUnderLoad: label changes of other services and a reload cost no request.
func TestChangesUnderLoad(t *testing.T) {
	for _, keepAlive := range []bool{true, false} {
		t.Run(fmt.Sprintf("keepalive=%v", keepAlive), func(t *testing.T) {
			w := newWorld(t)
			w.deploy("target", []string{"127.0.0.2", "127.0.0.3"}, "servicePath", "/target")
			w.apply()
			load := haproxytest.StartLoad(t, w.hap.URL("/target"), 8, keepAlive)
			for i := range 30 {
				w.deploy("other", []string{"127.0.0.4"}, "servicePath", fmt.Sprintf("/other%d", i))
				if i%3 == 0 {
					w.deploy("target", []string{"127.0.0.3"}, "servicePath", "/target")
				} else {
					w.deploy("target", []string{"127.0.0.2", "127.0.0.3"}, "servicePath", "/target")
				}
				w.apply()
				if _, _, err := w.h.Tidy(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if requests, failed := load.Stop(); len(failed) > 0 || requests < 100 {
				t.Errorf("%d of %d requests failed: %v", len(failed), requests, failed)
			}
		})
	}
}

// TestDamagedFilesAreMended: what a disk has spoilt holds up no change, whichever file it is,
// and whoever was refused stays so.
func TestDamagedFilesAreMended(t *testing.T) {
	w := newWorld(t)
	w.deploy("web", []string{"127.0.0.2"}, "servicePath", "/a")
	w.deploy("inner", []string{"127.0.0.2"}, "servicePath", "/inner", "allowedAddresses", "203.0.113.0/24")
	w.apply()
	files, err := os.ReadDir(w.hap.Dir)
	if err != nil {
		t.Fatal(err)
	}
	spoilt := 0
	for _, f := range files {
		if path := filepath.Join(w.hap.Dir, f.Name()); f.Type().IsRegular() {
			tooltest.Must(t, os.WriteFile(path, []byte("spoilt\x00{"), 0o600))
			spoilt++
		}
	}
	t.Log(spoilt, "files are spoilt")
	w.h = w.applier()
	if err := w.h.Adopt(t.Context()); err != nil {
		t.Log("adopt:", err) // then all is loaded anew
	}
	w.deploy("more", []string{"127.0.0.3"}, "servicePath", "/more", "maxBody", "10")
	w.apply()
	w.want("x.com", "/a", "2")
	w.want("x.com", "/more", "3")
	if got := request(t, http.MethodGet, w.hap.URL("/inner")).StatusCode; got != http.StatusForbidden {
		t.Errorf("whoever is not allowed is answered %d", got)
	}
	tooltest.Must(t, w.h.CheckFile(t.Context()))
}
