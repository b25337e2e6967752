package alert

import (
	"maps"
	"strings"
	"testing"
)

// ruleOf is the rule that a pack makes of one alert, or what is wrong with it.
func ruleOf(t *testing.T, pack *Pack, condition string) (Rule, error) {
	t.Helper()
	svc := service("go-demo_main", "alertName=x", "alertIf="+condition)
	alerts, _ := FromService(svc, About{Replicas: 3, Pack: pack})
	if len(alerts) != 1 {
		t.Fatal(alerts)
	}
	return alerts[0].Rule, alerts[0].Err
}

func pack(t *testing.T, name string, files ...PackFile) *Pack {
	t.Helper()
	p, err := NewPack(name, files...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestClassicIsDockerFlowsToTheLetter: its expressions, and the labels and summaries of both packs.
func TestClassicIsDockerFlowsToTheLetter(t *testing.T) {
	const container, job = `{container_label_com_docker_swarm_service_name="go-demo_main"}`, `{job="go-demo_main"}`
	classic := pack(t, "classic")
	for condition, want := range map[string]string{
		"@service_mem_limit:0.8":        "container_memory_usage_bytes" + container + "/container_spec_memory_limit_bytes" + container + " > 0.8",
		"@service_mem_limit_nobuff:0.8": "(container_memory_usage_bytes" + container + "-container_memory_cache" + container + ")/container_spec_memory_limit_bytes" + container + " > 0.8",
		"@node_mem_limit:0.8": "(sum by (instance) (node_memory_MemTotal" + job + ") - sum by (instance) (node_memory_MemFree" + job + " + node_memory_Buffers" + job + " + node_memory_Cached" + job +
			")) / sum by (instance) (node_memory_MemTotal" + job + ") > 0.8",
		"@node_mem_limit_total_above:0.8":               "(sum(node_memory_MemTotal" + job + ") - sum(node_memory_MemFree" + job + " + node_memory_Buffers" + job + " + node_memory_Cached" + job + ")) / sum(node_memory_MemTotal" + job + ") > 0.8",
		"@node_mem_limit_total_below:0.8":               "(sum(node_memory_MemTotal" + job + ") - sum(node_memory_MemFree" + job + " + node_memory_Buffers" + job + " + node_memory_Cached" + job + ")) / sum(node_memory_MemTotal" + job + ") < 0.8",
		"@node_fs_limit:0.8":                            `(node_filesystem_size{fstype="aufs", job="go-demo_main"} - node_filesystem_free{fstype="aufs", job="go-demo_main"}) / node_filesystem_size{fstype="aufs", job="go-demo_main"} > 0.8`,
		"@resp_time_above:0.1,5m,0.99":                  `sum(rate(http_server_resp_time_bucket{job="go-demo_main", le="0.1"}[5m])) / sum(rate(http_server_resp_time_count{job="go-demo_main"}[5m])) < 0.99`,
		"@resp_time_below:0.025,5m,0.75":                `sum(rate(http_server_resp_time_bucket{job="go-demo_main", le="0.025"}[5m])) / sum(rate(http_server_resp_time_count{job="go-demo_main"}[5m])) > 0.75`,
		"@resp_time_server_error:5m,0.001":              `sum(rate(http_server_resp_time_count{job="go-demo_main", code=~"^5..$$"}[5m])) / sum(rate(http_server_resp_time_count{job="go-demo_main"}[5m])) > 0.001`,
		"@replicas_running":                             "count(container_memory_usage_bytes" + container + ") != 3",
		"@replicas_less_than":                           "count(container_memory_usage_bytes" + container + ") < 3",
		"@replicas_more_than":                           "count(container_memory_usage_bytes" + container + ") > 3",
		"@replicas_less_than_or_@service_mem_limit:0.8": "count(container_memory_usage_bytes" + container + ") < 3 or container_memory_usage_bytes" + container + "/container_spec_memory_limit_bytes" + container + " > 0.8",
	} {
		got, err := ruleOf(t, classic, condition)
		if err != nil || got.Expr != want {
			t.Errorf("%s: %v\ngot  %s\nwant %s", condition, err, got.Expr, want)
		}
		mended, err := ruleOf(t, nil, condition)
		// A series that could say so asks for no scaling, whatever the pack.
		maps.DeleteFunc(got.Labels, func(_, text string) bool { return text == "" })
		if err != nil || !maps.Equal(mended.Labels, got.Labels) || !maps.Equal(mended.Annotations, got.Annotations) {
			t.Errorf("%s: %v %v in one pack, %v %v in the other", condition, got.Labels, got.Annotations, mended.Labels, mended.Annotations)
		}
	}
}

func TestShortcutsOfFiles(t *testing.T) {
	p := pack(t, "waggle",
		PackFile{"one", []byte("'@queue':\n  expanded: max(app_queue{job=\"{{ .Alert.ServiceName }}\"}) > {{ index .Values 0 }}\n  annotations: {summary: 'over {{ index .Values 0 }}, {{ \"{{ $value }}\" }}', more: m}\n  labels: {scale: up, receiver: system}\n" +
			"'@typed': {expanded: 'rate(x{le{{ bound (index .Values 1) }}}[{{ index .Values 0 }}]) > {{ .Alert.Replicas }}', values: [range, bound], series: whole}\n")},
		PackFile{"two", []byte("'@node_fs_limit': {expanded: 'disk > {{ index .Values 0 }}', labels: {}, annotations: {}}\n'@queue2': {expanded: up}\n")},
	)
	for _, c := range []struct{ condition, expr, summary, receiver string }{
		{"@queue:10", `max(app_queue{job="go-demo_main"}) > 10`, "over 10, {{ $value }}", "system"},
		{"@node_fs_limit:0.9", "disk > 0.9", "", ""},
		{"@typed:5m,1", `rate(x{le=~"1|1[.]0"}[5m]) > 3`, "", ""},
		{"@queue:1_and_@replicas_less_than", `(max(app_queue{job="go-demo_main"}) > 1) and on () ((max(swarm_service_tasks{service="go-demo_main", state="running"}) or count(count by (container_label_com_docker_swarm_task_id, name) (container_memory_usage_bytes{container_label_com_docker_swarm_service_name="go-demo_main"})) or 0 * count(container_memory_usage_bytes)) < 3)`,
			"over 1, {{ $value }} and The number of running replicas of the service go-demo_main is less than 3", ""},
		{"@queue2", "up", "", ""},
	} {
		got, err := ruleOf(t, p, c.condition)
		if err != nil || got.Expr != c.expr || got.Annotations["summary"] != c.summary || got.Labels["receiver"] != c.receiver {
			t.Errorf("%s: %v %+v", c.condition, err, got)
		}
	}
	for condition, says := range map[string]string{
		"@queue": "index out of range", "@typed:5m,x": "a bucket bound", "@typed:1,1": "a range such as 5m", "@nope": "@queue2",
	} {
		if _, err := ruleOf(t, p, condition); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", condition, err, says)
		}
	}
}

// TestAFileWithoutShortcuts: nothing yet, or comments alone, is no fault.
func TestAFileWithoutShortcuts(t *testing.T) {
	p := pack(t, "waggle", PackFile{"none", nil}, PackFile{"later", []byte("# nothing yet\n")}, PackFile{"one", []byte("'@busy': {expanded: up}\n")})
	if got, err := ruleOf(t, p, "@busy"); err != nil || got.Expr != "up" {
		t.Error(err, got)
	}
}

func TestFilesOfShortcutsThatCannotBeUsed(t *testing.T) {
	for text, says := range map[string]string{
		"a: [": "mine", "'@a': {expanded: '{{ .Values'}": "@a", "a: {expanded: up}": "begins with @", "'@a': {}": "expanded",
		"'@a': {expanded: up, values: [text]}": "number, bound, range, quantile or latency", "'@a': {expanded: up, series: all}": "series", "'@a': {expandet: up}": "expandet",
		"'@a': {expanded: up, labels: {x: '{{ nope }}'}}": "nope",
	} {
		if _, err := NewPack("waggle", PackFile{"mine", []byte(text)}); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "mine") {
			t.Errorf("%s: %v, want %q", text, err, says)
		}
	}
	if _, err := NewPack("modern"); err == nil || !strings.Contains(err.Error(), "waggle or classic") {
		t.Error(err)
	}
}

