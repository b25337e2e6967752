package render

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/proxy/internal/settings/edge"
	"github.com/wagglehq/waggle/proxy/internal/wish/outbound"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/claims"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
)

// long is a text for a label that holds many things, each another one where that is possible;
// empty if the label holds one.
func long(spec label.Spec) string {
	element, between := map[string]string{
		"list of paths":                               "/a%d",
		"list of host names":                          "h%d.example.com",
		"list of `Name:Value`":                        "X-A%d:v",
		"list of texts":                               "agent%d",
		"list of port numbers":                        "%d",
		"list of methods":                             "M%d",
		"list of names":                               "X-A%d",
		"list of origins, or `*`":                     "https://h%d.example.com",
		"list of addresses and networks":              "10.0.0.%d",
		"list of `Name value`":                        "X-A%d v",
		"list of `name:password`, or names alone":     "u%d:p",
		"media types, separated by spaces":            "text/a%d",
		"status codes such as `200-399` or `200,204`": "%d",
		"`search,replace[,g]`, several joined by `:`": "^/a%d,/b",
	}[spec.Kind], ","
	switch {
	case element == "" && strings.HasPrefix(spec.Kind, "list of `conn-failure`"):
		element = "%d"
	case element == "":
		return ""
	case strings.Contains(spec.Kind, "spaces"):
		between = " "
	case strings.Contains(spec.Kind, "joined"):
		between = ":"
	}
	var all []string
	for i := range 130 {
		all = append(all, strings.ReplaceAll(element, "%d", fmt.Sprint(100+i)))
	}
	return strings.Join(all, between)
}

// plural is in what the page says that a label holds, if it holds many things.
var plural = regexp.MustCompile("list|several|separated|codes such")

// TestLongLists: a label with many of what it lists is taken, or refused by its name. None makes
// a line that HAProxy would not take, which would be refused without the name of any label.
func TestLongLists(t *testing.T) {
	l := newLaboratory(t, settings(t.TempDir()))
	for _, spec := range labels.Table() {
		text := long(spec)
		if text == "" && !plural.MatchString(spec.Kind) {
			continue
		}
		t.Run(spec.Name, func(t *testing.T) {
			if text == "" {
				t.Fatalf("nobody knows how to write many of %q", spec.Kind)
			}
			for _, c := range append([]example{{"the example of the page", exemplary(spec)}}, l.examples[spec.Name]...) {
				texts := maps.Clone(c.labels)
				for name := range texts {
					if base, _ := label.SplitIndex(strings.TrimPrefix(name, catalog.Prefix)); base == spec.Name {
						texts[name] = text
					}
				}
				f, _, err := l.render(t, texts)
				l.told(t, spec, text, err, true)
				if err := f.Check(); err != nil {
					t.Errorf("as in %s: %v", c.file, err)
				}
			}
		})
	}
}

// exemplary are the labels of the example that the page gives, of a service that has a port.
func exemplary(spec label.Spec) map[string]string {
	out := map[string]string{catalog.Notify: "true", catalog.Prefix + "port": "80", catalog.Prefix + "servicePath": "/subject"}
	for line := range strings.SplitSeq(spec.Example, "\n") {
		name, text, _ := strings.Cut(line, "=")
		out[catalog.Prefix+name] = text
	}
	return out
}

// TestManyNetworksOfTheOperator: those of a content delivery network are more than stand on a line.
func TestManyNetworksOfTheOperator(t *testing.T) {
	var networks []netip.Prefix
	var texts []string
	for i := range 300 {
		networks = append(networks, netip.MustParsePrefix(fmt.Sprintf("198.18.%d.%d/32", i/250, i%250)))
		texts = append(texts, networks[i].String())
	}
	o := readOptions()
	var err error
	if o.Outbound, err = outbound.Parse(strings.Join(texts, ",")); err != nil {
		t.Fatal(err)
	}
	s := settings(t.TempDir())
	s.Binds = []edge.Bind{{Port: 80, AcceptProxy: true}}
	s.TrustedProxies, s.Untrusted, s.Clients = networks[:150], networks[150:], Clients{Connections: 9}
	r, err := NewRenderer(s)
	if err != nil {
		t.Fatal(err)
	}
	d := claims.Settle(readServices("web servicePath=/\nweb port=80\nweb allowedAddresses=10.0.0.0/8\nweb forwardAuth=http://auth.example.com/\n"), nil, o)
	f, err := r.Render(d.Services, d.Tables, func(route.Service, route.Backend) []netip.Addr { return nil })
	if err != nil || d.Verdicts[0].Err != nil {
		t.Fatal(err, d.Verdicts[0].Err)
	}
	if err := f.Check(); err != nil {
		t.Fatal(err)
	}
	if err := check(t, s, f); err != nil {
		t.Error(err)
	}
}
