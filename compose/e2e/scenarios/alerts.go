package scenarios

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/wagglehq/waggle/compose/e2e/stack"
)

// memory is an alert on a container's memory.
func memory(service string, bytes int) string {
	return fmt.Sprintf(`container_memory_usage_bytes{container_label_com_docker_swarm_service_name=%q} > %d`, service, bytes)
}

// alertOfARunningService: labels that are added make an alert, and changed ones another.
func (w *world) alertOfARunningService(ctx context.Context) error {
	const service, alert = "go-mem", "gomem_memlimit"
	if err := w.serve(ctx, service, "/go-mem"); err != nil {
		return err
	}
	if err := w.relabel(ctx, service, "alertName", "memlimit", "alertIf", memory(service, 1<<40)); err != nil {
		return err
	}
	w.want(ctx, soon, "the alert is there, and quiet", w.alerts("inactive", alert))
	if err := w.relabel(ctx, service, "alertIf", memory(service, 1)); err != nil {
		return err
	}
	w.want(ctx, soon, "with a lower threshold the same alert fires", w.alerts("firing", alert))
	return w.Remove(ctx, service)
}

// limited creates a service with a limit of memory.
func (w *world) limited(ctx context.Context, service, alertIf string) error {
	if err := w.serve(ctx, service, "/"+service, "alertName", "memlimit", "alertIf", alertIf); err != nil {
		return err
	}
	return w.Replace(ctx, service, func(template map[string]any) {
		template["Resources"] = map[string]any{"Limits": map[string]any{"MemoryBytes": 256 << 20}}
	})
}

// share: a service without a limit is never over it.
func (w *world) share(ctx context.Context) error {
	const service = "go-share"
	if err := w.limited(ctx, service, "@service_mem_limit:0.8"); err != nil {
		return err
	}
	w.want(ctx, soon, "its containers have the limit", w.present(`container_spec_memory_limit_bytes{container_label_com_docker_swarm_service_name="go-share"} == 268435456`, 1))
	w.want(ctx, soon, "the alert is there, and quiet", w.alerts("inactive", "goshare_memlimit"))
	return w.Remove(ctx, service)
}

// indexed: the exporters' stack file has two.
func (w *world) indexed(ctx context.Context) error {
	w.want(ctx, soon, "both alerts of the stack file are there", w.alerts("", "waggle_nodeexporter_memory", "waggle_nodeexporter_disk"))
	return nil
}

// byHand: what somebody posts arrives in the chat.
func (w *world) byHand(ctx context.Context) error {
	node, err := w.Home(ctx, "waggle_alertmanager")
	if err != nil {
		return err
	}
	container, err := w.Container(ctx, node, "waggle_alertmanager")
	if err != nil {
		return err
	}
	n := w.chat.count()
	_, err = w.Node(node).Docker(ctx, "exec", container, "/bin/amtool", "--http.config.file=/etc/alertmanager/amtool.yml",
		"--alertmanager.url=http://127.0.0.1:9093", "alert", "add", "alertname=byhand", "service=go-demo", "--annotation=summary=Said by hand")
	if err != nil {
		return err
	}
	w.want(ctx, late, "the chat has what was said", w.says(n, false, "byhand", "go-demo", "Said by hand"))
	return nil
}

// firesAndEnds: people are told of both.
func (w *world) firesAndEnds(ctx context.Context) error {
	const service, alert = "go-limit", "golimit_memlimit"
	n := w.chat.count()
	if err := w.limited(ctx, service, "@service_mem_limit:0.8"); err != nil {
		return err
	}
	w.want(ctx, soon, "the alert is there, and quiet", w.alerts("inactive", alert))
	if err := w.relabel(ctx, service, "alertIf", "@service_mem_limit:0.0001"); err != nil {
		return err
	}
	w.want(ctx, soon, "it fires with a threshold that is too low", w.alerts("firing", alert))
	w.want(ctx, late, "the chat is told", w.says(n, false, "FIRING", alert, "Memory of the service go-limit is over 0.0001"))
	if err := w.relabel(ctx, service, "alertIf", "@service_mem_limit:0.8"); err != nil {
		return err
	}
	w.want(ctx, late, "the chat is told that it is over", w.says(n, true, "RESOLVED", alert))
	return w.Remove(ctx, service)
}

