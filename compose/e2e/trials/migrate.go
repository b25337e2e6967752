package trials

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/load"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// migrate moves public stacks of Docker Flow's: the services with their labels, networks and
// secrets are there as Docker Flow had them, and Waggle takes the place of proxy, listener,
// monitor and scaler by a stack file of settings. Nothing about the services changes.
func (n *newcomer) migrate(ctx context.Context) error {
	node := n.nodes[0]
	if err := n.brings(ctx); err != nil {
		return err
	}
	if err := n.application(ctx, "registry.example.com/shop/web:7", 8080, node); err != nil {
		return err
	}
	if err := n.steps(ctx, node, install, "docker swarm init"); err != nil {
		return err
	}
	n.say("- what Docker Flow leaves: networks, secrets, and the services of two public stacks")
	for _, command := range []string{
		"docker network create --driver overlay proxy",
		"docker network create --driver overlay monitor",
		"openssl req -x509 -newkey rsa:2048 -nodes -days 365 -subj /CN=demo.example.com -addext subjectAltName=DNS:demo.example.com -keyout key.pem -out cert.pem 2>/dev/null",
		"cat cert.pem key.pem | docker secret create cert-acme -",
		"echo admin:honey | docker secret create dfp_users_admin -",
		"docker stack deploy --resolve-image never -c compose/e2e/trials/testdata/metrics.yml metrics",
		"docker stack deploy --resolve-image never -c compose/e2e/trials/testdata/go-demo.yml go-demo",
	} {
		if _, err := n.types(ctx, node, command); err != nil {
			return err
		}
	}
	if err := n.waits(ctx, node, "docker service ls --format '{{.Name}} {{.Replicas}}'", "", "go-demo_main 2/2", "metrics_cadvisor 1/1", "metrics_grafana 1/1", "metrics_node-exporter 1/1"); err != nil {
		return err
	}
	before, err := n.specs(ctx)
	if err != nil {
		return err
	}

	n.say("- Waggle in the place of Docker Flow's proxy, listener, monitor and scaler")
	began := time.Now()
	if err := n.writes(migrating, "flow.yml"); err != nil {
		return err
	}
	// There is no registry here.
	n.here["-c flow.yml"] = "-c flow.yml --resolve-image never"
	if err := n.steps(ctx, node, migrating, "compose/deploy -c flow.yml"); err != nil {
		return err
	}
	if err := n.running(ctx, 1); err != nil {
		return err
	}
	for service, words := range map[string]string{
		"go-demo_main": "applied by monitor; applied by proxy; applied by scaler", "metrics_grafana": "applied by proxy",
		"metrics_cadvisor": "applied by monitor", "metrics_node-exporter": "applied by monitor",
	} {
		if err := n.waits(ctx, node, "compose/look listener /v1/services/"+service, install, words); err != nil {
			return err
		}
	}
	for _, ask := range []struct{ command, word string }{
		{"curl -s http://localhost/demo/hello", "/demo/hello"},
		{"curl -s http://localhost/grafana/api/health", "at /api/health"},
		{"curl -s --cacert cert.pem --resolve demo.example.com:443:127.0.0.1 https://demo.example.com/demo/hello", "/demo/hello"},
		// Prometheus has what exporters tell, and knows the alerts.
		{"compose/look monitor /v1/services/metrics_node-exporter", `"up"`},
	} {
		if err := n.waits(ctx, node, ask.command, "", ask.word); err != nil {
			return err
		}
	}
	n.say("- routes, certificate, scrapes and alerts: %s after the first command", seconds(time.Since(began)))
	if after, err := n.specs(ctx); err != nil || after != before {
		n.fault("the services are not as they were (%v):\n%s\n%s", err, before, after)
	} else {
		n.say("         services, labels and tasks are those of before: %s", strings.ReplaceAll(after, "\n", ", "))
	}
	return n.scaled(ctx)
}

// specs are the versions of all services but Waggle's, which change with every change of them,
// and their running tasks.
func (n *newcomer) specs(ctx context.Context) (string, error) {
	var out []string
	for _, service := range []string{"go-demo_main", "metrics_cadvisor", "metrics_grafana", "metrics_node-exporter"} {
		version, err := n.nodes[0].Docker(ctx, "service", "inspect", "--format", "{{.Spec.Name}} {{.Version.Index}}", service)
		if err != nil {
			return "", err
		}
		tasks, err := n.nodes[0].Docker(ctx, "service", "ps", "--quiet", "--filter", "desired-state=running", service)
		if err != nil {
			return "", err
		}
		out = append(out, version+" "+strings.Join(strings.Fields(tasks), " "))
	}
	return strings.Join(out, "\n"), nil
}

// scaled lets requests be slow until the alert of the tutorial has brought another replica.
func (n *newcomer) scaled(ctx context.Context) error {
	n.say("- requests that take longer than a tenth of a second")
	began := time.Now()
	asking, stop := context.WithCancel(ctx)
	defer stop()
	asked := make(chan error, 1)
	go func() {
		_, err := load.Run(asking, load.Config{URL: "http://" + n.nodes[0].Addr() + "/demo/hello", Rate: 20, Connections: 20, KeepAlive: true, Duration: limit, Timeout: 10 * time.Second})
		asked <- err
	}()
	err := tooltest.PollFor(ctx, 4*time.Minute, time.Second, "another replica", func(ctx context.Context) error {
		out, err := n.nodes[0].Docker(ctx, "service", "inspect", "--format", "{{.Spec.Mode.Replicated.Replicas}}", "go-demo_main")
		if err == nil && out == "2" {
			err = fmt.Errorf("there are %s", out)
		}
		return err
	})
	stop()
	if err := <-asked; err != nil {
		return err
	}
	if err == nil {
		n.say("%5.1f s  the alert of the tutorial has brought another replica", time.Since(began).Seconds())
	}
	return err
}
