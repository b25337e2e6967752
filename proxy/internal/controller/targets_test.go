package controller

import (
	"net/netip"
	"testing"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/addresses"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// asked is a Follower that knows what it was last told to follow.
type asked map[string]addresses.Target

func (a asked) Set(all map[string]addresses.Target) {
	clear(a)
	for name, target := range all {
		a[name] = target
	}
}

func (asked) Addresses(string) ([]netip.Addr, bool) { return nil, false }

// TestACutListOfTasksDoesNotSayWhatToExpect: DNS knows more tasks than the list, and
// that is no motion.
func TestACutListOfTasksDoesNotSayWhatToExpect(t *testing.T) {
	svc := catalog.Service{ID: "1", Name: "web", Mode: catalog.Replicated, Replicas: 4000, Networks: []string{"waggle"}, Labels: map[string]string{
		catalog.Notify: "true", "com.df.servicePath": "/", "com.df.port": "80",
	}}
	tasks := []catalog.Task{{ID: "t", State: "running", Desired: "running", Addresses: map[string][]string{"waggle": {"10.0.0.2"}}}}
	for _, c := range []struct {
		name  string
		cut   map[string]int
		tasks int
		moves bool
	}{
		{"one of 4,000 tasks runs", nil, 1, true},
		{"one of 4,000 tasks is listed", map[string]int{"1": 4000}, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			follower := asked{}
			all := &targets{follower: follower, networks: svc.Networks, moved: map[string]motion{"1": {replicas: 4000}}}
			all.follow(route.Settle([]catalog.Service{svc}, nil, route.Options{Networks: svc.Networks}), catalog.Snapshot{
				Services: map[string]catalog.Service{"1": svc}, Tasks: map[string][]catalog.Task{"1": tasks}, Cut: c.cut,
			})
			got := follower["tasks.web."]
			if !got.Expected || len(got.Tasks) != c.tasks || got.Moving != c.moves {
				t.Errorf("%+v", got)
			}
		})
	}
}
