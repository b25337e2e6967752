package app

import (
	"context"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

func TestRequireToken(t *testing.T) {
	bearer := func(text string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", text) }
	}
	basic := func(user, password string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(user, password) }
	}
	led := func(header, text string) func(*http.Request) {
		return func(r *http.Request) {
			r.SetBasicAuth("any", "geheim")
			r.Header.Set(header, text)
		}
	}
	for _, c := range []struct {
		name  string
		token Secret
		with  func(*http.Request)
		want  int
	}{
		{"the token", "geheim", bearer("Bearer geheim"), http.StatusNoContent},
		{"the scheme in other letters", "geheim", bearer("bearer  geheim"), http.StatusNoContent},
		{"no token behind the scheme", "geheim", bearer("Bearer"), http.StatusUnauthorized},
		{"another token", "geheim", bearer("Bearer other"), http.StatusUnauthorized},
		{"as the password of anybody", "geheim", basic("any", "geheim"), http.StatusNoContent},
		{"as the user", "geheim", basic("geheim", ""), http.StatusUnauthorized},
		{"nothing", "geheim", func(*http.Request) {}, http.StatusUnauthorized},
		{"no scheme", "geheim", bearer("geheim"), http.StatusUnauthorized},
		{"the second of two", "geheim other", bearer("Bearer other"), http.StatusNoContent},
		{"both of two at once", "geheim other", bearer("Bearer geheim other"), http.StatusUnauthorized},
		{"a browser of another site", "geheim", led("Sec-Fetch-Site", "cross-site"), http.StatusForbidden},
		{"a browser of a sibling site", "geheim", led("Sec-Fetch-Site", "same-site"), http.StatusForbidden},
		{"an older browser of another site", "geheim", led("Origin", "https://evil.example"), http.StatusForbidden},
		{"a browser of nowhere", "geheim", led("Origin", "null"), http.StatusForbidden},
		{"a browser of its own pages", "geheim", led("Origin", "http://example.com"), http.StatusNoContent},
		{"a person who typed the address", "geheim", led("Sec-Fetch-Site", "none"), http.StatusNoContent},
		{"nothing where none is configured", "", bearer("Bearer "), http.StatusForbidden},
		{"an empty password where none is configured", "", basic("any", ""), http.StatusForbidden},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/", nil)
			c.with(r)
			w := httptest.NewRecorder()
			RequireToken(c.token)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })).ServeHTTP(w, r)
			if w.Code != c.want {
				t.Errorf("answered %d, want %d: %s", w.Code, c.want, w.Body)
			}
		})
	}
}

// TestAddressesWithoutToken: those that are listed need none, but no browser of another site.
func TestAddressesWithoutToken(t *testing.T) {
	from := []netip.Prefix{netip.MustParsePrefix("10.90.0.0/24")}
	for _, c := range []struct {
		remote, origin string
		want           int
	}{
		{"10.90.0.7:40000", "", http.StatusNoContent},
		{"[::ffff:10.90.0.7]:40000", "", http.StatusNoContent},
		{"10.90.1.7:40000", "", http.StatusUnauthorized},
		{"10.90.0.7:40000", "http://evil.example", http.StatusForbidden},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.RemoteAddr = c.remote
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		w := httptest.NewRecorder()
		RequireTokenUnless("geheim", from)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })).ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("%s %s: answered %d, want %d", c.remote, c.origin, w.Code, c.want)
		}
	}
}

// TestReading: with a token for it, what tells of services is told to those who send it, or one
// by which they may change something; health, metrics and pings stay open.
func TestReading(t *testing.T) {
	const read, other, write = "token-to-read-all", "another-one-to-read", "token-to-change-all"
	var sh Shell
	service := func(fs *flag.FlagSet) func(context.Context, Shell) error {
		var token Secret
		TokenVar(fs, &token, "token", "a token")
		return func(_ context.Context, given Shell) error { sh = given; return nil }
	}
	for _, c := range []struct {
		name, path, token string
		with, without     int
	}{
		{"no token", "/v1/services", "", 401, 204},
		{"the token", "/v1/services", read, 204, 204},
		{"the next one", "/v1/services", other, 204, 204},
		{"one that may change something", "/v1/services", write, 204, 204},
		{"a wrong one", "/v1/services", "token-to-read-nothing", 401, 204},
		{"a service that is called so", "/v1/services/ping", "", 401, 204},
		{"what is not there", "/nothing", "", 401, 404},
		{"health", "/healthz", "", 200, 200},
		{"metrics", "/metrics", "", 200, 200},
		{"a ping", "/v1/ping", "", 204, 204},
		{"to change something", "/v1/change", write, 204, 204},
		{"to change something by what only reads", "/v1/change", read, 401, 401},
	} {
		for what, env := range map[string]map[string]string{"with": {"READ_TOKEN": read, "READ_TOKEN_OTHER": other, "TOKEN": write}, "without": {"TOKEN": write}} {
			lookup := func(name string) (string, bool) { text, ok := env[name]; return text, ok }
			if code := run(t.Context(), "bee", "v1", service, nil, lookup, streams{strings.NewReader(""), io.Discard, io.Discard}); code != 0 {
				t.Fatalf("the service ended with %d", code)
			}
			r := Router(sh, func() error { return nil })
			done := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }
			r.Get("/v1/services", done)
			r.Get("/v1/services/{name}", done)
			r.Get("/v1/ping", done)
			r.With(RequireToken(write)).Get("/v1/change", done)
			req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, c.path, nil)
			if c.token != "" {
				req.Header.Set("Authorization", "Bearer "+c.token)
			}
			w := httptest.NewRecorder()
			r.ServeHTTP(w, req)
			if want := map[string]int{"with": c.with, "without": c.without}[what]; w.Code != want {
				t.Errorf("%s, %s a token to read: %d, want %d", c.name, what, w.Code, want)
			}
		}
	}
}
