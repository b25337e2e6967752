package notify_test

import (
	"maps"
	"testing"
	"time"

	"github.com/wagglehq/waggle/listener/internal/notify"
	"github.com/wagglehq/waggle/pkg/catalog"
)

// web is a service of two tasks that is scraped on the network monitor.
func web(change ...func(*catalog.Service)) catalog.Service {
	svc := catalog.Service{
		ID: "s1", Name: "shop_web", Stack: "shop", Mode: catalog.Replicated, Replicas: 2, CreatedAt: time.Unix(1, 0),
		Labels: map[string]string{catalog.Notify: "True", "com.df.port": "80", "com.df.scrapeNetwork": "monitor"},
	}
	for _, c := range change {
		c(&svc)
	}
	return svc
}

// swarm is a world of these services, of which the first has these tasks on the nodes n1, n2, ...
func swarm(tasks []string, services ...catalog.Service) catalog.Snapshot {
	s := catalog.Snapshot{
		Services: map[string]catalog.Service{}, Tasks: map[string][]catalog.Task{},
		Nodes: map[string]catalog.Node{"n1": {ID: "n1", Hostname: "h1", State: "ready"}, "n2": {ID: "n2", Hostname: "h2", State: "ready"}},
	}
	for _, svc := range services {
		s.Services[svc.ID] = svc
	}
	if tasks != nil {
		s.Tasks[services[0].ID] = []catalog.Task{}
	}
	for i, state := range tasks {
		n := string(rune('1' + i))
		s.Tasks[services[0].ID] = append(s.Tasks[services[0].ID], catalog.Task{
			Node: "n" + n, State: state, Desired: "running", Addresses: map[string][]string{"monitor": {"10.1.0." + n}, "waggle": {"10.9.0." + n}},
		})
	}
	return s
}

func TestWhatIsToldOfAService(t *testing.T) {
	both := notify.Rules{Label: catalog.Notify, NodeInfo: true, Addresses: true}
	for name, c := range map[string]struct {
		rules    notify.Rules
		change   func(*catalog.Service)
		tasks    []string
		called   string
		want     map[string]string
		standing notify.Standing
		running  bool
	}{
		"without node information it is told at once": {
			rules: notify.Rules{Label: catalog.Notify}, called: "shop_web",
			want: map[string]string{"replicas": "2", "port": "80", "distribute": "true", "scrapeNetwork": "monitor"},
		},
		"shortName takes the stack away, and is told": {
			rules: notify.Rules{Label: catalog.Notify}, change: func(s *catalog.Service) { s.Labels["com.df.shortName"] = "true" }, called: "web",
			want: map[string]string{"shortName": "true"},
		},
		"a prefix stands before the full name": {
			rules: notify.Rules{Label: catalog.Notify, Prefix: "dev"}, change: func(s *catalog.Service) { s.Labels["com.df.shortName"] = "true" },
			called: "dev_shop_web",
		},
		"a global one has no number": {
			rules: notify.Rules{Label: catalog.Notify}, change: func(s *catalog.Service) { s.Mode = catalog.Global }, called: "shop_web",
			tasks: []string{"running"}, want: map[string]string{"replicas": ""}, running: true,
		},
		"with node information it waits for its tasks": {
			rules: both, tasks: []string{"running", "starting"}, called: "shop_web", standing: notify.Held,
		},
		"and while they are not known": {rules: both, called: "shop_web", standing: notify.Held},
		"then it has their addresses": {
			rules: both, tasks: []string{"running", "running"}, called: "shop_web", running: true,
			want: map[string]string{"nodeInfo": `[["h1","10.1.0.1","n1"],["h2","10.1.0.2","n2"]]`},
		},
		"or the nodes alone": {
			rules: notify.Rules{Label: catalog.Notify, NodeInfo: true}, tasks: []string{"running", "running"}, called: "shop_web", running: true,
			want: map[string]string{"nodeInfo": `[["h1","","n1"],["h2","","n2"]]`},
		},
		"an update that was paused ends the wait": {
			rules: both, change: func(s *catalog.Service) { s.UpdateState = "paused" }, tasks: []string{"running", "starting"}, called: "shop_web",
			want: map[string]string{"nodeInfo": `[["h1","10.1.0.1","n1"]]`},
		},
		"and so does one that was rolled back": {
			rules: both, change: func(s *catalog.Service) { s.Update = &catalog.Update{State: "rollback_completed"} }, tasks: []string{"running", "starting"},
			called: "shop_web",
		},
		"none asked for is as many as there should be": {
			rules: both, change: func(s *catalog.Service) { s.Replicas = 0 }, tasks: []string{}, called: "shop_web", running: true,
			want: map[string]string{"nodeInfo": "", "replicas": "0"},
		},
		"immediately is early": {
			rules: notify.Rules{Label: catalog.Notify, NodeInfo: true, Immediately: true}, called: "shop_web", standing: notify.Early,
		},
		"nothing is told while a text is missing": {
			rules: notify.Rules{Label: catalog.Notify}, change: func(s *catalog.Service) { s.Withheld = map[string]string{"com.df.users": "mark"} },
			called: "shop_web", standing: notify.Held,
		},
	} {
		t.Run(name, func(t *testing.T) {
			svc := web()
			if c.change != nil {
				c.change(&svc)
			}
			got, ok := c.rules.Services(swarm(c.tasks, svc))[c.called]
			if !ok {
				t.Fatalf("it is not called %s", c.called)
			}
			if got.Standing != c.standing || got.Running != c.running {
				t.Errorf("standing %d, running %v; want %d, %v", got.Standing, got.Running, c.standing, c.running)
			}
			parameters := got.Parameters()
			for name, text := range c.want {
				if parameters[name] != text {
					t.Errorf("%s is %q, want %q", name, parameters[name], text)
				}
			}
			if _, ok := parameters["notify"]; ok || parameters["serviceName"] != c.called {
				t.Errorf("parameters %v", parameters)
			}
			if _, ok := got.Remove["replicas"]; ok {
				t.Errorf("the remove has %v", got.Remove)
			}
		})
	}
}

