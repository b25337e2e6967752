package controller_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/catalogtest"
	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/internal/addresses"
	"github.com/wagglehq/waggle/proxy/internal/controller"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/apply"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/runtime"
	"github.com/wagglehq/waggle/proxy/internal/haproxytest"
	"github.com/wagglehq/waggle/proxy/internal/sleep"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
	"github.com/wagglehq/waggle/proxy/judge"
)

// known is a Follower that knows the same task of each service.
type known struct{}

func (known) Set(map[string]addresses.Target, addresses.Known) {}

func (known) Refused(string) []addresses.Refused { return nil }

func (known) Addresses(string) ([]netip.Addr, bool) {
	return []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, 2})}, true
}

// BenchmarkPassOf1000 is a whole pass with a real HAProxy: one service of a thousand
// gets another path.
func BenchmarkPassOf1000(b *testing.B) {
	hap := haproxytest.New(b)
	s := hap.Settings()
	s.MaxConn = 500
	haproxytest.StartEmpty(b, hap, s)

	services := map[string]catalog.Service{}
	for _, svc := range catalogtest.Services(1000) {
		services[svc.ID] = svc
	}
	accepted := map[string]catalog.Service{}
	running := apply.New(apply.Options{
		Binary: tooltest.Path(b, "haproxy"), Dir: hap.Dir, Worker: runtime.New(hap.Stats), Master: runtime.NewMaster(hap.Master),
		Log: slog.New(slog.DiscardHandler),
	})
	c, err := controller.New(controller.Options{
		Source: controller.Source{
			Catalog:  func() (catalog.Snapshot, bool) { return catalog.Snapshot{Services: services}, true },
			Accepted: func() (map[string]catalog.Service, bool) { return accepted, true },
		},
		Follower: known{}, Arrivals: sleep.NewArrivals(func() {}), Settings: s, Rules: judge.Rules{Options: labels.Options{Networks: []string{catalogtest.Network}, Ports: []int{hap.Port}}},
		HAProxy:   controller.HAProxy{Engine: running, Checker: running, Servers: running, Comparer: running, Certificates: running},
		StateFile: filepath.Join(hap.Dir, "services.json"),
		Events: controller.Events{
			Again: func(time.Duration) {}, Wrote: func() {}, Applied: func() {}, Reloaded: func(string, []string, []route.Service) {},
			Record: func(_ context.Context, last map[string]catalog.Service) error { accepted = last; return nil },
		},
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := c.Pass(b.Context()); err != nil {
		b.Fatal(err)
	}
	if _, desired, _ := c.Applied(); desired != len(services) {
		b.Errorf("%d of %d services are in force", desired, len(services))
	}
	for i := 0; b.Loop(); i++ {
		svc := services["service00500"]
		svc.Labels = maps.Clone(svc.Labels)
		svc.Labels[catalog.Prefix+"servicePath"] = fmt.Sprintf("/moved%d", i)
		services[svc.ID] = svc
		if err := c.Pass(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
