package scenarios

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/wagglehq/waggle/compose/e2e/stack"
)

// The names of what is deployed beside Waggle's own services.
const (
	nodes      = "waggle_node-exporter"
	containers = "waggle_cadvisor"
	exporter   = "exporter" // the image of both
)

// Who may see Prometheus, as the secret for the proxy has it.
const user, password = "bee", "honey"

// deployment is how a user of Docker Flow would deploy: everything about the monitor by
// variables, labels and secrets.
func deployment(ctx context.Context, s *stack.Stack, address string) (stack.Extra, error) {
	if err := s.Program(ctx, exporter, "./scenarios/testdata/exporter", s.Nodes()...); err != nil {
		return stack.Extra{}, err
	}
	host, port, _ := strings.Cut(address, ":")
	for name, text := range map[string]string{
		"scrape_outside":     fmt.Sprintf("- job_name: outside\n  static_configs: [{targets: ['%s:%s']}]\n- job_name: outside-too\n  static_configs: [{targets: ['%s:%s']}]\n", host, port, host, port),
		"dfp_users_watchers": user + ":" + password,
	} {
		if err := s.Secret(ctx, name, text); err != nil {
			return stack.Extra{}, err
		}
	}
	file := s.Node(stack.Manager).Dir("scenarios.yml")
	text := fmt.Sprintf(`version: "3.9"
services:
  proxy:
    secrets:
      - {source: watchers, target: dfp_users_watchers, uid: "99", gid: "0", mode: 0440}
  monitor:
    environment:
      GLOBAL__SCRAPE_INTERVAL: 2s
      GLOBAL__SCRAPE_TIMEOUT: 2s
      GLOBAL__EVALUATION_INTERVAL: 2s
      GLOBAL__EXTERNAL_LABELS_1: cluster=lab
      ARG_QUERY_STALENESS-DELTA: 4m
      ARG_STORAGE_TSDB_RETENTION_TIME: 2d
      ARG_WEB_EXTERNAL-URL: http://%[1]s/monitor
      DF_SCRAPE_TARGET_LABELS: env,metricType
      DF_NODE_TARGET_LABELS: aws_region,role
      PROMETHEUS_LISTEN: ":9090"
    secrets:
      - {source: outside, target: scrape_outside, uid: "65534", gid: "65534", mode: 0400}
    deploy:
      labels:
        com.df.notify: "true"
        com.df.servicePath: /monitor
        com.df.port: "9090"
  # The root of a lab's node is shared with nobody, and so cannot be had as on a real one.
  node-exporter:
    volumes:
      - {type: bind, source: /, target: /host, read_only: true}
  scaler:
    environment: {PROMETHEUS_URL: http://waggle_monitor:9090/monitor, ALERT_SCALE_MIN: "true"}
secrets:
  outside: {external: true, name: scrape_outside}
  watchers: {external: true, name: dfp_users_watchers}
`, stack.Manager)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return stack.Extra{}, err
	}
	return stack.Extra{
		Env:   []string{"ALERT_SLACK=http://" + address + "/services/T0/B0/KEY", "NODE_EXPORTER_IMAGE=" + exporter, "CADVISOR_IMAGE=" + exporter},
		Files: []string{s.Script("exporters.yml"), file},
	}, nil
}
