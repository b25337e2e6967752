package alert

import (
	"strconv"
	"strings"
	"testing"
)

// TestWhatFires lets Prometheus' own engine say whether an alert fires after ten
// minutes of given series. Each series is "NAME{LABELS} VALUES" in promtool's
// notation, one value per half minute.
func TestWhatFires(t *testing.T) {
	const (
		memory = `container_memory_usage_bytes{container_label_com_docker_swarm_service_name="shop_web", id="a", name="a"} `
		limit  = `container_spec_memory_limit_bytes{container_label_com_docker_swarm_service_name="shop_web", id="a", name="a"} `
		cache  = `container_memory_cache{container_label_com_docker_swarm_service_name="shop_web", id="a", name="a"} `
		root   = `container_memory_usage_bytes{id="/"} 1x20`
		count  = `http_server_resp_time_count{job="web", code="200", path="/"} `
		errors = `http_server_resp_time_count{job="web", code="503", path="/"} `
	)
	other := func(name string) string { return strings.ReplaceAll(memory, `"a"`, strconv.Quote(name)) }
	bucket := func(le string) string { return `http_server_resp_time_bucket{job="web", le="` + le + `"} ` }
	state := func(of, values string) string {
		return `swarm_service_tasks{instance="a", job="waggle_listener", service="shop_web", state="` + of + `"} ` + values
	}
	proxied := func(metric, proxy, more string) string {
		return "waggle_proxy_service_" + metric + `{job="waggle_proxy", service="shop_web", instance="` + proxy + `"` + more + "} "
	}
	answers := func(code, proxy string) string { return proxied("responses_total", proxy, `, code="`+code+`"`) }
	open := func(proxy string) string { return proxied("open_requests", proxy, "") }
	latency := func(le string) string { return proxied("latency_seconds_bucket", "a", `, le="`+le+`"`) }
	nodes := func(suffix, used string) []string {
		return []string{
			`node_memory_MemTotal` + suffix + `{job="web", instance="n1"} 100x20`, `node_memory_MemFree` + suffix + `{job="web", instance="n1"} ` + used,
			`node_memory_Buffers` + suffix + `{job="web", instance="n1"} 5x20`, `node_memory_Cached` + suffix + `{job="web", instance="n1"} 5x20`,
		}
	}
	for _, c := range []struct {
		name, condition string
		series          []string
		fires           bool
	}{
		{"memory over its limit", "@service_mem_limit:0.8", []string{memory + "90x20", limit + "100x20"}, true},
		{"memory below its limit", "@service_mem_limit:0.8", []string{memory + "70x20", limit + "100x20"}, false},
		{"memory without a limit is never over it", "@service_mem_limit:0.8", []string{memory + "90x20", limit + "0x20"}, false},
		{"memory without buffer", "@service_mem_limit_nobuff:0.8", []string{memory + "95x20", cache + "20x20", limit + "100x20"}, false},
		{"memory without buffer over its limit", "@service_mem_limit_nobuff:0.8", []string{memory + "95x20", cache + "5x20", limit + "100x20"}, true},
		{"memory without buffer and without a limit", "@service_mem_limit_nobuff:0.8", []string{memory + "95x20", cache + "5x20", limit + "0x20"}, false},

		{"slow requests", "@resp_time_above:0.1,5m,0.99", []string{bucket("0.1") + "0+5x20", count + "0+10x20"}, true},
		{"fast requests", "@resp_time_above:0.1,5m,0.99", []string{bucket("0.1") + "0+10x20", count + "0+10x20"}, false},
		{"an idle service is not slow", "@resp_time_above:0.1,5m,0.99", []string{bucket("0.1") + "5x20", count + "10x20"}, false},
		{"a service that is not there is not slow", "@resp_time_above:0.1,5m,0.99", []string{root}, false},
		{"a whole bound as Prometheus 3 stores it", "@resp_time_above:1,5m,0.99", []string{bucket("1.0") + "0+5x20", count + "0+10x20"}, true},
		{"a whole bound as Prometheus 2 stores it", "@resp_time_above:1,5m,0.99", []string{bucket("1") + "0+5x20", count + "0+10x20"}, true},

		{"fast requests let it shrink", "@resp_time_below:0.1,5m,0.75", []string{bucket("0.1") + "0+9x20", count + "0+10x20"}, true},
		{"slow requests do not", "@resp_time_below:0.1,5m,0.75", []string{bucket("0.1") + "0+1x20", count + "0+10x20"}, false},
		{"an idle service may shrink", "@resp_time_below:0.1,5m,0.75", []string{bucket("0.1") + "5x20", count + "10x20", `up{job="web"} 1x20`}, true},
		{"one that hangs is not idle", "@resp_time_below:0.1,5m,0.75", []string{bucket("0.1") + "5x20", count + "10x20", `up{job="web"} 0x20`}, false},
		{"a service that tells nothing does not shrink", "@resp_time_below:0.1,5m,0.75", []string{root}, false},
		{"a bound that is no bucket's tells nothing", "@resp_time_below:0.3,5m,0.75", []string{bucket("0.1") + "0+9x20", count + "0+10x20"}, false},

		{"errors", "@resp_time_server_error:5m,0.1", []string{errors + "0+2x20", count + "0+8x20"}, true},
		{"few errors", "@resp_time_server_error:5m,0.1", []string{errors + "0+1x20", count + "0+99x20"}, false},
		{"no request, no error", "@resp_time_server_error:5m,0.1", []string{errors + "2x20", count + "8x20"}, false},

		{"all replicas run", "@replicas_running", []string{memory + "1x20", other("b") + "1x20"}, false},
		{"a replica is missing", "@replicas_running", []string{memory + "1x20"}, true},
		{"all replicas are gone", "@replicas_less_than", []string{root}, true},
		{"all replicas are gone, too", "@replicas_running", []string{root}, true},
		{"without cAdvisor nothing is known", "@replicas_less_than", []string{count + "1x20"}, false},
		{"as many as should be, in two cAdvisors", "@replicas_more_than", []string{memory + "1x20", other("b") + "1x20",
			strings.Replace(memory, "{", `{job="second", `, 1) + "1x20", strings.Replace(other("b"), "{", `{job="second", `, 1) + "1x20"}, false},
		{"a replica too many", "@replicas_more_than", []string{memory + "1x20", other("b") + "1x20", other("c") + "1x20"}, true},

		{"the swarm's state comes first: all run, whatever cAdvisor sees", "@replicas_less_than", []string{state("running", "2x20"), memory + "1x20"}, false},
		{"too few run, although cAdvisor sees them", "@replicas_less_than", []string{state("running", "1x20"), memory + "1x20", other("b") + "1x20"}, true},
		{"none runs", "@replicas_running", []string{state("running", "0x20"), state("starting", "2x20")}, true},
		{"all run", "@replicas_running", []string{state("running", "2x20"), state("pending", "0x20")}, false},
		{"too many run", "@replicas_more_than", []string{state("running", "3x20")}, true},
		{"two listeners say the same, which is not added", "@replicas_more_than", []string{state("running", "2x20"), strings.Replace(state("running", "2x20"), `"a"`, `"b"`, 1)}, false},
		{"the listener has gone, and cAdvisor sees all", "@replicas_running", []string{state("running", "1x5 stale"), memory + "1x20", other("b") + "1x20"}, false},
		{"the listener has gone, and cAdvisor sees one", "@replicas_running", []string{state("running", "2x5 stale"), memory + "1x20"}, true},
		{"the listener has gone, and nobody else knows", "@replicas_less_than", []string{state("running", "1x5 stale")}, false},
		{"what others say of the swarm does not count", "@replicas_more_than", []string{strings.Replace(state("running", "9x20"), "waggle_listener", "liar", 1), count + "1x20"}, false},

		{"a node's memory by today's names", "@node_mem_limit:0.8", nodes("_bytes", "5x20"), true},
		{"a node's memory by the old names", "@node_mem_limit:0.8", nodes("", "5x20"), true},
		{"a node with room", "@node_mem_limit:0.8", nodes("_bytes", "50x20"), false},
		{"all nodes together are full", "@node_mem_limit_total_above:0.8", nodes("_bytes", "5x20"), true},
		{"all nodes together have room", "@node_mem_limit_total_below:0.5", nodes("_bytes", "80x20"), true},
		{"a full disk", "@node_fs_limit:0.8", []string{
			`node_filesystem_size_bytes{job="web", instance="n1", fstype="ext4", mountpoint="/"} 100x20`,
			`node_filesystem_avail_bytes{job="web", instance="n1", fstype="ext4", mountpoint="/"} 10x20`,
		}, true},
		{"a full filesystem in memory is no disk", "@node_fs_limit:0.8", []string{
			`node_filesystem_size_bytes{job="web", instance="n1", fstype="tmpfs", mountpoint="/run"} 100x20`,
			`node_filesystem_avail_bytes{job="web", instance="n1", fstype="tmpfs", mountpoint="/run"} 1x20`,
		}, false},
		{"a full disk by the old names", "@node_fs_limit:0.8", []string{
			`node_filesystem_size{job="web", instance="n1", fstype="aufs", mountpoint="/"} 100x20`,
			`node_filesystem_avail{job="web", instance="n1", fstype="aufs", mountpoint="/"} 10x20`,
		}, true},

		{"many requests", "@request_rate:1m,4", []string{answers("2xx", "a") + "0+90x20", answers("4xx", "b") + "0+45x20"}, true},
		{"not so many", "@request_rate:1m,5", []string{answers("2xx", "a") + "0+90x20", answers("4xx", "b") + "0+45x20"}, false},
		{"of another service", "@request_rate:1m,4", []string{strings.Replace(answers("2xx", "a"), "shop_web", "shop_db", 1) + "0+900x20"}, false},
		{"as anybody can say", "@request_rate:1m,4", []string{strings.Replace(answers("2xx", "a"), "waggle_proxy\"", "shop_web\"", 1) + "0+900x20"}, false},
		{"one in ten fails", "@error_ratio:5m,0.05", []string{answers("2xx", "a") + "0+90x20", answers("5xx", "a") + "0+10x20"}, true},
		{"one in a hundred fails", "@error_ratio:5m,0.05", []string{answers("2xx", "a") + "0+99x20", answers("5xx", "a") + "0+1x20"}, false},
		{"nobody asks", "@error_ratio:5m,0.05", []string{answers("2xx", "a") + "9x20", answers("5xx", "a") + "9x20"}, false},
		{"all fail", "@error_ratio:5m,0.05", []string{answers("2xx", "a") + "0x20", answers("5xx", "a") + "0+1x20"}, true},
		{"many under way at two proxies", "@concurrency:50", []string{open("a") + "30x20", open("b") + "30x20"}, true},
		{"fewer under way", "@concurrency:50", []string{open("a") + "30x20", open("b") + "10x20"}, false},
		{"no proxy tells", "@concurrency:50", []string{root}, false},
		{"slow to answer", "@latency:0.9,5m,0.3", []string{latency("0.25") + "0+8x20", latency("0.5") + "0+10x20", latency("+Inf") + "0+10x20"}, true},
		{"fast to answer", "@latency:0.9,5m,0.3", []string{latency("0.25") + "0+10x20", latency("0.5") + "0+10x20", latency("+Inf") + "0+10x20"}, false},
		{"never answers", "@latency:0.9,5m,9.9", []string{latency("10.0") + "0+1x20", latency("+Inf") + "0+10x20"}, true},
		{"nobody waits", "@latency:0.9,5m,0.3", []string{latency("0.25") + "1x20", latency("0.5") + "9x20", latency("+Inf") + "9x20"}, false},
		{"busy and slow", "@request_rate:1m,4_and_@latency:0.9,5m,0.3",
			[]string{answers("2xx", "a") + "0+900x20", latency("0.25") + "0+8x20", latency("0.5") + "0+10x20", latency("+Inf") + "0+10x20"}, true},

		{"two conditions whose results carry different labels", "@service_mem_limit:0.8_and_@resp_time_above:0.1,5m,0.99",
			[]string{memory + "90x20", limit + "100x20", bucket("0.1") + "0+5x20", count + "0+10x20"}, true},
		{"only one of the two", "@service_mem_limit:0.8_and_@resp_time_above:0.1,5m,0.99",
			[]string{memory + "90x20", limit + "100x20", bucket("0.1") + "0+10x20", count + "0+10x20"}, false},
		{"unless the other", "@resp_time_below:0.1,5m,0.75_unless_@service_mem_limit:0.8",
			[]string{memory + "90x20", limit + "100x20", bucket("0.1") + "0+9x20", count + "0+10x20"}, false},
		{"either of the two", "@service_mem_limit:0.8_or_@resp_time_above:0.1,5m,0.99",
			[]string{bucket("0.1") + "0+5x20", count + "0+10x20"}, true},
		{"and binds tighter than or", "@resp_time_above:0.1,5m,0.99_or_@replicas_running_and_@service_mem_limit:0.8",
			[]string{bucket("0.1") + "0+5x20", count + "0+10x20"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			svc := service("shop_web", "alertName=x", "alertIf="+c.condition, "shortName=true")
			svc.Stack = "shop"
			runPromtool(t, string(render(t, svc, 2)), c.series, c.fires)
		})
	}
}