func TestTheOldestOfOneNameHasIt(t *testing.T) {
	other := web(func(s *catalog.Service) { s.ID, s.Name, s.Stack, s.CreatedAt = "s2", "web", "", time.Unix(2, 0) })
	first := web(func(s *catalog.Service) { s.Labels = maps.Clone(s.Labels); s.Labels["com.df.shortName"] = "true" })
	got := notify.Rules{Label: catalog.Notify}.Services(swarm(nil, first, other))
	if len(got) != 1 || got["web"].Create["shortName"] != "true" {
		t.Errorf("%v", got)
	}
}

func TestAnotherLabelOptsIn(t *testing.T) {
	dev := web(func(s *catalog.Service) { s.Labels = map[string]string{"com.df.notifyDev": "true"} })
	got := notify.Rules{Label: "com.df.notifyDev"}.Services(swarm(nil, dev, web(func(s *catalog.Service) { s.ID, s.Name = "s2", "other" })))
	if len(got) != 1 || got["shop_web"].Create["notifyDev"] != "" {
		t.Errorf("%v", got)
	}
}

func TestANodeThatIsDownHasGone(t *testing.T) {
	s := swarm(nil, web())
	s.Nodes["n2"] = catalog.Node{ID: "n2", State: "down"}
	s.Nodes["n1"] = catalog.Node{ID: "n1", Hostname: "h1", State: "ready", Labels: map[string]string{"com.df.disk": "ssd", "com.df.id": "other"}}
	got := notify.Nodes(s, func(string) uint64 { return 7 })
	if len(got) != 1 {
		t.Fatalf("%v", got)
	}
	for name, text := range map[string]string{"id": "n1", "disk": "ssd", "versionIndex": "7", "state": "ready"} {
		if got["n1"].Create[name] != text {
			t.Errorf("%s is %q, want %q", name, got["n1"].Create[name], text)
		}
	}
	if len(got["n1"].Remove) != 3 {
		t.Errorf("the remove has %v", got["n1"].Remove)
	}
}
