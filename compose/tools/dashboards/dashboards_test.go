package dashboards

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/wagglehq/waggle/compose/tools/stackfile"
)

const root = "../../.."

// ofState are the metrics of the swarm's state, with their labels: what the listener
// promises.
func ofState() map[string]string {
	return map[string]string{
		"swarm_service_info": "service service_id stack mode image", "swarm_service_created_timestamp_seconds": "service",
		"swarm_service_replicas_desired": "service", "swarm_service_tasks": "service state", "swarm_service_tasks_unplaced": "service reason",
		"swarm_service_newest_task_timestamp_seconds": "service", "swarm_service_task_failures_total": "service reason",
		"swarm_service_update_state": "service state", "swarm_service_update_started_timestamp_seconds": "service",
		"swarm_service_reserved_cpu_cores": "service", "swarm_service_reserved_memory_bytes": "service",
		"swarm_node_info": "node node_id role engine_version os arch", "swarm_node_state": "node node_id state", "swarm_node_availability": "node node_id availability",
		"swarm_node_leader": "node node_id", "swarm_node_reachable": "node node_id",
		"swarm_node_capacity_cpu_cores": "node node_id", "swarm_node_capacity_memory_bytes": "node node_id",
		"swarm_node_reserved_cpu_cores": "node node_id", "swarm_node_reserved_memory_bytes": "node node_id", "swarm_node_tasks": "node node_id",
		"swarm_state_timestamp_seconds": "",
	}
}

// ofOthers are those that dashboards use of node_exporter, cAdvisor, Prometheus,
// Alertmanager and Go's client, as they are called today.
func ofOthers() map[string]string {
	return map[string]string{
		"node_memory_MemAvailable_bytes": "", "node_memory_MemTotal_bytes": "", "node_cpu_seconds_total": "cpu mode",
		"node_filesystem_avail_bytes": "device fstype mountpoint", "node_filesystem_size_bytes": "device fstype mountpoint",
		"container_memory_working_set_bytes": "container_label_com_docker_swarm_service_name", "container_cpu_usage_seconds_total": "container_label_com_docker_swarm_service_name cpu",
		"process_cpu_seconds_total": "", "process_resident_memory_bytes": "", "up": "",
		"ALERTS":                      "alertname alertstate severity scale",
		"prometheus_tsdb_head_series": "", "prometheus_tsdb_head_samples_appended_total": "type",
		"alertmanager_notifications_total": "integration", "alertmanager_notifications_failed_total": "integration reason",
	}
}

// ofWaggle are those of docs/metrics.md.
func ofWaggle(t *testing.T) map[string]string {
	t.Helper()
	page, err := os.ReadFile(root + "/docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(waggle_[a-z_]+)` \\| (\\w+) \\| (.*?) \\| ").FindAllStringSubmatch(string(page), -1) {
		names := strings.Join(regexp.MustCompile("`([a-z_]+)`").FindAllString(m[3], -1), " ")
		names = strings.ReplaceAll(names, "`", "")
		out[m[1]] = names
		if m[2] == "histogram" {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				out[m[1]+suffix] = names + " le"
			}
		}
	}
	if len(out) < 40 {
		t.Fatalf("docs/metrics.md has %d metrics", len(out))
	}
	return out
}

// metricName is the label that holds the name of a metric.
const metricName = "__name__"

// ofTargets are labels that every series has.
var ofTargets = []string{metricName, "job", "instance", "service", "node"}

// TestEveryQueryAsksForWhatIsThere: each is PromQL, and its metrics and their labels are
// those that somebody offers.
func TestEveryQueryAsksForWhatIsThere(t *testing.T) {
	known := ofWaggle(t)
	for _, more := range []map[string]string{ofState(), ofOthers()} {
		for name, of := range more {
			known[name] = of
		}
	}
	count := 0
	for _, d := range All() {
		for _, v := range d.Variables {
			if of, ok := known[v.Metric]; !ok || !slices.Contains(append(strings.Fields(of), ofTargets...), v.Label) {
				t.Errorf("%s: nobody offers the label %s of %s", d.Name, v.Label, v.Metric)
			}
		}
		for _, p := range d.Panels {
			for _, q := range p.Queries {
				count++
				for _, complaint := range complaints(known, d, q.Expr) {
					t.Errorf("%s, %s: %s", d.Name, p.Title, complaint)
				}
			}
		}
	}
	if count < 60 {
		t.Errorf("%d queries", count)
	}
}