// runPromtool asks whether any alert fires, by counting, since a result may carry labels of its own.
func runPromtool(t *testing.T, rules string, series []string, fires bool) {
	t.Helper()
	want := 0
	if fires {
		want = 1
	}
	ask(t, rules, series, `group(ALERTS{alertstate="firing"})`, want)
}

// ask has Prometheus' own engine evaluate an expression after ten minutes; 0 stands for no result.
func ask(t *testing.T, rules string, series []string, expr string, want int) {
	t.Helper()
	samples := []map[string]any{}
	if want > 0 {
		samples = append(samples, map[string]any{"labels": "{}", "value": want})
	}
	evaluate(t, rules, series, expr, samples)
}

// TestWhatAlertsSay: who fires, how often, and with which labels.
func TestWhatAlertsSay(t *testing.T) {
	disk := func(kind, mount, value string) string {
		return "node_filesystem_" + kind + `_bytes{job="shop_web", instance="n1", node="one", device="/dev/sda1", fstype="ext4", mountpoint="` + mount + `"} ` + value
	}
	for _, c := range []struct {
		name   string
		labels string // separated by line ends
		series []string
		alerts string // a selector of alerts
		count  int
	}{
		{"one for each service that PromQL groups by", "alertIf=sum by (service) (up) >= 1", []string{`up{service="a"} 1x20`, `up{service="b"} 1x20`, `up{service="c"} 0x20`}, `owner="shop_web"`, 2},
		{"each about the service that its series name", "alertIf=sum by (service) (up) >= 1", []string{`up{service="a"} 1x20`, `up{service="b"} 1x20`}, `service="b"`, 1},
		{"whose it is, whatever a series says", "alertIf=up == 1", []string{`up{owner="somebody"} 1x20`}, `owner="shop_web"`, 1},
		{"no series asks for scaling", "alertIf=up == 1", []string{`up{scale="up", type="service", service="victim"} 1x20`}, `scale!=""`, 0},
		{"no function does", `alertIf=label_replace(label_replace(vector(1), "scale", "up", "", ""), "service", "victim", "", "")`, []string{`up{} 1x20`}, `scale!=""`, 0},
		{"who scales is about itself", "alertIf=up == 1\nalertLabels=scale=up,type=service", []string{`up{service="victim"} 1x20`}, `scale="up", service="shop_web"`, 1},
		{"a node by its name", "alertIf=@node_mem_limit:0.8", []string{
			`node_memory_MemTotal_bytes{job="shop_web", instance="10.0.0.1:9100", node="one"} 100x20`, `node_memory_MemFree_bytes{job="shop_web", instance="10.0.0.1:9100", node="one"} 5x20`,
			`node_memory_Buffers_bytes{job="shop_web", instance="10.0.0.1:9100", node="one"} 5x20`, `node_memory_Cached_bytes{job="shop_web", instance="10.0.0.1:9100", node="one"} 5x20`,
		}, `node="one"`, 1},
		{"a disk once, however often it is mounted", "alertIf=@node_fs_limit:0.8", []string{
			disk("size", "/", "100x20"), disk("avail", "/", "10x20"), disk("size", "/etc/hosts", "100x20"), disk("avail", "/etc/hosts", "10x20"),
		}, `node="one"`, 1},
		{"a container once", "alertIf=@service_mem_limit:0.8", []string{
			`container_memory_usage_bytes{container_label_com_docker_swarm_service_name="shop_web", id="a", name="w.1", node="one", job="a"} 90x20`,
			`container_spec_memory_limit_bytes{container_label_com_docker_swarm_service_name="shop_web", id="a", name="w.1", node="one", job="a"} 100x20`,
			`container_memory_usage_bytes{container_label_com_docker_swarm_service_name="shop_web", id="a", name="w.1", node="one", job="b"} 90x20`,
			`container_spec_memory_limit_bytes{container_label_com_docker_swarm_service_name="shop_web", id="a", name="w.1", node="one", job="b"} 100x20`,
		}, `name="w.1", node="one"`, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			rules := render(t, service("shop_web", append(strings.Split(c.labels, "\n"), "alertName=x")...), 2)
			ask(t, string(rules), c.series, `count(ALERTS{alertstate="firing", `+c.alerts+`})`, c.count)
		})
	}
}
