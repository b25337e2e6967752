package render

import (
	"fmt"
	"maps"
	"net/netip"
	"testing"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/catalogtest"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/plan"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/claims"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
)

// size is the number of services that the benchmarks have.
const size = 1000

// pure is the proxy's pure part with what it knows from one pass to the next.
type pure struct {
	services []catalog.Service
	settler  *claims.Settler
	renderer *Renderer
	accepted map[string]catalog.Service
	have     file.File
}

func newPure(b *testing.B) *pure {
	b.Helper()
	r, err := NewRenderer(settings("/x"))
	if err != nil {
		b.Fatal(err)
	}
	return &pure{
		services: catalogtest.Services(size), renderer: r,
		settler: claims.NewSettler(labels.Options{Networks: []string{catalogtest.Network}, Ports: []int{80}}),
	}
}

// settle fails if a service is rejected.
func (p *pure) settle(b *testing.B) claims.Desired {
	b.Helper()
	d := p.settler.Settle(p.services, p.accepted)
	if len(d.Services) != size {
		b.Fatalf("%d of %d services are in force", len(d.Services), size)
	}
	return d
}

// pass returns the plan.
func (p *pure) pass(b *testing.B) plan.Plan {
	b.Helper()
	d := p.settle(b)
	want, err := p.renderer.Render(d.Services, d.Tables, tasks)
	if err != nil {
		b.Fatal(err)
	}
	todo := plan.Diff(p.have, want, plan.Abilities{DynamicBackends: true})
	p.accepted, p.have = d.Accepted, want
	return todo
}

// tasks are two of each backend.
func tasks(_ route.Service, b route.Backend) []netip.Addr {
	return []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, 2}), netip.AddrFrom4([4]byte{10, 0, byte(len(b.Name)), 3})}
}

// BenchmarkOneChangeOf1000 is what a changed path costs from the catalog to the plan.
// The goal is less than 5 ms.
func BenchmarkOneChangeOf1000(b *testing.B) {
	p := newPure(b)
	p.pass(b)
	for i := 0; b.Loop(); i++ {
		svc := &p.services[size/2]
		svc.Labels = maps.Clone(svc.Labels)
		svc.Labels[catalog.Prefix+"servicePath"] = fmt.Sprintf("/moved%d", i)
		if todo := p.pass(b); todo.Empty() || todo.Reload != "" {
			b.Fatalf("the plan is %q", todo)
		}
	}
}

// BenchmarkOneMoreOf1000 is what another service in the place of one that goes costs from the catalog to the plan.
func BenchmarkOneMoreOf1000(b *testing.B) {
	p := newPure(b)
	p.pass(b)
	last := &p.services[size-1]
	for i := 0; b.Loop(); i++ {
		last.ID, last.Name = fmt.Sprintf("more%d", i), fmt.Sprintf("more%d", i)
		if todo := p.pass(b); len(todo.AddBackends) != 1 || todo.Reload != "" {
			b.Fatalf("the plan is %q", todo)
		}
	}
}

// BenchmarkNoChangeOf1000 is what a pass costs that finds nothing to do.
func BenchmarkNoChangeOf1000(b *testing.B) {
	p := newPure(b)
	p.pass(b)
	for b.Loop() {
		if todo := p.pass(b); !todo.Empty() {
			b.Fatalf("the plan is %q", todo)
		}
	}
}

// BenchmarkSettle1000 is the part of a pass that decides who has which route.
func BenchmarkSettle1000(b *testing.B) {
	p := newPure(b)
	p.pass(b)
	for b.Loop() {
		p.settle(b)
	}
}

// BenchmarkCold1000 is the first pass after a start.
func BenchmarkCold1000(b *testing.B) {
	for b.Loop() {
		newPure(b).pass(b)
	}
}
