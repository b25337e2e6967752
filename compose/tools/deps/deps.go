// Package deps holds the rules about who may import whom, so that 'make deps'
// can name each offender.
package deps

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Package is what the rules need to know of a package; the names are those of
// 'go list -json'.
type Package struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// Offence is one import that no rule allows, or a package that may not be there.
type Offence struct {
	Package, Import, Rule string
}

func (o Offence) String() string {
	if o.Import == "" {
		return o.Package + ": " + o.Rule
	}
	return fmt.Sprintf("%s imports %s: %s", o.Package, o.Import, o.Rule)
}

const prefix = "github.com/wagglehq/waggle/"

// owner says which packages may import what an outside system's SDK offers.
type owner struct {
	sdk     []string
	folders []string
	// tests tells whether every test may import it too.
	tests bool
}

func owners() []owner {
	return []owner{
		{sdk: []string{"github.com/docker/docker", "github.com/moby/moby"}, folders: []string{"pkg/docker", "pkg/dockertest"}, tests: true},
		{sdk: []string{"github.com/nats-io"}, folders: []string{"pkg/bus", "pkg/bustest"}},
		{sdk: []string{"github.com/mholt/acmez"}, folders: []string{"proxy/internal/certs/acme"}},
		{sdk: []string{"github.com/go-acme"}, folders: []string{"proxy/internal/certs/acme/dns"}},
		{sdk: []string{"github.com/haproxytech"}, folders: []string{"proxy/internal/haproxy"}},
		{sdk: []string{"github.com/prometheus/prometheus"}, folders: []string{"monitor/internal", "compose/tools/dashboards"}},
		{sdk: []string{prefix + "pkg/bus/embedded"}, folders: []string{"listener", "pkg/bus", "pkg/bustest", "compose/e2e"}, tests: true},
	}
}

// rooms are the packages of a service from top to bottom: what is not a test imports only
// what stands below it. Beside what tests need, no other is there.
func rooms(service string) []string {
	if service != "proxy" {
		return nil
	}
	return []string{
		"proxy/cmd/proxy", "proxy",
		"proxy/internal/dockerflow", "proxy/internal/dockerflow/exporter", "proxy/internal/api",
		"proxy/internal/controller", "proxy/internal/replicas", "proxy/internal/settings", "proxy/internal/traffic", "proxy/internal/sleep", "proxy/internal/reach",
		"proxy/internal/certs/acme/dns", "proxy/internal/certs/acme",
		"proxy/internal/haproxy/supervisor", "proxy/internal/haproxy/apply", "proxy/internal/haproxy/silent", "proxy/internal/haproxy/runtime",
		"proxy/internal/haproxy/render", "proxy/internal/haproxy/plan", "proxy/internal/haproxy/file",
		"proxy/judge", "proxy/internal/settings/edge", "proxy/internal/wish/names",
		"proxy/internal/wish/route/claims", "proxy/internal/wish/route/owners", "proxy/internal/wish/static",
		"proxy/internal/wish/route/labels", "proxy/internal/wish/route/table", "proxy/internal/wish/route",
		"proxy/internal/wish/outbound", "proxy/internal/wish/budget",
		"proxy/internal/certs/store", "proxy/internal/certs/vault", "proxy/internal/certs/sealed", "proxy/internal/certs", "proxy/internal/addresses",
	}
}

// forTests reports whether a package helps tests alone.
func forTests(path string) bool { return strings.HasSuffix(path, "test") }

// climbs returns the rule that an import between the rooms of a service breaks, or nothing.
func climbs(from, to string) string {
	all := rooms(area(from))
	if all == nil || area(from) != area(to) || forTests(from) {
		return ""
	}
	if forTests(to) {
		return "what helps tests is imported by tests alone"
	}
	if slices.Index(all, to) <= slices.Index(all, from) {
		return "rooms import what stands below them, see deps.go"
	}
	return ""
}

// Draw is a drawing of a service's rooms from top to bottom, each with the others that it
// imports.
func Draw(packages []Package, service string) string {
	var out strings.Builder
	all := rooms(service)
	for i, room := range all {
		fmt.Fprintf(&out, "%2d %s", i+1, room)
		for _, p := range packages {
			if p.ImportPath != prefix+room {
				continue
			}
			sep := " -> "
			for _, imported := range p.Imports {
				if at := slices.Index(all, strings.TrimPrefix(imported, prefix)); at >= 0 {
					fmt.Fprintf(&out, "%s%d", sep, at+1)
					sep = " "
				}
			}
		}
		out.WriteByte('\n')
	}
	return out.String()
}

