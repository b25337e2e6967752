package controller

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/claims"
	"github.com/wagglehq/waggle/proxy/judge"
)

// TestWhatAnAuditNotesOfLabels: hosts that come to another owner, what is refused because it is
// another's, and addresses that are; each once, and again if it was over meanwhile.
func TestWhatAnAuditNotesOfLabels(t *testing.T) {
	rules, err := judge.ParseRules(map[string]string{"owners": "mode: first-come\n"})
	if err != nil {
		t.Fatal(err)
	}
	service := func(age int, stack, host string) catalog.Service {
		return catalog.Service{ID: stack, Name: stack + "_web", Stack: stack, CreatedAt: time.Unix(int64(age), 0), Networks: []string{"waggle"},
			Labels: map[string]string{catalog.Notify: "true", "com.df.serviceDomain": host, "com.df.servicePath": "/" + stack, "com.df.port": "80"}}
	}
	settler := rules.Settler()
	accepted := map[string]catalog.Service{}
	view := func(refused map[string][]string, services ...catalog.Service) *View {
		d := settler.Settle(services, accepted)
		accepted = d.Accepted
		return &View{FromBus: true, Desired: d, Refused: refused}
	}
	trail := NewTrail(rules.Owners)
	shop, thief := service(1, "shop", "shop.com"), service(2, "thief", "shop.com")
	alias := map[string][]string{"shop": {"tasks.shop_web means in DNS 10.0.0.9, which is not used: it is a task of thief_web"}}
	for _, step := range []struct {
		name string
		view *View
		want []string
	}{
		{"nothing is known", &View{Desired: claims.Desired{}}, nil},
		{"what is there at the start", view(nil, shop), nil},
		{"another wants the host", view(alias, shop, thief), []string{
			"address refused shop_web: tasks.shop_web means in DNS 10.0.0.9, which is not used: it is a task of thief_web",
			"host refused thief_web: the host shop.com belongs to stack shop"}},
		{"it goes on", view(alias, shop, thief), nil},
		{"the owner goes", view(nil, thief), []string{"host gained shop.com: thief has it by the service thief_web; it was shop's"}},
		{"and comes back", view(nil, thief, shop), []string{"host refused shop_web: the host shop.com belongs to stack thief"}},
	} {
		var got []string
		for _, e := range trail.Entries(step.view) {
			got = append(got, fmt.Sprintf("%s %s: %s", e.Action, e.Object, e.Detail))
		}
		if !slices.Equal(got, step.want) {
			t.Errorf("%s: %q, want %q", step.name, got, step.want)
		}
	}
}

// TestWithoutAFileOfOwnersNobodyGainsHosts.
func TestWithoutAFileOfOwnersNobodyGainsHosts(t *testing.T) {
	trail := NewTrail(nil)
	for range 2 {
		if got := trail.Entries(&View{FromBus: true}); len(got) != 0 {
			t.Errorf("%v", got)
		}
	}
}
