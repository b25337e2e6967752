package claims_test

import (
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/pathtest"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/claims"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/routetest"
)

// readers are how tasks make of a path in a request what they look up, each without our code.
func readers() map[string]func(string) string {
	decoded := func(text string) string {
		if plain, err := url.PathUnescape(text); err == nil {
			return plain
		}
		return text // as most do that meet a percent sign with nothing behind it
	}
	// One of a segment's parameters is no part of its name.
	named := func(text string) string {
		segments := strings.Split(text, "/")
		for i, s := range segments {
			segments[i], _, _ = strings.Cut(s, ";")
		}
		return strings.Join(segments, "/")
	}
	slashes := strings.NewReplacer(`\`, "/")
	encoded := strings.NewReplacer("%2f", "%252f", "%2F", "%252F")
	return map[string]func(string) string{
		"RFC 3986":                      func(p string) string { return path.Clean(decoded(encoded.Replace(p))) },
		"one that decodes all":          func(p string) string { return path.Clean(decoded(p)) },
		"one that knows no slashes":     func(p string) string { return path.Clean(slashes.Replace(decoded(p))) },
		"one that cuts parameters away": func(p string) string { return path.Clean(decoded(named(p))) },
		"RFC 3986 without parameters":   func(p string) string { return path.Clean(decoded(encoded.Replace(named(p)))) },
	}
}

// FuzzGuardedPath: a path that some task takes for one that is guarded is looked up as such or
// refused.
func FuzzGuardedPath(f *testing.F) {
	guards := [][]string{
		{"servicePath.1", "/admin"},
		{"servicePath.1", "//%61dmi%6e"},
		{"servicePath.1", "^/admin(/|$)", "pathType.1", "path_reg"},
		{"servicePath.1", "admin", "pathType.1", "path_dir"},
		{"servicePath.1", "/admin", "pathType.1", "path_sub"},
		{"servicePath.1", "/", "servicePathExclude.2", "/admin"},
	}
	for i := range guards {
		for _, p := range slices.Concat(pathtest.Spellings(), pathtest.Harmless()) {
			f.Add(byte(i), p)
		}
	}
	var settled []claims.Desired
	for _, pairs := range guards {
		svc := routetest.Service("web", 1, append([]string{"port", "80", "users.1", "u:p", "servicePath.2", "/"}, pairs...)...)
		d := claims.Settle([]catalog.Service{svc}, nil, opts)
		if d.Verdicts[0].Err != nil {
			f.Fatal(d.Verdicts[0].Err)
		}
		settled = append(settled, d)
	}
	f.Fuzz(func(t *testing.T, guard byte, asked string) {
		if !strings.HasPrefix(asked, "/") || strings.ContainsAny(asked, "?# \x7f") || strings.ContainsFunc(asked, func(r rune) bool { return r < ' ' }) {
			return // It is no path, or not in a request.
		}
		d := settled[int(guard)%len(settled)]
		found := func(p string) string {
			backend, _ := routetest.Find(d.Tables, routetest.Request{Host: "any", Path: p, Port: 80})
			return backend
		}
		open := found("/public")
		if found(asked) != open {
			return
		}
		if other, ok := route.OtherReading(asked); ok && (other == route.OneOfMany || found(other) != open) {
			return // It is answered 400.
		}
		for name, reads := range readers() {
			if read := reads(asked); read == "/admin" || strings.HasPrefix(read, "/admin/") {
				t.Errorf("%q, which for %s is %q, gets past %q", asked, name, read, guards[int(guard)%len(guards)])
			}
		}
	})
}
