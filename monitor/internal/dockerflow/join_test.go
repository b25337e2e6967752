package dockerflow

import (
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/monitor/internal/desired"
	"github.com/wagglehq/waggle/monitor/internal/scrape"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/manual"
)

// asked is a service as a request asks for it.
func asked(t *testing.T, parameters ...string) catalog.Service {
	t.Helper()
	form := url.Values{}
	for _, p := range parameters {
		name, text, _ := strings.Cut(p, "=")
		form.Set(name, text)
	}
	svc, err := manual.Service(form, time.Unix(1, 0))
	if err != nil {
		t.Fatal(err)
	}
	return svc
}

func TestWhatIsAskedForJoinsTheSwarm(t *testing.T) {
	optedIn := func(name string, labels ...string) catalog.Service {
		svc := catalog.Service{ID: "id-" + name, Name: name, Labels: map[string]string{catalog.Notify: "true"}}
		for _, l := range labels {
			svc.Labels[catalog.Prefix+l] = "1"
		}
		return svc
	}
	swarm := catalog.Snapshot{
		Services: map[string]catalog.Service{"id-own": optedIn("own", "scrapePort"), "id-idle": optedIn("idle")},
		Nodes:    map[string]catalog.Node{"n1": {ID: "n1", Hostname: "one", Role: "manager"}},
		Tasks:    map[string][]catalog.Task{},
	}
	services := map[string]catalog.Service{}
	for _, svc := range []catalog.Service{
		asked(t, "serviceName=exp", "scrapePort=9100", `nodeInfo=[["one","10.0.0.1","n1"],["far","10.0.0.2","ext"]]`),
		asked(t, "serviceName=own", "scrapePort=9100"), asked(t, "serviceName=idle", "scrapePort=9100"), asked(t, "serviceName=broken", "nodeInfo=[1]"),
	} {
		services[svc.ID] = svc
	}
	far := asked(t, "serviceName=ext", "region=eu", "role=worker")
	got := Join(swarm, services, map[string]catalog.Service{far.ID: far, manual.ID("n1"): asked(t, "serviceName=n1", "role=worker")}, "waggle")
	if len(swarm.Services) != 2 || len(swarm.Nodes) != 1 || len(swarm.Tasks) != 0 {
		t.Error("the snapshot was changed, which others share")
	}
	if len(got.Services) != 4 || got.Services[manual.ID("own")].ID != "" || got.Services[manual.ID("broken")].ID != "" {
		t.Error(got.Services)
	}
	if n := got.Nodes["n1"]; n.Role != "manager" {
		t.Error("somebody else says what a node of the swarm is", n)
	}
	if n := got.Nodes["ext"]; n.Hostname != "far" || n.Role != "worker" || n.Labels["com.df.region"] != "eu" {
		t.Error(n)
	}
	want := []catalog.Task{
		{ID: "manual-exp-1", Slot: 1, Node: "n1", State: "running", Desired: "running", Addresses: map[string][]string{"waggle": {"10.0.0.1"}}},
		{ID: "manual-exp-2", Slot: 2, Node: "ext", State: "running", Desired: "running", Addresses: map[string][]string{"waggle": {"10.0.0.2"}}},
	}
	if tasks := got.Tasks[manual.ID("exp")]; !reflect.DeepEqual(tasks, want) {
		t.Error(tasks)
	}
	// Without addresses a service is found by its name.
	if got.Services[manual.ID("idle")].Labels["com.df.scrapeType"] != "static_configs" || services[manual.ID("idle")].Labels["com.df.scrapeType"] != "" {
		t.Error(got.Services[manual.ID("idle")], services[manual.ID("idle")])
	}
	if untouched := Join(swarm, nil, nil, "waggle"); !reflect.DeepEqual(untouched, swarm) {
		t.Error(untouched)
	}
}

func TestWhatIsAskedForIsChecked(t *testing.T) {
	settings := desired.Settings{Settings: scrape.Settings{Networks: []string{"waggle"}, Interval: time.Minute, Timeout: time.Second}}
	for _, c := range []struct{ parameters, says string }{
		{`scrapePort=9100 nodeInfo=[["a","10.0.0.1","n"]] alertName=x alertIf=up`, ""},
		{"scrapePort=x", "com.df.scrapePort"},
		{"alertName=x alertIf=sum(", "com.df.alertIf"},
		{"nodeInfo=[", "nodeInfo"},
		{`nodeInfo=[["a","10.0.0.1"]]`, "three texts"},
		{`nodeInfo=[["a","somewhere","n"]]`, "want an address"},
	} {
		err := Check(asked(t, append(strings.Fields(c.parameters), "serviceName=a")...), settings)
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.parameters, err, c.says)
		}
	}
}
