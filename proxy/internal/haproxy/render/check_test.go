package render

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// TestLinesAreChecked: routes that no label should make all the same have a
// fault that names the label, and HAProxy is of the same opinion about the number of words.
func TestLinesAreChecked(t *testing.T) {
	steps := func(paths, agents int) route.Tables {
		return route.Tables{Chains: []route.Chain{{Name: "?1", Steps: []route.Step{{Backend: file.NoBackend, If: []route.Condition{
			{Fetch: route.FetchPath, Match: route.MatchPrefix, Not: true, Values: slices.Repeat([]string{"/no"}, paths)},
			{Fetch: route.FetchHeader, Header: "User-Agent", Match: route.MatchPart, IgnoreCase: true, Values: slices.Repeat([]string{"x"}, agents)},
		}}}}}}
	}
	answering := func(fetch string) []route.Service {
		h := route.Handling{Headers: []route.HeaderAction{{Verb: "set", Response: true, Name: "X", Value: []route.Part{{Fetch: fetch}}}}}
		return []route.Service{{Backends: []route.Backend{{Name: "web", Port: 80, Handling: h}}}}
	}
	for _, c := range []struct {
		name     string
		services []route.Service
		tables   route.Tables
		label    string
	}{
		// 2 words, if, 5 for the chain, 6 and 7 around the values.
		{"as many words as may be", nil, steps(24, 18), ""},
		{"too many", nil, steps(24, 20), "com.df.servicePathExclude"},
		{"too many of the other kind", nil, steps(20, 24), "com.df.userAgent"},
		{"the client", answering("src"), route.Tables{}, ""},
		{"a header of its request", answering("req.hdr(Foo)"), route.Tables{}, "com.df.setResHeader"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := settings(t.TempDir())
			r, err := NewRenderer(s)
			if err != nil {
				t.Fatal(err)
			}
			f, err := r.Render(c.services, c.tables, func(route.Service, route.Backend) []netip.Addr { return nil })
			if err != nil {
				t.Fatal(err)
			}
			err = f.Check()
			var fault *file.LineError
			if errors.As(err, &fault); c.label != "" && (fault == nil || fault.Label != c.label) || c.label == "" && err != nil {
				t.Errorf("the check says %v, want a fault of %q", err, c.label)
			}
			if err := check(t, s, f); (err == nil) != (c.label == "") {
				t.Errorf("HAProxy says %v", err)
			}
		})
	}
	s := settings("/x y")
	if _, err := NewRenderer(s); err == nil || !strings.Contains(err.Error(), "/x y") {
		t.Errorf("a folder with a space: %v, want a fault", err)
	}
}
