package scenarios

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/wagglehq/waggle/compose/e2e/stack"
)

// environment: configuration and flags are those of variables.
func (w *world) environment(ctx context.Context) error {
	w.want(ctx, soon, "the configuration has the intervals and the external label of the variables", func(ctx context.Context) error {
		var answer struct{ Data struct{ YAML string } }
		err := w.prometheus(ctx, "/api/v1/status/config", &answer)
		for _, text := range []string{"scrape_interval: 2s", "evaluation_interval: 2s", "cluster: lab"} {
			if err == nil && !strings.Contains(answer.Data.YAML, text) {
				err = errors.New("the configuration lacks " + text)
			}
		}
		return err
	})
	w.want(ctx, soon, "the flags are those of the variables, one of which has its name of Prometheus 1", func(ctx context.Context) error {
		var answer struct{ Data map[string]string }
		err := w.prometheus(ctx, "/api/v1/status/flags", &answer)
		for name, text := range map[string]string{"query.lookback-delta": "4m", "storage.tsdb.retention.time": "2d", "web.external-url": "http://" + stack.Manager + below} {
			if got := answer.Data[name]; err == nil && got != text {
				err = fmt.Errorf("--%s is %q, want %q", name, got, text)
			}
		}
		return err
	})
	return nil
}

// exposed: the page answers at port 80 below the path, and nothing that changes it does.
func (w *world) exposed(ctx context.Context) error {
	w.want(ctx, soon, "a query is answered at port 80 below /monitor", w.answered(below+"/api/v1/query?query=up", nil, http.StatusOK))
	return nil
}

// exporters: a global service has one target on each node.
func (w *world) exporters(ctx context.Context) error {
	for _, job := range []string{nodes, containers} {
		w.want(ctx, soon, "each node has a target of "+job, w.up(job, len(w.Nodes()), map[string]string{"node": "*", "service": job}))
	}
	w.want(ctx, soon, "each node has a target of the proxy", w.up("waggle_proxy", len(w.Nodes()), nil))
	return nil
}

// requests: what 200 of them are seen as.
func (w *world) requests(ctx context.Context) error {
	const service = "go-demo"
	if err := w.serve(ctx, service, "/go-demo"); err != nil {
		return err
	}
	for range 200 {
		if status, body, err := w.Get(ctx, stack.Manager, "/go-demo/hello"); err != nil || status != http.StatusOK {
			return fmt.Errorf("%d %s: %w", status, body, err)
		}
	}
	w.want(ctx, soon, "the proxy has counted them", w.present(`sum(waggle_proxy_service_responses_total{service="go-demo",code="2xx"}) >= 200`, 1))
	w.want(ctx, soon, "the service's containers take memory", w.present(`container_memory_usage_bytes{container_label_com_docker_swarm_service_name="go-demo"} > 0`, 1))
	w.want(ctx, soon, "the nodes have memory", w.present(`node_memory_MemTotal_bytes > 0`, len(w.Nodes())))
	return w.Remove(ctx, service)
}

// serve creates the service of the tutorials and waits until it is answered.
func (w *world) serve(ctx context.Context, name, path string, labels ...string) error {
	return w.create(ctx, stack.Demo{Name: name, Replicas: 1, Unchecked: true, Labels: stack.Labels(path, labels...)}, path)
}

func (w *world) create(ctx context.Context, d stack.Demo, path string) error {
	if err := w.Create(ctx, d); err != nil {
		return err
	}
	w.want(ctx, soon, d.Name+" is answered", w.answered(path, nil, http.StatusOK))
	return nil
}

// monitorAnew: what labels ask for comes back, although nothing of the monitor's is left.
func (w *world) monitorAnew(ctx context.Context) error {
	services, err := w.Services(ctx)
	if err != nil {
		return err
	}
	var before map[string]rule
	w.want(ctx, soon, "there are no rules of services that the parts before have removed", func(ctx context.Context) error {
		var err error
		before, err = w.rules(ctx)
		for _, r := range before {
			owner := r.Labels["owner"]
			if strings.HasPrefix(owner, "go-") && !slices.ContainsFunc(services, func(s stack.Service) bool { return s.Spec.Name == owner }) {
				err = fmt.Errorf("there is %s", r.Name)
			}
		}
		return err
	})
	node, err := w.Home(ctx, "waggle_monitor")
	if err != nil {
		return err
	}
	if err := w.Remove(ctx, "waggle_monitor"); err != nil {
		return err
	}
	w.want(ctx, soon, "the monitor and its volume are gone", func(ctx context.Context) error {
		_, err := w.Node(node).Docker(ctx, "volume", "rm", "waggle_monitor")
		return err
	})
	if err := w.Redeploy(ctx); err != nil {
		return err
	}
	var names []string
	for name := range before {
		names = append(names, name)
	}
	w.want(ctx, 2*soon, fmt.Sprintf("all %d rules are back and are evaluated", len(names)), w.alerts("", names...))
	w.want(ctx, soon, "so are the jobs", w.up(nodes, len(w.Nodes()), nil))
	return nil
}

