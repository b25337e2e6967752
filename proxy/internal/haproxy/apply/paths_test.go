package apply_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/pathtest"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/render"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// asked is what HAProxy answers to a path as it stands, and what the task saw of it.
func asked(t *testing.T, port int, host, path string) (status int, seen string) {
	t.Helper()
	res := spoken(t, port, "GET "+path+" HTTP/1.1", "Host: "+host, "Connection: close")
	return res.StatusCode, res.Header.Get("X-Asked")
}

// guard is a service of which some requests for /admin are not for everybody.
type guard struct {
	name  string
	pairs []string
	// all says that it is also so with all other paths.
	all bool
}

func guards() []guard {
	return []guard{
		{name: "by its beginning", pairs: []string{"servicePath.1", "/admin", "users.1", "u:p", "servicePath.2", "/"}},
		{name: "whatever the label's spelling", pairs: []string{"servicePath.1", "//%61dmi%6e", "users.1", "u:p", "servicePath.2", "/"}},
		{name: "whole", pairs: []string{"servicePath.1", "/admin", "pathType.1", "path", "users.1", "u:p", "servicePath.2", "/"}},
		{name: "by an expression", pairs: []string{"servicePath.1", "^/admin$", "pathType.1", "path_reg", "users.1", "u:p", "servicePath.2", "/"}},
		{name: "by its end", pairs: []string{"servicePath.1", "/admin", "pathType.1", "path_end", "users.1", "u:p", "servicePath.2", "/"}},
		{name: "by a segment", pairs: []string{"servicePath.1", "admin", "pathType.1", "path_dir", "users.1", "u:p", "servicePath.2", "/"}},
		{name: "by being left out", pairs: []string{"servicePath.1", "/", "users.1", "u:p", "servicePath.2", "/", "servicePathExclude.2", "/admin"}, all: true},
		{name: "by addresses", pairs: []string{"servicePath.1", "/admin", "deniedAddresses.1", "127.0.0.0/8", "servicePath.2", "/"}},
	}
}

// holds fails for each spelling of /admin that gets to the task, and for each other path that
// does not, or not as it is written.
func (g guard) holds(t *testing.T, ask func(path string) (status int, seen string)) {
	t.Helper()
	for _, path := range pathtest.Spellings() {
		if status, _ := ask(path); status != 401 && status != 403 && status != 400 {
			t.Errorf("%s is answered %d, want 401, 403 or 400", path, status)
		}
	}
	if g.all {
		return
	}
	for _, path := range pathtest.Harmless() {
		if status, seen := ask(path); status != 200 || seen != path {
			t.Errorf("%s is answered %d, and the task sees %q", path, status, seen)
		}
	}
}

// TestGuardedPath: however a path is written, what guards it holds; and what is no way to
// write it goes its way as it came, also where the service has a host of its own.
func TestGuardedPath(t *testing.T) {
	for _, g := range guards() {
		for _, more := range [][]string{nil, {"serviceDomain", "any"}} {
			t.Run(strings.Join(append([]string{g.name}, more...), " "), func(t *testing.T) {
				w := newWorld(t)
				w.deploy("web", []string{"127.0.0.5"}, slices.Concat(g.pairs, more, []string{"port", echo(t)})...)
				w.apply()
				g.holds(t, func(path string) (status int, seen string) { return asked(t, w.hap.Port, "any", path) })
			})
		}
	}
}

// TestRawPath: a store whose keys have encoded slashes gets them, if it says so.
func TestRawPath(t *testing.T) {
	w := newWorld(t)
	port := echo(t)
	w.deploy("store", []string{"127.0.0.5"}, "serviceDomain", "s3.acme.com", "port", port, "rawPath", "true")
	w.deploy("other", []string{"127.0.0.5"}, "servicePath", "/.well-known/x", "port", port)
	w.deploy("plain", []string{"127.0.0.5"}, "serviceDomain", "www.acme.com", "servicePath", "/a", "port", port)
	w.apply()
	for _, c := range []struct {
		host, path string
		status     int
	}{
		{"s3.acme.com", "/bucket/a%2Fb", 200},
		{"s3.acme.com", "/.well-known%2fx", 200},
		{"s3.acme.com", "/bucket//a", 200},
		{"www.acme.com", "/a%2fb", 200},
		{"www.acme.com", "/a/..%2fb", 400},
		{"www.acme.com", "/.well-known%2fx", 400},
	} {
		if status, seen := asked(t, w.hap.Port, c.host, c.path); status != c.status || status == 200 && seen != c.path {
			t.Errorf("%s%s is answered %d, want %d, and the task sees %q", c.host, c.path, status, c.status, seen)
		}
	}
}