// complaints are what is wrong with a query.
func complaints(known map[string]string, d Dashboard, expr string) (out []string) {
	for _, v := range d.Variables {
		expr = strings.ReplaceAll(expr, "$"+v.Name, "x")
	}
	if strings.Contains(expr, "$") {
		out = append(out, "a variable that the dashboard does not have: "+expr)
	}
	e, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		return append(out, err.Error())
	}
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		v, ok := n.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		var names []string
		for _, m := range v.LabelMatchers {
			if m.Name == metricName {
				for name := range known {
					if m.Matches(name) {
						names = append(names, name)
					}
				}
			}
		}
		if len(names) == 0 {
			out = append(out, "nobody offers "+v.String())
			return nil
		}
		for _, m := range v.LabelMatchers {
			if !slices.Contains(append(strings.Fields(known[names[0]]), ofTargets...), m.Name) {
				out = append(out, names[0]+" has no label "+m.Name)
			}
		}
		return nil
	})
	return out
}

// TestAQueryThatAsksForNothing is told.
func TestAQueryThatAsksForNothing(t *testing.T) {
	known := map[string]string{"swarm_service_tasks": "service state"}
	for expr, want := range map[string]string{
		"sum(swarm_service_task)":            "nobody offers swarm_service_task",
		`swarm_service_tasks{status="run"}`:  "has no label status",
		"sum(swarm_service_tasks":            "parse error",
		`swarm_service_tasks{service="$of"}`: "a variable that the dashboard does not have",
	} {
		if got := strings.Join(complaints(known, Dashboard{}, expr), ", "); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %s", expr, got, want)
		}
	}
	if got := complaints(known, Dashboard{}, `sum(swarm_service_tasks{state="running"})`); got != nil {
		t.Error(got)
	}
}

// TestFilesAreWhatGrafanaReads: each is JSON with an address of its own, its panels do not
// lie upon each other, and the stack file is one for Docker.
// TestPrometheusIsFoundOnTheControlNetwork: Grafana is on both networks, and so is the monitor, of
// which Docker gives the address on the other one by its mere name. Prometheus does not answer there.
func TestPrometheusIsFoundOnTheControlNetwork(t *testing.T) {
	source, err := os.ReadFile(root + "/compose/grafana/datasource.yml")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(source), "url: http://waggle_monitor.waggle_control:9090\n") {
		t.Errorf("the data source is not on the control network:\n%s", source)
	}
}

func TestFilesAreWhatGrafanaReads(t *testing.T) {
	files, err := Files()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for path, content := range files {
		if !strings.HasSuffix(path, ".json") {
			continue
		}
		var d struct {
			UID    string
			Panels []struct {
				ID      int
				GridPos struct{ X, Y, W, H int }
			}
		}
		if err := json.Unmarshal(content, &d); err != nil || d.UID == "" || seen[d.UID] {
			t.Errorf("%s: %v, uid %q", path, err, d.UID)
		}
		seen[d.UID] = true
		taken := map[[2]int]int{}
		for _, p := range d.Panels {
			for x := range p.GridPos.W {
				for y := range p.GridPos.H {
					at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
					if taken[at] != 0 || at[0] >= 24 {
						t.Fatalf("%s: panel %d lies upon panel %d, or beside the page", path, p.ID, taken[at])
					}
					taken[at] = p.ID
				}
			}
		}
	}
	if len(seen) != 5 {
		t.Errorf("%d dashboards", len(seen))
	}
	env := stackfile.Variables()
	if _, err := stackfile.Load(env, root+"/compose/stack.yml", root+"/compose/grafana.yml"); err == nil || !strings.Contains(err.Error(), "GRAFANA_DOMAIN") {
		t.Errorf("without a domain: %v", err)
	}
	env["GRAFANA_DOMAIN"] = "grafana.example.com"
	c, err := stackfile.Load(env, root+"/compose/stack.yml", root+"/compose/grafana.yml", root+"/compose/exporters.yml")
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile(root + "/docs/labels.md")
	if err != nil {
		t.Fatal(err)
	}
	further := 0
	for _, s := range c.Services {
		for _, mounted := range s.Configs {
			if _, ok := c.Configs[mounted.Source]; !ok {
				t.Errorf("%s has no config %s", s.Name, mounted.Source)
			}
		}
		for label := range s.Deploy.Labels {
			name := strings.TrimRight(strings.TrimPrefix(label, "com.df."), ".0123456789")
			if !strings.Contains(string(table), name) {
				t.Errorf("%s has the label %s, which nobody reads", s.Name, label)
			}
			further++
		}
	}
	if further < 15 {
		t.Errorf("%d labels", further)
	}
}