// removed: job and alert go with the service.
func (w *world) removed(ctx context.Context) error {
	const service = "go-short"
	err := w.serve(ctx, service, "/go-short", "scrapePort", "8080", "alertName", "mem", "alertIf", "up < 0")
	if err != nil {
		return err
	}
	w.want(ctx, soon, "it is scraped", w.up(service, 1, nil))
	w.want(ctx, soon, "its alert is there", w.alerts("inactive", "goshort_mem"))
	if err := w.Remove(ctx, service); err != nil {
		return err
	}
	w.want(ctx, soon, "the alert is gone", w.noAlert("goshort_mem"))
	w.want(ctx, soon, "the targets are gone", w.up(service, 0, nil))
	return nil
}

// outside: all jobs of a file are there, before and after a deployment.
func (w *world) outside(ctx context.Context) error {
	there := func(when string) {
		for _, job := range []string{"outside", "outside-too"} {
			w.want(ctx, soon, job+" is scraped "+when, w.up(job, 1, nil))
		}
	}
	there("before")
	if err := w.serve(ctx, "go-other", "/go-other", "scrapePort", "8080"); err != nil {
		return err
	}
	w.want(ctx, soon, "another service is scraped", w.up("go-other", 1, nil))
	there("after another service has come")
	return w.Remove(ctx, "go-other")
}

// flexible: a label of a node that changes needs no deployment.
func (w *world) flexible(ctx context.Context) error {
	for i, node := range w.Nodes() {
		if _, err := w.Docker(ctx, "node", "update", "--label-add", fmt.Sprintf("com.df.aws_region=region-%d", i), node); err != nil {
			return err
		}
	}
	if err := w.relabel(ctx, nodes, "env", "prod", "metricType", "system"); err != nil {
		return err
	}
	w.want(ctx, soon, "targets have env and metricType of the service, node, role and aws_region of the node",
		w.up(nodes, len(w.Nodes()), map[string]string{"env": "prod", "metricType": "system", "node": "*", "role": "*", "aws_region": "*"}))
	before, err := w.reloads(ctx)
	if err != nil {
		return err
	}
	for _, node := range w.Nodes() {
		if _, err := w.Docker(ctx, "node", "update", "--label-add", "com.df.aws_region=moon", node); err != nil {
			return err
		}
	}
	w.want(ctx, soon, "a label of a node that changes is one of its targets", w.up(nodes, len(w.Nodes()), map[string]string{"aws_region": "moon"}))
	if after, err := w.reloads(ctx); err != nil || after != before {
		w.Fault("Prometheus was reloaded %g times for it (%v)", after-before, err)
	}
	return nil
}

// reloads is how often Prometheus was told to read its files.
func (w *world) reloads(ctx context.Context) (float64, error) {
	node, err := w.Home(ctx, "waggle_monitor")
	if err != nil {
		return 0, err
	}
	return w.Metric(ctx, node, "waggle_monitor", "waggle_monitor_reloads_total")
}

// guarded: without the password of a secret nobody sees anything.
func (w *world) guarded(ctx context.Context) error {
	if err := w.relabel(ctx, "waggle_monitor", "usersSecret", "watchers"); err != nil {
		return err
	}
	known := http.Header{"Host": {stack.Manager}}
	request := &http.Request{Header: known}
	request.SetBasicAuth(user, password)
	page := below + "/api/v1/query?query=up"
	w.want(ctx, soon, "who has no password is answered 401", w.answered(page, nil, http.StatusUnauthorized))
	w.want(ctx, soon, "who has it sees the page", w.answered(page, known, http.StatusOK))
	return w.relabel(ctx, "waggle_monitor", "usersSecret", "")
}