// TestWhatIsToldOfShortcuts: whoever hears of the operator's shortcuts judges as who has read them;
// of very many the names are known.
func TestWhatIsToldOfShortcuts(t *testing.T) {
	files := []PackFile{
		{"one", []byte("'@busy': {expanded: 'x > 1'}\n'@queue': {expanded: 'y', values: [number], labels: {team: '{{.Alert.ServiceName}}'}}\n")},
		{"two", []byte("'@busy': {expanded: 'queue > {{index .Values 0}}'}\n")},
	}
	heard := func(files []PackFile) *Pack {
		t.Helper()
		file, err := Heard(Tell(files))
		if err != nil {
			t.Fatal(err)
		}
		return pack(t, DefaultPack, file)
	}
	read, told := pack(t, DefaultPack, files...), heard(files)
	for _, condition := range []string{"@busy:3", "@busy", "@queue:4", "@queue:many", "@queue", "@nobody"} {
		want, errRead := ruleOf(t, read, condition)
		got, errTold := ruleOf(t, told, condition)
		if got.Expr != want.Expr || !maps.Equal(got.Labels, want.Labels) || (errRead == nil) != (errTold == nil) {
			t.Errorf("%s: %v %v, want %v %v", condition, got, errTold, want, errRead)
		}
	}
	many := append(files, PackFile{"many", []byte("'@long': {expanded: '" + strings.Repeat("x", mostTold) + "'}\n")})
	if got := Tell(many); got != "@busy,@long,@queue" {
		t.Errorf("%.100q", got)
	}
	if _, err := ruleOf(t, heard(many), "@long:1,2,3"); err != nil {
		t.Error(err)
	}
	if got := Tell([]PackFile{{"bad", []byte("- x")}}); got != "" {
		t.Errorf("%q", got)
	}
}
