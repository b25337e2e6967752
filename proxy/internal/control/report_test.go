package control

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/route"
)

// TestStatusWithoutTasks: requests for a service without tasks are answered 503, unless
// another of its group gets them.
func TestStatusWithoutTasks(t *testing.T) {
	service := func(name, group string) catalog.Service {
		labels := map[string]string{catalog.Notify: "true", "com.df.servicePath": "/" + group, "com.df.port": "80"}
		if group != "" {
			labels["com.df.serviceGroup"] = group
		}
		return catalog.Service{ID: name, Name: name, Labels: labels}
	}
	v := &View{
		Desired:   route.Settle([]catalog.Service{service("alone", ""), service("blue", "shop"), service("green", "shop"), service("red", "none"), service("pink", "none")}, nil, route.Options{}),
		Addresses: map[string][]netip.Addr{"green": {netip.MustParseAddr("10.0.0.2")}},
	}
	want := map[string]string{"alone": "503", "blue": "the others of its com.df.serviceGroup", "green": "", "red": "503", "pink": "503"}
	for _, s := range v.Statuses() {
		if state := map[bool]catalog.State{true: catalog.StateApplied, false: catalog.StateDegraded}[want[s.Service] == ""]; s.State != state || !strings.Contains(s.Reason, want[s.Service]) {
			t.Errorf("%s is %s: %q, want %s because of %q", s.Service, s.State, s.Reason, state, want[s.Service])
		}
	}
}
