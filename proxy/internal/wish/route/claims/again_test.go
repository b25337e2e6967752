package claims_test

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/claims"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
)

// TestSettlingTheSameAgainGivesTheSame compares a Settler that remembers with one that
// has nothing to remember, through all that it looks at.
func TestSettlingTheSameAgainGivesTheSame(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	web := catalog.Service{ID: "1", Name: "web", CreatedAt: start, Labels: map[string]string{
		"com.df.notify": "true", "com.df.servicePath": "/", "com.df.port": "80",
	}}
	late := web
	late.ID, late.Name, late.CreatedAt = "2", "late", start.Add(time.Second)
	other := web
	other.Labels = map[string]string{"com.df.notify": "true", "com.df.servicePath": "/other", "com.df.port": "80"}
	scaled := web
	scaled.Replicas = 7

	var refused error
	old := claims.NewSettler(labels.Options{})
	for _, step := range []struct {
		name     string
		services []catalog.Service
		accepted map[string]catalog.Service
		do       func(*claims.Settler)
	}{
		{name: "one", services: []catalog.Service{web}},
		{name: "the same", services: []catalog.Service{web}},
		{name: "another number of replicas", services: []catalog.Service{scaled}},
		{name: "another that claims the same", services: []catalog.Service{web, late}},
		{name: "the same two", services: []catalog.Service{web, late}},
		{name: "the newer had it before", services: []catalog.Service{web, late}, accepted: map[string]catalog.Service{"2": late}},
		{name: "other labels", services: []catalog.Service{other, late}},
		{name: "refused by HAProxy", services: []catalog.Service{other, late}, do: func(s *claims.Settler) { s.Refuse(other, "no") }},
		{name: "and admitted", services: []catalog.Service{other, late}, do: func(s *claims.Settler) { s.Admit("1") }},
		{name: "none", services: nil},
	} {
		fresh := claims.NewSettler(labels.Options{})
		for _, s := range []*claims.Settler{old, fresh} {
			s.At(start)
			if step.do != nil {
				step.do(s)
			}
		}
		got, want := old.Settle(step.services, step.accepted), fresh.Settle(step.services, step.accepted)
		if !reflect.DeepEqual(got.Accepted, want.Accepted) || fmt.Sprint(got.Tables) != fmt.Sprint(want.Tables) || fmt.Sprint(got.Verdicts) != fmt.Sprint(want.Verdicts) {
			t.Errorf("%s: settled\n%+v\nwant\n%+v", step.name, got, want)
		}
		if step.name == "refused by HAProxy" {
			refused = got.Verdicts[1].Err
		}
	}
	var no *claims.RefusedError
	if !errors.As(refused, &no) {
		t.Errorf("a refusal after the same services: %v", refused)
	}
}
