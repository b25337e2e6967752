package app

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
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
