package claims_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/claims"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/routetest"
)

// TestWhatIsNotWholeIsRejectedAndKeepsItsRoute: a service of which labels are missing
// is never read as if they were not there.
func TestWhatIsNotWholeIsRejectedAndKeepsItsRoute(t *testing.T) {
	was := routetest.Service("web", 1, "servicePath", "/web", "port", "80", "users", "ann:geheim")
	oversize := was
	oversize.Labels, oversize.Oversize = map[string]string{catalog.Notify: "true"}, 70000
	withheld := was
	withheld.Labels = maps.Clone(was.Labels)
	delete(withheld.Labels, "com.df.users")
	withheld.Withheld = map[string]string{"com.df.users": "mark"}
	// Its labels but for the missing one are those that were accepted.
	guarded := withheld
	guarded.Withheld = nil

	for _, c := range []struct {
		name     string
		svc      catalog.Service
		accepted map[string]catalog.Service
		reason   string
		keeps    string
	}{
		{"labels grown too large", oversize, map[string]catalog.Service{was.ID: was}, "its labels take 70,000 bytes, at most 65,536 are allowed", "/web with users"},
		{"labels too large from the beginning", oversize, nil, "its labels take 70,000 bytes, at most 65,536 are allowed", ""},
		{"a text that changes", withheld, map[string]catalog.Service{was.ID: was}, "the text of com.df.users has not arrived", "/web with users"},
		{"a text that is new", withheld, map[string]catalog.Service{was.ID: guarded}, "the text of com.df.users has not arrived", "/web"},
		{"a text that has never been there", withheld, nil, "the text of com.df.users has not arrived", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			// What was read before must not stand in for what is there now.
			s := claims.NewSettler(opts)
			s.Settle([]catalog.Service{was}, nil)
			d := s.Settle([]catalog.Service{c.svc}, c.accepted)
			if len(d.Verdicts) != 1 || d.Verdicts[0].Err == nil || !strings.Contains(d.Verdicts[0].Err.Error(), c.reason) {
				t.Fatalf("verdicts %+v, want %q", d.Verdicts, c.reason)
			}
			if d.Verdicts[0].KeepsLast != (c.keeps != "") {
				t.Errorf("keeps the labels last accepted: %v", d.Verdicts[0].KeepsLast)
			}
			var got string
			for _, svc := range d.Services {
				got += svc.Routes[0].Paths[0]
				if svc.Backends[0].Handling.Access.Users != nil {
					got += " with users"
				}
			}
			if got != c.keeps {
				t.Errorf("routes %q, want %q", got, c.keeps)
			}
			if last, ok := d.Accepted[was.ID]; ok && (last.Whole() != nil || !maps.Equal(last.Labels, c.accepted[was.ID].Labels)) {
				t.Errorf("what is remembered as accepted: %+v", last)
			}
			if again := s.Settle([]catalog.Service{c.svc}, d.Accepted); len(again.Services) != len(d.Services) {
				t.Errorf("from its own memory it settles %+v", again.Services)
			}
			whole := s.Settle([]catalog.Service{was}, d.Accepted)
			if whole.Verdicts[0].Err != nil || len(whole.Services) != 1 {
				t.Errorf("whole again: %+v", whole.Verdicts)
			}
		})
	}
}

// TestWhatIsAcceptedHoldsOnlyWhatRoutesAreMadeOf: every deploy and scaling would be
// written to the bus and the disk otherwise.
func TestWhatIsAcceptedHoldsOnlyWhatRoutesAreMadeOf(t *testing.T) {
	svc := routetest.Service("web", 1, "servicePath", "/web", "port", "80")
	d := claims.Settle([]catalog.Service{svc}, nil, opts)
	svc.Replicas, svc.UpdateState, svc.Update = 7, "updating", &catalog.Update{State: "updating"}
	svc.Image, svc.Spec, svc.Previous = "web:2", "b", &catalog.Previous{Replicas: 1, Spec: "a"}
	svc.Ports = []catalog.Port{{Published: 80, Target: 80, Protocol: "tcp", Mode: "host"}}
	deployed := claims.Settle([]catalog.Service{svc}, d.Accepted, opts)
	if !deployed.Accepted[svc.ID].Equal(d.Accepted[svc.ID]) {
		t.Errorf("a deploy changes what is accepted:\n%+v\n%+v", d.Accepted[svc.ID], deployed.Accepted[svc.ID])
	}
}
