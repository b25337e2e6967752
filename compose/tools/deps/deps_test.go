package deps

import (
	"slices"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	const w = prefix
	tests := []struct {
		name     string
		from     string
		imported string
		test     bool
		rule     string
	}{
		{name: "service imports service", from: "proxy", imported: w + "listener", rule: "services never import each other"},
		{name: "test of a service imports service", from: "proxy", imported: w + "listener", test: true, rule: "services never import each other"},
		{name: "pkg imports service", from: "pkg/app", imported: w + "scaler", rule: "pkg imports no service"},
		{name: "service imports compose", from: "scaler", imported: w + "compose/e2e/lab", rule: "only compose may import what is in compose"},
		{name: "tools import e2e", from: "compose/tools/docs", imported: w + "compose/e2e/lab", rule: "tools import no test of the whole"},
		{name: "e2e imports tools", from: "compose/e2e/house", imported: w + "compose/tools/contract"},
		{name: "e2e imports services", from: "compose/e2e", imported: w + "scaler"},
		{name: "waggle asks a judge", from: "compose/waggle/internal/lint", imported: w + "proxy/judge"},
		{name: "waggle passes a judge by", from: "compose/waggle/internal/cli", imported: w + "listener", rule: "waggle knows of a service what its judge says"},
		{name: "service imports pkg", from: "scaler/internal/scale", imported: w + "pkg/docker"},
		{name: "service imports itself", from: "scaler", imported: w + "scaler/internal/scale"},
		{name: "command passes Run by", from: "scaler/cmd/scaler", imported: w + "scaler/internal/scale", rule: "a command starts its service through Run alone"},
		{name: "docker in its place", from: "pkg/docker", imported: "github.com/docker/docker/client"},
		{name: "docker elsewhere", from: "scaler/internal/scale", imported: "github.com/docker/docker/client", rule: "only pkg/docker, pkg/dockertest may"},
		{name: "docker in a test", from: "scaler/internal/scale", imported: "github.com/docker/docker/client", test: true},
		{name: "a name that only begins alike", from: "scaler", imported: "github.com/docker/dockerish"},
		{name: "nats below its place", from: "pkg/bus/embedded", imported: "github.com/nats-io/nats-server/v2/server"},
		{name: "nats elsewhere", from: "proxy", imported: "github.com/nats-io/nats.go", rule: "only pkg/bus, pkg/bustest may"},
		{name: "nats in a test elsewhere", from: "proxy", imported: "github.com/nats-io/nats.go", test: true, rule: "only pkg/bus, pkg/bustest may"},
		{name: "embedded server in a service", from: "proxy", imported: w + "pkg/bus/embedded", rule: "only listener, pkg/bus, pkg/bustest, compose/e2e may"},
		{name: "client-native elsewhere", from: "proxy/internal/wish/route", imported: "github.com/haproxytech/client-native/v6/config-parser", rule: "only proxy/internal/haproxy may"},
		{name: "promql in its place", from: "monitor/internal/alert", imported: "github.com/prometheus/prometheus/promql/parser"},
		{name: "promql elsewhere", from: "scaler/internal/policy", imported: "github.com/prometheus/prometheus/promql/parser", rule: "only monitor/internal, compose/tools/dashboards may"},
		{name: "client_golang is free", from: "scaler", imported: "github.com/prometheus/client_golang/prometheus"},
		{name: "catalog imports a library", from: "pkg/catalog", imported: "github.com/go-chi/chi/v5", rule: "it may import the standard library only"},
		{name: "catalog imports the standard library", from: "pkg/catalog", imported: "encoding/json"},
		{name: "scaling imports an adapter", from: "pkg/scaling", imported: w + "pkg/bus", rule: "it may import the standard library and pkg/label only"},
		{name: "label imports pkg", from: "pkg/label", imported: w + "pkg/catalog", rule: "it may import the standard library only"},
		{name: "pure middle imports an adapter's package", from: "proxy/internal/wish/route", imported: w + "pkg/docker", rule: "the pure middle may import pkg/catalog, pkg/label, pkg/picture and pkg/scaling only"},
		{name: "pure middle looks outside", from: "scaler/internal/policy", imported: "os", rule: "the pure middle has no outside"},
		{name: "a room imports one below it", from: "proxy/internal/controller", imported: w + "proxy/internal/haproxy/file"},
		{name: "a room imports one above it", from: "proxy/internal/haproxy/file", imported: w + "proxy/internal/haproxy/plan", rule: "rooms import what stands below them, see deps.go"},
		{name: "a test imports a room above its own", from: "proxy/internal/haproxy/file", imported: w + "proxy/internal/haproxy/plan", test: true},
		{name: "a room imports what helps tests", from: "proxy/internal/api", imported: w + "proxy/internal/haproxytest", rule: "what helps tests is imported by tests alone"},
		{name: "what helps tests imports rooms", from: "proxy/internal/haproxytest", imported: w + "proxy/internal/haproxy/render"},
		{name: "a room below it that is not in the order", from: "proxy/internal/api", imported: w + "proxy/internal/attic", rule: "rooms import what stands below them, see deps.go"},
		{name: "pure middle's test looks outside", from: "scaler/internal/policy", imported: "os", test: true},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			p := Package{ImportPath: w + tc.from, Imports: []string{tc.imported}}
			want := []Offence{{Package: p.ImportPath, Import: tc.imported, Rule: tc.rule}}
			if tc.test {
				p.Imports, p.XTestImports = nil, p.Imports
				want[0].Package += " (test)"
			}
			if tc.rule == "" {
				want = nil
			}
			if got := Check([]Package{p}); !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

func TestCheckKnowsEveryRoom(t *testing.T) {
	const attic = prefix + "proxy/internal/attic"
	got := Check([]Package{{ImportPath: attic}, {ImportPath: prefix + "proxy/internal/api"}, {ImportPath: prefix + "proxy/internal/newtest"}, {ImportPath: prefix + "scaler/internal/attic"}})
	want := []Offence{{Package: attic, Rule: "it stands in no place of the order of rooms, see deps.go"}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestDraw(t *testing.T) {
	got := Draw([]Package{{ImportPath: prefix + "proxy/cmd/proxy", Imports: []string{"fmt", prefix + "proxy", prefix + "pkg/app"}}}, "proxy")
	if want := " 1 proxy/cmd/proxy -> 2\n 2 proxy\n"; !strings.HasPrefix(got, want) {
		t.Errorf("got %q, want it to begin with %q", got, want)
	}
}

func TestCheckPassesOthersBy(t *testing.T) {
	if got := Check([]Package{{ImportPath: "example.com/x", Imports: []string{"github.com/docker/docker/client"}}}); got != nil {
		t.Errorf("got %v for a package that is not ours", got)
	}
}
