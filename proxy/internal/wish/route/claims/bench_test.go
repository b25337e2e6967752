package claims_test

import (
	"fmt"
	"maps"
	"testing"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/catalogtest"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/claims"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
)

// BenchmarkSettleOneChangeOf1000 is what one changed path among a thousand services costs
// until it is decided who has which route.
func BenchmarkSettleOneChangeOf1000(b *testing.B) {
	services := catalogtest.Services(1000)
	settler := claims.NewSettler(labels.Options{Networks: []string{catalogtest.Network}, Ports: []int{80}})
	accepted := settler.Settle(services, nil).Accepted
	for i := 0; b.Loop(); i++ {
		svc := &services[500]
		svc.Labels = maps.Clone(svc.Labels)
		svc.Labels[catalog.Prefix+"servicePath"] = fmt.Sprintf("/moved%d", i)
		d := settler.Settle(services, accepted)
		if len(d.Services) != len(services) {
			b.Fatalf("%d of %d services are in force", len(d.Services), len(services))
		}
		accepted = d.Accepted
	}
}

// BenchmarkReadLabels is what reading the labels of one service costs.
func BenchmarkReadLabels(b *testing.B) {
	svc := catalogtest.Services(1)[0]
	for b.Loop() {
		if _, err := labels.FromService(svc, labels.Options{Ports: []int{80}}); err != nil {
			b.Fatal(err)
		}
	}
}
