package judge_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/judge"
)

// TestWhereARequestLeads: who gets it, and what fails first at every other.
func TestWhereARequestLeads(t *testing.T) {
	q := judge.Question{Snapshot: catalog.Snapshot{Services: map[string]catalog.Service{}}, Settings: map[string]string{"default-ports": "80,81"}}
	for i, labels := range []string{
		"api servicePath=/api port=80", "v2 servicePath=/api/v2 port=80", "site serviceDomain=x.test port=80", "wild serviceDomain=*.y.test port=80",
		"beta servicePath=/api/v2 serviceHeader=X-Beta:1 port=80", "side servicePath=/api/v2 srcPort=81 port=80", "bad servicePath=/api port=http",
		"exact servicePath=/only pathType=path port=80", "idle scrapePort=80",
	} {
		words := strings.Fields(labels)
		svc := catalog.Service{ID: words[0], Name: words[0], Networks: []string{"waggle"}, CreatedAt: time.Unix(int64(i), 0), Labels: map[string]string{catalog.Notify: "true"}}
		for _, word := range words[1:] {
			name, text, _ := strings.Cut(word, "=")
			svc.Labels[catalog.Prefix+name] = text
		}
		q.Snapshot.Services[svc.ID] = svc
	}
	const bad = " bad:force"
	for _, c := range []struct {
		host, path string
		port       int
		header     string
		want       string
	}{
		{"a.test", "/api/v2/x", 80, "", "v2 api:order" + bad + " beta:condition exact:path side:entry site:host wild:host"},
		{"a.test", "/api/v2/x", 80, "x-beta", "beta api:order" + bad + " exact:path side:entry site:host v2:order wild:host"},
		{"a.test", "/api/v2/x", 81, "", "side api:order" + bad + " beta:condition exact:path site:host v2:order wild:host"},
		{"X.test", "/", 80, "", "site api:path" + bad + " beta:path exact:path side:entry v2:path wild:host"},
		{"a.y.test", "/", 80, "", "wild api:path" + bad + " beta:path exact:path side:entry site:host v2:path"},
		{"y.test", "/only/more", 80, "", " api:path" + bad + " beta:path exact:path side:entry site:host v2:path wild:host"},
		{"y.test", "/only", 80, "", "exact api:path" + bad + " beta:path side:entry site:host v2:path wild:host"},
	} {
		way, err := judge.Where(q, judge.Request{Host: c.host, Path: c.path, Port: c.port, Header: map[string]string{c.header: "1"}})
		if err != nil {
			t.Fatal(err)
		}
		got := way.Service
		for _, o := range way.Others {
			got += fmt.Sprintf(" %s:%s", o.Service, o.Fails)
		}
		if got != c.want || (way.Service == "") != (way.Backend == "") {
			t.Errorf("%s%s at %d: %q by %q, want %q", c.host, c.path, c.port, got, way.Backend, c.want)
		}
	}
	q.Settings["default-ports"] = "*"
	if _, err := judge.Where(q, judge.Request{}); err == nil {
		t.Error("a setting at fault is passed over")
	}
}
