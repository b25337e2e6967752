package policy_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/scaler/internal/policy"
)

func TestForMoves(t *testing.T) {
	for _, c := range []struct {
		name   string
		labels string // without com.df.; a field is NAME=TEXT
		change func(*catalog.Service)
		text   string
		code   string
	}{
		{"labelled", "notify=true reschedule=true", nil, "", ""},
		{"labelled in capitals, with bounds", "notify=true reschedule=TRUE scaleMax=3", nil, "", ""},
		{"no label", "notify=true", nil, "is not labeled with com.df.reschedule=true (no label)", "not_asked"},
		{"false", "notify=true reschedule=false", nil, "is not labeled with com.df.reschedule=true (com.df.reschedule=false)", "not_asked"},
		{"not opted in", "reschedule=true", nil, policy.ErrNotNotified.Error(), "not_opted_in"},
		{"global", "notify=true reschedule=true", func(s *catalog.Service) { s.Mode = catalog.Global }, policy.ErrGlobal.Error(), "global"},
		{"a job", "notify=true reschedule=true", func(s *catalog.Service) { s.Mode = catalog.ReplicatedJob }, policy.ErrJob.Error(), "job"},
		{"labels too large", "notify=true", func(s *catalog.Service) { s.Oversize = 1 << 20 }, "", "label_fault"},
		{"a bound at fault", "notify=true reschedule=true scaleMax=many", nil, "scaleMax", "label_fault"},
		{"a switch at fault", "notify=true reschedule=true scale=maybe", nil, "scale", "label_fault"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := catalog.Service{ID: "id-web", Name: "web", Mode: catalog.Replicated, Labels: map[string]string{}}
			for field := range strings.FieldsSeq(c.labels) {
				name, text, _ := strings.Cut(field, "=")
				s.Labels[catalog.Prefix+name] = text
			}
			if c.change != nil {
				c.change(&s)
			}
			p, err := policy.ForMoves(s, nil, policy.Standard())
			if c.code == "" {
				if err != nil || !p.InForce() || p.Patience == 0 {
					t.Errorf("%+v, %v", p, err)
				}
				return
			}
			if err == nil || p.InForce() || policy.Code(err) != c.code || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%s: %v, want %s: %s", policy.Code(err), err, c.code, c.text)
			}
		})
	}
}

// TestForMovesWithoutBounds: there are none, but what switches the service off does so.
func TestForMovesWithoutBounds(t *testing.T) {
	s := catalog.Service{ID: "id-web", Name: "web", Mode: catalog.Replicated, Labels: map[string]string{
		catalog.Notify: "true", "com.df.reschedule": "true", "com.df.scale": "off",
	}}
	p, err := policy.ForMoves(s, nil, policy.Standard())
	if err != nil || !p.Off || p.Min != 0 || p.Max != policy.Most {
		t.Errorf("%+v, %v", p, err)
	}
	// Labels last accepted stand in for those at fault.
	s.Labels["com.df.scaleMax"] = "many"
	p, err = policy.ForMoves(s, map[string]string{catalog.Notify: "true", "com.df.scaleMax": "4"}, policy.Standard())
	if err != nil || p.Max != 4 {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := policy.ForMoves(s, nil, policy.Standard()); label.First(err) == nil || errors.Is(err, policy.ErrUnlabeled) {
		t.Errorf("%v", err)
	}
}
