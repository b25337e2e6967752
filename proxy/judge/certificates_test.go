package judge_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/judge"
)

// TestWhoseCertificates are obtained: for a name of another owner's, for one that another service
// was routed by first, and for what nobody has opted in for there is no order, whatever labels ask.
func TestWhoseCertificates(t *testing.T) {
	service := func(name, stack string, age int64, labels map[string]string) catalog.Service {
		out := catalog.Service{ID: name, Name: name, Stack: stack, CreatedAt: time.Unix(age, 0), Networks: []string{"waggle"}, Labels: map[string]string{
			"com.df.notify": "true", "com.df.port": "80", "com.df.acme": "true",
		}}
		for label, text := range labels {
			out.Labels["com.df."+label] = text
		}
		return out
	}
	services := map[string]catalog.Service{}
	for _, s := range []catalog.Service{
		service("shop_web", "shop", 5, map[string]string{"serviceDomain": "shop.example.com"}),
		service("thief_web", "thief", 1, map[string]string{"serviceDomain": "shop.example.com"}),
		service("thief_below", "thief", 2, map[string]string{"serviceDomain": "login.shop.example.com"}),
		service("thief_redirect", "thief", 3, map[string]string{"serviceDomain": "www.thief.example.org", "redirectFromDomain": "shop.example.com"}),
		service("thief_companion", "thief", 4, map[string]string{"serviceDomain": "thief.example.org", "acme": "", "letsencrypt.host": "shop.example.com"}),
		service("silent_web", "silent", 6, map[string]string{"serviceDomain": "silent.example.org", "notify": "false"}),
		service("twin_web", "shop", 7, map[string]string{"serviceDomain": "shop.example.com"}),
	} {
		if s.Labels["com.df.acme"] == "" {
			delete(s.Labels, "com.df.acme")
		}
		services[s.ID] = s
	}
	answers, err := judge.Services(judge.Question{Snapshot: catalog.Snapshot{Services: services}, Now: time.Unix(10, 0), Settings: map[string]string{
		judge.Obtains: "true", "acme-challenge": "http",
		"owners": "mode: enforce\nstacks:\n  shop: {hosts: [shop.example.com, \"*.shop.example.com\"]}\ndefault: {hosts: [\"*.$stack.example.org\", \"$stack.example.org\"]}\n",
	}})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, a := range answers {
		got[a.Service] = fmt.Sprint(a.State, a.Obtains)
	}
	want := map[string]string{
		"shop_web": "accepted[shop.example.com]", "thief_web": "rejected[]", "thief_below": "rejected[]", "thief_redirect": "rejected[]",
		"thief_companion": "accepted[]", "twin_web": "rejected[]",
	}
	for name, what := range want {
		if got[name] != what {
			t.Errorf("%s: %s, want %s", name, got[name], what)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%v", got)
	}
}
