package scrape

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
)

var settings = Settings{Networks: []string{"waggle", "metrics"}, Interval: 10 * time.Second, Timeout: 10 * time.Second, MinInterval: time.Second}

// exporter has labels given as "name=text", without prefix, and is on the network waggle.
func exporter(labels ...string) catalog.Service {
	svc := catalog.Service{ID: "id1", Name: "exp", Networks: []string{"backend", "waggle"}, Labels: map[string]string{}}
	for _, l := range labels {
		key, text, _ := strings.Cut(l, "=")
		svc.Labels[catalog.Prefix+key] = text
	}
	return svc
}

func task(id, node, state, desired, network, address string) catalog.Task {
	return catalog.Task{ID: id, Node: node, State: state, Desired: desired, Addresses: map[string][]string{network: {address}}}
}

func TestJob(t *testing.T) {
	for _, c := range []struct {
		name string
		svc  catalog.Service
		want string // name, port, path, interval, timeout
	}{
		{"port alone", exporter("scrapePort=9100"), "exp 9100 /metrics 10s 10s"},
		{"all labels", exporter("scrapePort=9100", "scrapeInterval=15s", "scrapeTimeout=5s", "metricsPath=/m"), "exp 9100 /m 15s 5s"},
		{"a short interval shortens the timeout", exporter("scrapePort=9100", "scrapeInterval=2s"), "exp 9100 /metrics 2s 2s"},
		{"a long interval does not lengthen it", exporter("scrapePort=9100", "scrapeInterval=1m30s"), "exp 9100 /metrics 1m30s 10s"},
		{"a path without its slash", exporter("scrapePort=9100", "metricsPath=m/x"), "exp 9100 /m/x 10s 10s"},
		{"days, as Prometheus writes them", exporter("scrapePort=9100", "scrapeInterval=1d"), "exp 9100 /metrics 24h0m0s 10s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			job, ok, err := only(c.svc, settings)
			if !ok || err != nil {
				t.Fatal(ok, err)
			}
			got := strings.Join([]string{job.Name, itoa(job.Port), job.Path, job.Interval.String(), job.Timeout.String()}, " ")
			if got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

// only is the job of a service that asks for one at most.
func only(svc catalog.Service, s Settings) (Job, bool, error) {
	all := FromService(svc, s)
	if len(all) == 0 {
		return Job{}, false, nil
	}
	return all[0].Job, true, all[0].Err
}

func itoa(n int) string {
	b, _ := json.Marshal(n)
	return string(b)
}

func TestFaultsNameTheLabel(t *testing.T) {
	for _, c := range []struct{ labels, label, want string }{
		{"scrapePort=0", "com.df.scrapePort", "from 1 to 65535"},
		{"scrapePort=-1", "com.df.scrapePort", "from 1 to 65535"},
		{"scrapePort=http", "com.df.scrapePort", "from 1 to 65535"},
		{"scrapePort=9100 scrapeInterval=15", "com.df.scrapeInterval", "such as 15s"},
		{"scrapePort=9100 scrapeInterval=0s", "com.df.scrapeInterval", "greater than zero"},
		{"scrapePort=9100 scrapeTimeout=1x", "com.df.scrapeTimeout", "such as 15s"},
		{"scrapePort=9100 scrapeTimeout=11s", "com.df.scrapeTimeout", "at most the scrape interval, 10s"},
		{"scrapePort=9100 scrapeInterval=5s scrapeTimeout=6s", "com.df.scrapeTimeout", "at most the scrape interval, 5s"},
		{"scrapePort=9100 scrapeInterval=100ms", "com.df.scrapeInterval", "at least 1s"},
		{"scrapePort=9100 scrapeScheme=ftp", "com.df.scrapeScheme", "one of http, https"},
		{"scrapePort=9100 scrapeParams=a=1&a=2", "com.df.scrapeParams", "each name once"},
		{"scrapePort=9100 scrapeParams=a-b=1", "com.df.scrapeParams", "each name once"},
		{"scrapePort=9100 metricsPath=/m?x=1", "com.df.metricsPath", "without a query"},
		{"scrapePort=9100 metricsPath=/\xab\xab", "com.df.metricsPath", "in UTF-8"},
	} {
		_, ok, err := only(exporter(strings.Fields(c.labels)...), settings)
		if f := label.First(err); !ok || f == nil || f.Label != c.label || !strings.Contains(f.Want, c.want) {
			t.Errorf("%s: %v, want a fault of %s that says %q", c.labels, err, c.label, c.want)
		}
	}
}

// TestAnEmptyPortIsNone, as an unset variable of a stack file leaves it.
func TestAnEmptyPortIsNone(t *testing.T) {
	svc := exporter("scrapePort=", "metricsPath=/m")
	if job, ok, err := only(svc, settings); ok || err != nil {
		t.Fatalf("%+v, %v, %v: want no job and no fault", job, ok, err)
	}
	if idle := Idle(svc.Labels); len(idle) != 1 || idle[0] != "com.df.metricsPath has no effect without com.df.scrapePort" {
		t.Fatal(idle)
	}
	if job, ok, err := only(exporter("scrapePort=9100", "scrapeInterval=", "scrapeTimeout= ", "metricsPath="), settings); !ok || err != nil || job.Path != "/metrics" {
		t.Fatalf("%+v, %v, %v: want the defaults", job, ok, err)
	}
}

func TestNoPortNoJob(t *testing.T) {
	svc := exporter("metricsPath=/m", "scrapeInterval=never")
	if _, ok, err := only(svc, settings); ok || err != nil {
		t.Fatal(ok, err)
	}
	if idle := Idle(svc.Labels); len(idle) != 2 || idle[0] != "com.df.metricsPath has no effect without com.df.scrapePort" {
		t.Fatal(idle)
	}
	if idle := Idle(exporter("scrapePort=1", "metricsPath=/m").Labels); len(idle) != 0 {
		t.Fatal(idle)
	}
}

func TestAServiceOnNoCommonNetworkIsToldWhatToAdd(t *testing.T) {
	svc := exporter("scrapePort=9100")
	svc.Networks = []string{"backend"}
	_, ok, err := only(svc, settings)
	var network *NetworkError
	if !ok || !errors.As(err, &network) {
		t.Fatal(ok, err)
	}
	if !strings.Contains(network.Error(), "backend") || !strings.Contains(network.Hint(), "networks: [waggle]") || !strings.Contains(network.Hint(), "waggle: {external: true}") {
		t.Fatal(network, network.Hint())
	}
}

func TestTargetsAreTheTasksThatShouldAnswer(t *testing.T) {
	job, _, err := only(exporter("scrapePort=9100"), settings)
	if err != nil {
		t.Fatal(err)
	}
	tasks := []catalog.Task{
		task("t1", "n2", "running", "running", "waggle", "10.0.0.9"),
		task("t2", "n1", "running", "running", "waggle", "10.0.0.3"),
		task("t3", "n1", "starting", "running", "waggle", "10.0.0.4"),
		task("t4", "n1", "preparing", "running", "waggle", "10.0.0.5"),
		task("t5", "n1", "running", "shutdown", "waggle", "10.0.0.6"),
		task("t6", "n1", "failed", "shutdown", "waggle", "10.0.0.7"),
		task("t7", "n1", "running", "running", "backend", "10.1.0.8"),
		task("t8", "n1", "running", "running", "waggle", "not an address"),
		task("t9", "gone", "running", "running", "waggle", "10.0.0.10"),
	}
	nodes := map[string]catalog.Node{"n1": {Hostname: "one"}, "n2": {Hostname: "two"}}
	var got []string
	for _, target := range Targets(job, tasks, nodes) {
		got = append(got, target.Address()+" on "+target.Labels["node"])
	}
	want := []string{"10.0.0.10:9100 on ", "10.0.0.3:9100 on one", "10.0.0.4:9100 on one", "10.0.0.9:9100 on two"}
	if !slices.Equal(got, want) {
		t.Fatalf("%q, want %q", got, want)
	}
}

func TestLabelsOfATarget(t *testing.T) {
	svc := exporter("scrapePort=9100", "metricsPath=/m", "scrapeInterval=1m", "scrapeTimeout=5s", "shortName=true")
	svc.Name, svc.Stack = "shop_exp", "shop"
	job, _, err := only(svc, settings)
	if err != nil {
		t.Fatal(err)
	}
	targets := Targets(job, []catalog.Task{task("t", "n1", "running", "running", "waggle", "10.0.0.3")}, map[string]catalog.Node{"n1": {Hostname: "one"}})
	want := map[string]string{
		"job": "exp", "instance": "10.0.0.3:9100", "service": "shop_exp", "node": "one",
		"__metrics_path__": "/m", "__scrape_interval__": "1m", "__scrape_timeout__": "5s",
	}
	if len(targets) != 1 || !maps.Equal(targets[0].Labels, want) {
		t.Fatalf("%v, want %v", targets, want)
	}
}

// TestPortsAtIndexes take what they leave out from the labels without one.
func TestPortsAtIndexes(t *testing.T) {
	for _, c := range []struct{ labels, want string }{
		{"scrapePort.1=80 scrapePort.3=9100 metricsPath.3=/x scrapeInterval=20s scrapeInterval.3=5s", "1 80/metrics@20s, 3 9100/x@5s"},
		{"scrapePort=70 scrapePort.2=80 metricsPath=/m", "0 70/m@10s, 2 80/m@10s"},
		{"scrapePort.1=80 scrapePort.2=x", "1 80/metrics@10s, 2 com.df.scrapePort.2"},
		{"scrapePort.1=80 scrapePort.2=81 scrapeInterval=x", "1 com.df.scrapeInterval, 2 com.df.scrapeInterval"},
		{"scrapePort.1=80 scrapePort.2=80 metricsPath.2=/x", "1 80/metrics@10s, 2 com.df.scrapePort.2"},
	} {
		var got []string
		for _, a := range FromService(exporter(strings.Fields(c.labels)...), settings) {
			what := itoa(a.Job.Port) + a.Job.Path + "@" + a.Job.Interval.String()
			if f := label.First(a.Err); f != nil {
				what = f.Label
			}
			got = append(got, itoa(a.Job.Index)+" "+what)
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s: %q, want %q", c.labels, got, c.want)
		}
	}
	svc := exporter("scrapePort.1=80", "metricsPath=/m", "metricsPath.9=/x", "scrapeTimeout.9=")
	if idle := Idle(svc.Labels); !slices.Equal(idle, []string{"com.df.metricsPath.9 has no effect without com.df.scrapePort.9"}) {
		t.Error(idle)
	}
	// What is kept of one index stands there alone.
	if got := FromService(svc, settings)[0].Labels; !maps.Equal(got, map[string]string{"com.df.scrapePort.1": "80", "com.df.metricsPath.1": "/m"}) {
		t.Error(got)
	}
}

func TestScrapeNetwork(t *testing.T) {
	both := catalog.Task{ID: "t", State: "running", Desired: "running", Addresses: map[string][]string{"metrics": {"10.2.0.1"}, "waggle": {"10.1.0.1"}}}
	for _, c := range []struct{ network, address, warning string }{
		{"metrics", "10.2.0.1:9100", ""}, {"waggle", "10.1.0.1:9100", ""}, {"", "10.1.0.1:9100", ""},
		{"backend", "10.1.0.1:9100", "com.df.scrapeNetwork=\"backend\" has no effect: want a network that the service is on and that Prometheus is on, which is waggle or metrics"},
	} {
		svc := exporter("scrapePort=9100", "scrapeNetwork="+c.network)
		svc.Networks = []string{"backend", "metrics", "waggle"}
		asked := FromService(svc, settings)[0]
		targets := Targets(asked.Job, []catalog.Task{both}, nil)
		if asked.Err != nil || len(targets) != 1 || targets[0].Address() != c.address || strings.Join(asked.Warnings, "") != c.warning {
			t.Errorf("%s: %v %v %v", c.network, asked.Err, targets, asked.Warnings)
		}
	}
}

func TestARareScrapeIsAWarning(t *testing.T) {
	for interval, warns := range map[string]bool{"5m": false, "10m": true} {
		asked := FromService(exporter("scrapePort=9100", "scrapeInterval="+interval), settings)[0]
		if asked.Err != nil || (len(asked.Warnings) == 1) != warns || warns && !strings.Contains(asked.Warnings[0], "com.df.scrapeInterval: a series is gone 5m") {
			t.Error(interval, asked.Err, asked.Warnings)
		}
	}
}

// TestChosenLabelsOnTargets: those of the service, and of the node or what Swarm says of it;
// none takes the place of what says where a series comes from.
func TestChosenLabelsOnTargets(t *testing.T) {
	s := settings
	s.ServiceLabels, s.NodeLabels = []string{"env", "metric-type", "job", "absent"}, []string{"role", "aws-zone", "region", "node", "service"}
	svc := exporter("scrapePort=9100", "env=prod", "metric-type=system", "job=mine", "scrapeScheme=https", "scrapeParams=?module=a&target=b%20c")
	job, _, err := only(svc, s)
	if err != nil {
		t.Fatal(err)
	}
	node := catalog.Node{Hostname: "one", Role: "worker", Labels: map[string]string{"com.df.aws-zone": "1a", "com.df.role": "x", "com.df.node": "y", "com.df.service": "z"}}
	got := Targets(job, []catalog.Task{task("t", "n1", "running", "running", "waggle", "10.0.0.3")}, map[string]catalog.Node{"n1": node})
	want := map[string]string{
		"job": "exp", "instance": "10.0.0.3:9100", "service": "exp", "node": "one", "env": "prod", "metric_type": "system", "role": "worker", "aws_zone": "1a",
		"__metrics_path__": "/metrics", "__scrape_interval__": "10s", "__scrape_timeout__": "10s", "__scheme__": "https", "__param_module": "a", "__param_target": "b c",
	}
	if len(got) != 1 || !maps.Equal(got[0].Labels, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if name := LabelName("1.a-b"); name != "_1_a_b" {
		t.Error(name)
	}
}

func TestStaticConfigsIsTheServicesName(t *testing.T) {
	job, _, err := only(exporter("scrapePort=9100", "scrapeType=static_configs"), settings)
	if err != nil {
		t.Fatal(err)
	}
	if targets := Targets(job, nil, nil); len(targets) != 1 || targets[0].Address() != "exp:9100" {
		t.Fatal(targets)
	}
}

func TestThePreferredNetworkComesFirst(t *testing.T) {
	svc := exporter("scrapePort=9100")
	svc.Networks = []string{"metrics", "waggle"}
	job, _, err := only(svc, settings)
	if err != nil {
		t.Fatal(err)
	}
	both := catalog.Task{ID: "t", State: "running", Desired: "running", Addresses: map[string][]string{"metrics": {"10.2.0.1"}, "waggle": {"10.1.0.1"}}}
	if got := Targets(job, []catalog.Task{both}, nil); len(got) != 1 || got[0].Address() != "10.1.0.1:9100" {
		t.Fatal(got)
	}
}

func TestRenderOfNothingIsAnEmptyList(t *testing.T) {
	if b, err := Render(nil); err != nil || string(b) != "[]\n" {
		t.Fatalf("%q %v", b, err)
	}
}

// FuzzNoTextBreaksOut gives any text to the labels of a job. What is admitted
// comes back from the file as it was meant.
func FuzzNoTextBreaksOut(f *testing.F) {
	for _, seed := range []string{"/m", "", "\"", "\\", "\n", "{{", "/m\",\"x\":\"", "\u2028", "\xff", "15s", strings.Repeat("/x", 5000)} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, path, interval string) {
		job, _, err := only(exporter("scrapePort=9100", "metricsPath="+path, "scrapeInterval="+interval), settings)
		if err != nil {
			return
		}
		want := Targets(job, []catalog.Task{task("t", "n1", "running", "running", "waggle", "10.0.0.3")}, nil)
		b, err := Render(want)
		if err != nil {
			t.Fatal(err)
		}
		var got []Target
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		if len(got) != 1 || got[0].Address() != "10.0.0.3:9100" || !maps.Equal(got[0].Labels, want[0].Labels) {
			t.Fatalf("%v, want %v", got, want)
		}
	})
}
