package judge_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/certtest"
	"github.com/wagglehq/waggle/proxy/judge"
)

func Example() {
	service := func(id string, age int64, labels map[string]string) catalog.Service {
		labels["com.df.notify"] = "true"
		return catalog.Service{ID: id, Name: "shop_" + id, CreatedAt: time.Unix(age, 0), Networks: []string{"waggle"}, Labels: labels}
	}
	answers, err := judge.Services(judge.Question{
		Snapshot: catalog.Snapshot{Services: map[string]catalog.Service{
			"web":  service("web", 1, map[string]string{"com.df.servicePath": "/", "com.df.port": "8080"}),
			"api":  service("api", 2, map[string]string{"com.df.servicePath": "/api", "com.df.port": "http"}),
			"twin": service("twin", 3, map[string]string{"com.df.servicePath": "/", "com.df.port": "80"}),
		}},
		Settings: map[string]string{"networks": "waggle"},
	})
	if err != nil {
		panic(err)
	}
	for _, a := range answers {
		fmt.Printf("%s: %s\n", a.Service, a.State)
		if a.Label != "" {
			fmt.Printf("  %s: %s\n", a.Label, a.Hint)
		}
		for _, r := range a.Routes {
			fmt.Println(" ", r.Paths, "->", r.Backend)
		}
	}
	// Output:
	// shop_api: rejected
	//   com.df.port: want a whole number from 1 to 65535
	// shop_twin: rejected
	//   com.df.servicePath: choose another path or domain, share it by the same com.df.serviceGroup on both, or remove shop_web
	// shop_web: accepted
	//   [/] -> shop_web-be8080_0
}

// TestSettings decide, as the proxy publishes them.
func TestSettings(t *testing.T) {
	stream := map[string]string{"reqMode": "tcp", "srcPort": "443", "port": "443"}
	web := map[string]string{"servicePath": "/", "port": "80"}
	for _, c := range []struct {
		name     string
		labels   map[string]string
		settings map[string]string
		// accepted are labels of another service that were.
		accepted map[string]string
		want     string
	}{
		{"the defaults", web, nil, nil, "accepted"},
		{"another network", web, map[string]string{"networks": "edge"}, nil, "rejected"},
		{"any network", web, map[string]string{"networks": ""}, nil, "accepted"},
		{"another proxy is meant", web, map[string]string{"filter-proxy-instance-name": "true", "proxy-instance-name": "pub"}, nil, "ignored"},
		{"a port of the proxy's", map[string]string{"reqMode": "tcp", "srcPort": "80", "port": "443"}, nil, nil, "rejected com.df.srcPort"},
		{"its admin port", map[string]string{"reqMode": "tcp", "srcPort": "9090", "port": "443"}, map[string]string{"admin": ":9090"}, nil, "rejected com.df.srcPort"},
		{"a port with TLS", stream, nil, nil, "accepted"},
		{"a port with TLS, and there are certificates", stream, map[string]string{judge.Certificates: "true"}, nil, "rejected com.df.srcPort"},
		{"a port with TLS, and a service has a certificate", stream, nil,
			map[string]string{"servicePath": "/", "serviceDomain": "a.com", "port": "80", "serviceCert": certtest.Self(t, "a.com").PEM()}, "rejected com.df.srcPort"},
		{"a port without TLS by the operator's word", stream, map[string]string{"default-ports": "80", judge.Certificates: "true"}, nil, "accepted"},
		{"a host outside", map[string]string{"servicePath": "/", "port": "80", "outboundHostname": "legacy.example.com"}, nil, nil, "accepted"},
		{"a host outside that the operator does not list", map[string]string{"servicePath": "/", "port": "80", "outboundHostname": "legacy.example.com"},
			map[string]string{"outbound": "other.example.com"}, nil, "rejected com.df.outboundHostname"},
		{"a host outside that asks for a service's word", map[string]string{"servicePath": "/", "port": "80", "forwardAuth": "http://auth:4181/"}, map[string]string{"outbound": "none"}, nil, "accepted"},
		{"and one that asks for another's", map[string]string{"servicePath": "/", "port": "80", "forwardAuth": "http://auth.example.com/"}, map[string]string{"outbound": "none"}, nil, "rejected com.df.forwardAuth"},
		{"a host within that the operator lists", map[string]string{"servicePath": "/", "port": "80", "outboundHostname": "127.1.0.3"}, map[string]string{"outbound": "127.1.0.0/16"}, nil, "accepted"},
		{"a host that the file of owners gives to nobody like it", map[string]string{"serviceDomain": "a.com", "port": "80"}, map[string]string{"owners": "mode: enforce"}, nil, "rejected com.df.serviceDomain"},
		{"raw text", map[string]string{"servicePath": "/", "port": "80", "backendExtra": "x"}, nil, nil, "rejected com.df.backendExtra"},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := judge.Question{Snapshot: catalog.Snapshot{Services: map[string]catalog.Service{}}, Settings: c.settings, Accepted: map[string]catalog.Service{}}
			add := func(name string, labels map[string]string) catalog.Service {
				svc := catalog.Service{ID: name, Name: name, Networks: []string{"waggle"}, Labels: map[string]string{catalog.Notify: "true"}}
				for key, text := range labels {
					svc.Labels[catalog.Prefix+key] = text
				}
				q.Snapshot.Services[name] = svc
				return svc
			}
			add("web", c.labels)
			if c.accepted != nil {
				q.Accepted["old"] = add("old", c.accepted)
			}
			answers, err := judge.Services(q)
			i := slices.IndexFunc(answers, func(a judge.Answer) bool { return a.Service == "web" })
			if err != nil {
				t.Fatal(err)
			}
			got := "ignored"
			if i >= 0 {
				got = strings.TrimSpace(string(answers[i].State) + " " + answers[i].Label)
			}
			if got != c.want {
				t.Errorf("%s, want %s: %+v", got, c.want, answers)
			}
		})
	}
	for _, name := range []string{"allow-raw", "stats-port", "default-ports", "outbound"} {
		if _, err := judge.Services(judge.Question{Settings: map[string]string{name: "*"}}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