// errorRate: people are told, and nothing scales.
func (w *world) errorRate(ctx context.Context) error {
	const service, path = "go-errors", "/go-errors"
	n := w.chat.count()
	err := w.Create(ctx, stack.Demo{
		Name: service, Replicas: 1, Unchecked: true, Args: []string{"-concurrency", "100", "-service-time", "3s"},
		Labels: stack.Labels(path, "timeoutServer", "1", "scaleMin", "1", "scaleMax", "5", "alertName", "errorrate", "alertFor", "2s",
			"alertIf", `sum(rate(waggle_proxy_service_responses_total{service="go-errors",code="5xx"}[30s])) / sum(rate(waggle_proxy_service_responses_total{service="go-errors"}[30s])) > 0.001`,
			"alertLabels", "receiver=system,service=go-errors,type=errors", "alertAnnotations", "summary=Error rate is too high"),
	})
	if err != nil {
		return err
	}
	w.want(ctx, soon, "its requests take too long", w.answered(path, nil, http.StatusGatewayTimeout))
	asking, stop := context.WithCancel(ctx)
	defer stop()
	flow := w.Flow(asking, []string{stack.Manager}, path)
	w.want(ctx, 2*soon, "the alert fires", w.alerts("firing", "goerrors_errorrate"))
	w.want(ctx, late, "the chat is told", w.says(n, false, "goerrors_errorrate", "Error rate is too high"))
	stop()
	if _, err := flow(); err != nil {
		return err
	}
	tasks, err := w.Tasks(ctx, service)
	if err == nil && len(tasks) != 1 {
		w.Fault("%s has %d tasks: it was scaled", service, len(tasks))
	}
	if err != nil {
		return err
	}
	return w.Remove(ctx, service)
}

// managers: an alert with scale=no is told to people alone.
func (w *world) managers(ctx context.Context) error {
	n := w.chat.count()
	err := w.relabel(ctx, nodes, "alertName.3", "managers", "alertIf.3", "@node_mem_limit_total_above:0.001", "alertLabels.3", "scale=no")
	if err != nil {
		return err
	}
	const alert = "waggle_nodeexporter_managers"
	w.want(ctx, soon, "the alert fires", w.alerts("firing", alert))
	w.want(ctx, late, "the chat is told", w.says(n, false, alert, "Total memory of the nodes is over 0.001"))
	if said := w.Logs(ctx, "waggle_scaler"); strings.Contains(said, "scale=no") {
		w.Fault("the scaler was told: %s", said)
	}
	return w.relabel(ctx, nodes, "alertName.3", "", "alertIf.3", "", "alertLabels.3", "")
}

// eachNode: alerts of nodes are told by node.
func (w *world) eachNode(ctx context.Context) error {
	n := w.chat.count()
	err := w.relabel(ctx, nodes, "alertName.3", "lowmem", "alertIf.3", "@node_mem_limit:0.001", "alertName.4", "lowdisk", "alertIf.4", "@node_fs_limit:0.001")
	if err != nil {
		return err
	}
	const mem, disk = "waggle_nodeexporter_lowmem", "waggle_nodeexporter_lowdisk"
	w.want(ctx, soon, "both alerts fire", w.alerts("firing", mem, disk))
	w.want(ctx, soon, "each once for each node", w.present(`ALERTS{alertname="`+mem+`",alertstate="firing"}`, len(w.Nodes())))
	for _, node := range w.Nodes() {
		w.want(ctx, late, "the chat is told of the memory of "+node, w.says(n, false, mem, node, "Memory of a node is over 0.001"))
		w.want(ctx, late, "the chat is told of the disk of "+node, w.says(n, false, disk, node, "Disk usage of a node is over 0.001"))
	}
	return w.relabel(ctx, nodes, "alertName.3", "", "alertIf.3", "", "alertName.4", "", "alertIf.4", "")
}

// threshold: nothing is deployed anew for another one.
func (w *world) threshold(ctx context.Context) error {
	const alert = "waggle_nodeexporter_total"
	began, err := w.query(ctx, `process_start_time_seconds{job="prometheus"}`)
	if err != nil {
		return err
	}
	for _, step := range []struct{ bound, state string }{{"0.999", "inactive"}, {"0.001", "firing"}, {"0.999", "inactive"}} {
		if err := w.relabel(ctx, nodes, "alertName.3", "total", "alertIf.3", "@node_mem_limit_total_above:"+step.bound); err != nil {
			return err
		}
		w.want(ctx, soon, "with "+step.bound+" it is "+step.state, w.alerts(step.state, alert))
	}
	if now, err := w.query(ctx, `process_start_time_seconds{job="prometheus"}`); err != nil || fmt.Sprint(now) != fmt.Sprint(began) {
		w.Fault("Prometheus was started anew: %v, before %v (%v)", now, began, err)
	}
	return w.relabel(ctx, nodes, "alertName.3", "", "alertIf.3", "")
}

// infrastructure: alerts of Waggle's own services come by labels as well, and those that are
// ready are there.
func (w *world) infrastructure(ctx context.Context) error {
	var names []string
	for _, component := range []string{"listener", "proxy", "monitor", "scaler", "alertmanager"} {
		if err := w.relabel(ctx, "waggle_"+component, "notify", "true", "alertName.9", "memlimit", "alertIf.9", "@service_mem_limit:0.8", "alertFor.9", "30s"); err != nil {
			return err
		}
		names = append(names, "waggle_"+component+"_memlimit")
	}
	w.want(ctx, soon, "each of them has its alert", w.alerts("inactive", names...))
	w.want(ctx, soon, "so has what is ready", w.alerts("", "Watchdog", "NodeDown", "ServiceDown", "WaggleComponentDown"))
	return nil
}
