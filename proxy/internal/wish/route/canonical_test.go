package route_test

import (
	"testing"

	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// All spellings of a path have one form, and what a task may read in two ways has another
// reading.
func TestCanonical(t *testing.T) {
	for _, c := range []struct{ path, want, other string }{
		{"/", "/", ""},
		{"/admin/x", "/admin/x", ""},
		{"/%61dmin", "/admin", ""},
		{"/%41dmin", "/Admin", ""},
		{"//admin", "/admin", ""},
		{"/a///b//", "/a/b/", ""},
		{"/./admin", "/admin", ""},
		{"/x/../admin/x", "/admin/x", ""},
		{"/x/%2e%2E/admin", "/admin", ""},
		{"/x/.%2e/admin", "/admin", ""},
		{"/x//../admin", "/admin", ""},
		{"/../../admin", "/admin", ""},
		{"/a/.", "/a/", ""},
		{"/a/b/..", "/a/", ""},
		{"/..", "/", ""},
		{"/.git/...", "/.git/...", ""},
		{"/%40u/%24m/%2b", "/@u/$m/+", ""},
		{"/caf%c3%a9", "/caf%C3%A9", ""},
		{"/caf\xc3\xa9", "/caf%C3%A9", ""},
		{"/a%20b%3f%23%25%00", "/a%20b%3F%23%25%00", ""},
		{"/%2561dmin", "/%2561dmin", ""},
		{"/100%", "/100%25", ""},
		{"/%zz%6", "/%25zz%256", ""},
		{"/a;v=1/b", "/a;v=1/b", "/a/b"},
		{"/a/b%3Bv", "/a/b;v", "/a/b"},
		{"/group%2fname", "/group%2Fname", "/group/name"},
		{`/x\..\admin`, "/x%5C..%5Cadmin", "/admin"},
		{"/x%2f..%2Fadmin", "/x%2F..%2Fadmin", "/admin"},
		{"/%2fadmin", "/%2Fadmin", "/admin"},
		{"/;/admin", "/;/admin", "/admin"},
		{"/x/..;a=b/admin", "/x/..;a=b/admin", "/admin"},
		{"/a/b%2Fc/../x", "/a/x", route.OneOfMany},
		{"/;%2fx/admin", "/;%2Fx/admin", route.OneOfMany},
		{`/;\x/admin`, "/;%5Cx/admin", route.OneOfMany},
		{"/x%2f..;%2fy/admin", "/x%2F..;%2Fy/admin", route.OneOfMany},
		{"/;x/admin/..%2Fy", "/;x/admin/..%2Fy", route.OneOfMany},
		{"x", "x", ""},
		{"", "", ""},
	} {
		if got := route.Canonical(c.path); got != c.want {
			t.Errorf("%q is %q, want %q", c.path, got, c.want)
		}
		other, ok := route.OtherReading(c.path)
		if !ok {
			other = ""
		}
		if other != c.other {
			t.Errorf("%q may be read as %q, want %q", c.path, other, c.other)
		}
	}
}

// What is the beginning of a path, or a part, may go on behind its last character.
func TestCanonicalPart(t *testing.T) {
	for text, want := range map[string]string{
		"/%61dmin": "/admin", "//a": "/a", "/.": "/.", "/a/..": "/a/..", "/a/./b": "/a/b", "/a/../b": "/b", ".php": ".php", "a//b": "a/b", `a\b`: "a%5Cb",
	} {
		if got := route.CanonicalPart(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

// A form is its own form, and the same whatever of it was encoded.
func FuzzCanonical(f *testing.F) {
	for _, path := range []string{"/a/../b", "//%2e/x", `/\;/%2f`, "/%%361", "/..;/%5c..//"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		form := route.Canonical(path)
		if again := route.Canonical(form); again != form {
			t.Errorf("%q is %q, and that %q", path, form, again)
		}
		if _, ok := route.OtherReading(path); !ok {
			if _, ok := route.OtherReading(form); ok {
				t.Errorf("%q has one reading, its form %q has more", path, form)
			}
		}
	})
}