// Check returns every offence, sorted.
func Check(packages []Package) []Offence {
	var found []Offence
	for _, p := range packages {
		path, ours := strings.CutPrefix(p.ImportPath, prefix)
		if !ours {
			continue
		}
		if all := rooms(area(path)); all != nil && !forTests(path) && !slices.Contains(all, path) {
			found = append(found, Offence{p.ImportPath, "", "it stands in no place of the order of rooms, see deps.go"})
		}
		for _, i := range p.Imports {
			if rule := judge(path, i, false); rule != "" {
				found = append(found, Offence{p.ImportPath, i, rule})
			}
		}
		for _, i := range slices.Concat(p.TestImports, p.XTestImports) {
			if rule := judge(path, i, true); rule != "" {
				found = append(found, Offence{p.ImportPath + " (test)", i, rule})
			}
		}
	}
	slices.SortFunc(found, func(a, b Offence) int {
		return cmp.Or(cmp.Compare(a.Package, b.Package), cmp.Compare(a.Import, b.Import))
	})
	return slices.Compact(found)
}

// judge returns the rule that an import breaks, or nothing.
func judge(path, imported string, test bool) string {
	for _, o := range owners() {
		if slices.ContainsFunc(o.sdk, func(sdk string) bool { return within(imported, sdk) }) &&
			!slices.ContainsFunc(o.folders, func(f string) bool { return within(path, f) }) && (!test || !o.tests) {
			return "only " + strings.Join(o.folders, ", ") + " may"
		}
	}
	own, ours := strings.CutPrefix(imported, prefix)
	if !test && (within(path, "pkg/catalog") || within(path, "pkg/label")) && !standard(imported) {
		return "it may import the standard library only"
	}
	if !test && within(path, "pkg/scaling") && !standard(imported) && own != "pkg/label" {
		return "it may import the standard library and pkg/label only"
	}
	if !test && pure(path) {
		if ours && within(own, "pkg") && !slices.Contains([]string{"pkg/catalog", "pkg/label", "pkg/picture", "pkg/scaling"}, own) {
			return "the pure middle may import pkg/catalog, pkg/label, pkg/picture and pkg/scaling only"
		}
		if slices.Contains([]string{"os", "os/exec", "net/http", "log/slog"}, imported) {
			return "the pure middle has no outside"
		}
	}
	if !ours {
		return ""
	}
	if rule := climbs(path, own); rule != "" && !test {
		return rule
	}
	from, to := area(path), area(own)
	switch {
	case within(path, "compose/tools") && within(own, "compose/e2e"):
		return "tools import no test of the whole"
	case !test && within(path, "compose/waggle") && slices.Contains([]string{"proxy", "monitor", "scaler", "listener"}, to) && own != to+"/judge":
		return "waggle knows of a service what its judge says"
	case from == to && strings.HasPrefix(path, from+"/cmd/") && from != "compose" && within(own, from+"/internal"):
		return "a command starts its service through Run alone"
	case from == to, from == "compose":
		return ""
	case to == "compose":
		return "only compose may import what is in compose"
	case from == "pkg":
		return "pkg imports no service"
	case to != "pkg":
		return "services never import each other"
	}
	return ""
}

// area is the top-level folder of a package.
func area(path string) string {
	folder, _, _ := strings.Cut(path, "/")
	return folder
}

// pure tells whether a package turns labels into values.
func pure(path string) bool {
	return slices.Contains([]string{
		"proxy/internal/wish/names", "proxy/internal/wish/route", "proxy/internal/wish/outbound", "proxy/internal/wish/budget", "proxy/internal/wish/route/owners", "proxy/internal/wish/route/labels", "proxy/internal/wish/route/claims", "proxy/internal/wish/route/table",
		"proxy/internal/wish/static", "proxy/internal/settings/edge", "proxy/internal/haproxy/file", "proxy/internal/haproxy/plan", "proxy/internal/haproxy/render",
		"proxy/internal/certs", "proxy/judge", "monitor/judge", "listener/judge", "monitor/internal/scrape", "monitor/internal/alert", "monitor/internal/truth", "monitor/internal/ready", "monitor/internal/desired", "monitor/internal/report",
		"scaler/internal/policy", "pkg/picture", "compose/waggle/internal/lint", "compose/waggle/internal/why", "compose/waggle/internal/view",
	}, path)
}

func within(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}

// standard tells whether a package is Go's own: those have no dot in front of
// the first slash.
func standard(path string) bool { return !strings.Contains(area(path), ".") }
