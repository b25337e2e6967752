package controller

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/addresses"
	"github.com/wagglehq/waggle/proxy/internal/sleep"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/claims"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
)

// asked is a Follower that knows what it was last told to follow.
type asked map[string]addresses.Target

func (asked) Refused(string) []addresses.Refused { return nil }

func (a asked) Set(all map[string]addresses.Target, _ addresses.Known) {
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
			all := &targets{follower: follower, arrivals: sleep.NewArrivals(func() {}), networks: svc.Networks, moved: map[string]motion{"1": {replicas: 4000}}}
			all.follow(claims.Settle([]catalog.Service{svc}, nil, labels.Options{Networks: svc.Networks}), catalog.Snapshot{
				Services: map[string]catalog.Service{"1": svc}, Tasks: map[string][]catalog.Task{"1": tasks}, Cut: c.cut,
			}, true)
			got := follower["tasks.web."]
			if !got.Expected || len(got.Tasks) != c.tasks || got.Moving != c.moves {
				t.Errorf("%+v", got)
			}
		})
	}
}

// TestWhatIsAskedInDNS: names, not addresses; whoever names another service's tasks does
// not change how these are followed; and services that wait for a route, so that there is
// an answer when they get it.
func TestWhatIsAskedInDNS(t *testing.T) {
	service := func(name string, age int64, labels map[string]string) catalog.Service {
		labels[catalog.Notify], labels["com.df.port"] = "true", "80"
		return catalog.Service{ID: name, Name: name, Mode: catalog.Replicated, Labels: labels, CreatedAt: time.Unix(age, 0)}
	}
	all := map[string]catalog.Service{}
	for _, svc := range []catalog.Service{
		service("web", 1, map[string]string{"com.df.servicePath": "/"}),
		service("four", 2, map[string]string{"com.df.servicePath": "/4", "com.df.outboundHostname": "192.0.2.1"}),
		service("six", 3, map[string]string{"com.df.servicePath": "/6", "com.df.outboundHostname": "2001:db8::1"}),
		service("alias", 4, map[string]string{"com.df.servicePath": "/a", "com.df.outboundHostname": "tasks.web"}),
		service("young", 5, map[string]string{"com.df.servicePath": "/"}),
		service("wrong", 6, map[string]string{"com.df.servicePath": "wrong path"}),
	} {
		all[svc.ID] = svc
	}
	snapshot := catalog.Snapshot{Services: all}
	settler := claims.NewSettler(labels.Options{})
	follower := asked{}
	names := &targets{follower: follower, arrivals: sleep.NewArrivals(func() {}), wants: settler.Wants}
	names.follow(settler.Settle(snapshot.Sorted(), nil), snapshot, true)
	var got []string
	for _, target := range follower {
		got = append(got, fmt.Sprintf("%s expected=%v", target.Name, target.Expected))
	}
	slices.Sort(got)
	// Without replicas no answer is due, but by whoever names the tasks as a host.
	want := []string{"tasks.web. expected=false", "tasks.web. expected=true", "tasks.young. expected=false"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
