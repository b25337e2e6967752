package truth

import (
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
)

// prometheus answers questions about series that are given as "NAME{LABEL=VALUE,...}".
type prometheus []string

func (p prometheus) tell(t *testing.T, expr string) string {
	t.Helper()
	known := Answers{}
	for range 10 {
		words, open := Tell(expr, known)
		if len(open) == 0 {
			return strings.Join(words, "\n")
		}
		for _, q := range open {
			known[q] = p.answer(t, q)
		}
	}
	t.Fatal("it goes on asking")
	return ""
}

func (p prometheus) answer(t *testing.T, q Question) []string {
	t.Helper()
	wanted, err := parser.NewParser(parser.Options{}).ParseMetricSelector(q.Selector)
	if err != nil {
		t.Fatal(q, err)
	}
	var out []string
	for _, series := range p {
		labels := labelsOf(series)
		for _, m := range wanted {
			if !m.Matches(labels[m.Name]) {
				labels = nil
				break
			}
		}
		if value := labels[q.Label]; value != "" && !slices.Contains(out, value) {
			out = append(out, value)
		}
	}
	return out
}

func labelsOf(series string) map[string]string {
	name, rest, _ := strings.Cut(strings.TrimSuffix(series, "}"), "{")
	out := map[string]string{"__name__": name, "": "yes"}
	for pair := range strings.SplitSeq(rest, ",") {
		if key, value, ok := strings.Cut(pair, "="); ok {
			out[key] = value
		}
	}
	return out
}

func TestWhatKeepsARuleFromFiring(t *testing.T) {
	shop := prometheus{
		"up{job=shop}", "up{job=db}", "http_server_resp_time_bucket{job=shop,le=0.1}", "http_server_resp_time_bucket{job=shop,le=0.5}", "http_server_resp_time_bucket{job=shop,le=+Inf}",
		"http_server_resp_time_count{job=shop}", "orders_total{job=shop,kind=web}",
	}
	node := prometheus{"node_memory_MemTotal_bytes{job=exp}", "node_cpu_seconds_total{job=exp}"}
	for _, c := range []struct {
		name string
		has  prometheus
		expr string
		want string // parts of the one thing that is said, separated by |; empty if all is well
	}{
		{"all is there", shop, `rate(orders_total{job="shop"}[5m]) > 1`, ""},
		{"a metric that nobody has", shop, `oders_total > 1`, "no series oders_total in the last hour: is the name right"},
		{"a label that no series has", shop, `orders_total{kind="phone"} > 1`, `no series orders_total{kind="phone"}|the metric orders_total is there, but not with these labels`},
		{"the job of another", shop, `orders_total{job="shop_web"} > 1`, "the metric is there for the jobs shop, not for shop_web"},
		{"a bucket that is none", shop, `sum(rate(http_server_resp_time_bucket{job="shop", le="0.3"}[5m])) / sum(rate(http_server_resp_time_count{job="shop"}[5m])) < 0.9`, `has no such bucket: its bounds are 0.1, 0.5, +Inf`},
		{"a bucket that is none on one side of or", shop, `http_server_resp_time_bucket{job="shop", le="0.3"} > 1 or http_server_resp_time_count == 0`, "has no such bucket"},
		{"a bucket that is there", shop, `http_server_resp_time_bucket{job="shop", le="0.5"} > 1`, ""},
		{"one of two names", node, `(node_memory_MemTotal_bytes{job="exp"} or node_memory_MemTotal{job="exp"}) > 1`, ""},
		{"a name that has changed", node, `node_memory_MemTotal > 1`, "the metric is called node_memory_MemTotal_bytes today"},
		{"another", node, `rate(node_cpu[5m]) > 1`, "the metric is called node_cpu_seconds_total today"},
		{"a name that has changed and is not there either", node, `node_memory_MemFree > 1`, "node_exporter has called it node_memory_MemFree_bytes since version 0.16"},
		{"no exporter of nodes", shop, `node_memory_MemTotal_bytes > 1 or node_memory_MemTotal > 1`, "no node_exporter is in sight|deploy one on every node"},
		{"no cAdvisor", shop, `(count(count by (name) (container_memory_usage_bytes{x="shop"})) or 0 * count(container_memory_usage_bytes)) < 2`, "no cAdvisor is in sight"},
		{"no listener", shop, `max(swarm_service_tasks{service="shop"}) < 2`, "no listener that tells the state of the swarm is in sight"},
		{"the state of the swarm alone", prometheus{"swarm_service_tasks{service=shop}"}, `(max(swarm_service_tasks{service="shop"}) or count(container_memory_usage_bytes{x="shop"}) or 0 * count(container_memory_usage_bytes)) < 2`, ""},
		{"cAdvisor without containers of the service", prometheus{"container_memory_usage_bytes{id=/}"}, `(count(container_memory_usage_bytes{x="shop"}) or 0 * count(container_memory_usage_bytes)) < 2`, ""},
		{"what is absent may be", shop, `absent(oders_total) == 1`, ""},
		{"what is excluded may be away", shop, `orders_total unless maintenance`, ""},
		{"both sides of and", shop, `orders_total and maintenance`, "no series maintenance"},
		{"a subquery", shop, `max_over_time(oders_total[5m:1m]) > 1`, "no series oders_total"},
		{"no metric at all", shop, `vector(1) > 0`, ""},
		{"a selector without a name", shop, `{job="nobody"} > 0`, `no series {job="nobody"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := c.has.tell(t, c.expr)
			if (c.want == "") != (got == "") || strings.Contains(got, "\n") {
				t.Fatalf("%q, want %q", got, c.want)
			}
			for part := range strings.SplitSeq(c.want, "|") {
				if !strings.Contains(got, part) {
					t.Errorf("%q lacks %q", got, part)
				}
			}
		})
	}
}

// TestNothingIsSaidBeforeAllIsKnown, and nothing of what is not PromQL.
func TestNothingIsSaidBeforeAllIsKnown(t *testing.T) {
	words, open := Tell("a_total + b_total > 1", Answers{{Selector: "a_total"}: nil})
	if len(words) != 0 || len(open) == 0 {
		t.Error(words, open)
	}
	if words, open := Tell("sum(", Answers{}); len(words)+len(open) != 0 {
		t.Error(words, open)
	}
}