// TestRewrite: what a rewrite finds it finds however the path is written, and what it leaves
// is a path.
func TestRewrite(t *testing.T) {
	w := newWorld(t)
	port := echo(t)
	cases := []struct{ labels, path, want string }{
		{"/portainer,", "/portainer/x", "/x"},
		{"/portainer,", "/portainer", "/"},
		{"/portainer,", "/portainer?a=1", "/?a=1"},
		{"/portainer,", "/%70ortainer/x", "/x"},
		{"/app/,", "/app/today", "/today"},
		{"^.*$,", "/any", "/"},
		{"^/a/(.*)$,\\1", "/a//b", "/b"},
		{"/nothing,/x", "/a//b%2Fc/%61", "/a//b%2Fc/%61"},
		{"/a,/b:/b,/c", "/a/x", "/c/x"},
		{"/,,g", "/a/b/c", "/abc"},
	}
	for i, c := range cases {
		w.deploy(fmt.Sprint("web", i), []string{"127.0.0.5"}, "serviceDomain", fmt.Sprint("host", i), "port", port, "reqPathSearchReplace", c.labels)
	}
	w.apply()
	for i, c := range cases {
		if status, seen := asked(t, w.hap.Port, fmt.Sprint("host", i), c.path); status != 200 || seen != c.want {
			t.Errorf("%s: %s is answered %d, and the task sees %q, want %q", c.labels, c.path, status, seen, c.want)
		}
	}
}

// TestPathForms: HAProxy gives paths the form that labels are read in, whatever is asked for.
func TestPathForms(t *testing.T) {
	w := newWorld(t, func(s *render.Settings) {
		s.ExtraFrontend = []string{`http-request return status 200 content-type text/plain lf-string "%[var(txn.path)]\n%[var(txn.sent),lua.waggle_other_path]\n" if { var(txn.host) -m str forms }`}
	})
	w.deploy("web", []string{"127.0.0.5"}, "servicePath.1", "/admin", "users.1", "u:p", "servicePath.2", "/", "port", echo(t))
	w.deploy("forms", []string{"127.0.0.5"}, "servicePath", "/", "serviceDomain", "forms", "port", echo(t), "rawPath", "true")
	w.apply()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", w.hap.Port))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	in := bufio.NewReader(conn)
	rng := rand.New(rand.NewPCG(5, 6))
	for range 2000 {
		path := randomPath(rng)
		_, _ = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: forms\r\n\r\n", path)
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		body := bufio.NewScanner(res.Body)
		body.Scan()
		form := body.Text()
		body.Scan()
		other := body.Text()
		for body.Scan() {
		}
		want, ok := route.OtherReading(path)
		if !ok {
			want = ""
		}
		if form != route.Canonical(path) || other != want {
			t.Fatalf("%s is %q and %q, want %q and %q", path, form, other, route.Canonical(path), want)
		}
		guarded := func(path string) bool { return strings.HasPrefix(path, "/admin") }
		if !guarded(form) && !guarded(other) {
			continue
		}
		if status, _ := asked(t, w.hap.Port, "any", path); status != 401 && status != 400 {
			t.Fatalf("%s, which is %s or %s, is answered %d, want 401 or 400", path, form, other, status)
		}
	}
}

// randomPath is a path of pieces that some server reads in a way of its own.
func randomPath(rng *rand.Rand) string {
	pieces := []string{"/", "/", "/", "a", "b", "admin", ".", "..", "%2e", "%2E", "%2f", "%2F", "%5c", `\`, ";", ";x=1", "%61", "%", "%0", "%zz", "%00", "%c3%a9", "%25", "%3f", "~", "%7e", "+", "@"}
	path := "/"
	for range rng.IntN(12) {
		path += pieces[rng.IntN(len(pieces))]
	}
	return path
}
