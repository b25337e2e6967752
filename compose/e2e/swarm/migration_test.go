package swarm

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/stack"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// migration: a service with the labels of Docker Flow's tutorials, on the networks of Docker
// Flow's stack, is routed and scraped as soon as proxy and monitor join those networks. It is
// not changed, and none of its tasks starts anew.
func (w *world) migration(t *testing.T) {
	ctx := tooltest.Context(t, 3*time.Minute)
	for _, network := range []string{"proxy", "monitor"} {
		_, err := w.Docker(ctx, "network", "create", "--driver", "overlay", "--attachable", network)
		tooltest.Must(t, err)
	}
	tooltest.Must(t, w.Create(ctx, stack.Demo{Name: "go-demo_main", Replicas: 2, Networks: []string{"proxy", "monitor"}, Labels: map[string]string{
		"com.df.notify": "true", "com.df.distribute": "true", "com.df.servicePath": "/demo-of-old", "com.df.port": "8080",
		"com.df.scrapePort": "8080", "com.df.scrapeNetwork": "monitor", "com.df.alertName": "memlimit", "com.df.alertIf": "@service_mem_limit:0.8", "com.df.alertFor": "30s",
	}}))
	before, err := w.Tasks(ctx, "go-demo_main")
	tooltest.Must(t, err)
	for service, change := range map[string][]string{
		"waggle_proxy":   {"--network-add", "proxy", "--env-add", "NETWORKS=waggle,proxy"},
		"waggle_monitor": {"--network-add", "proxy", "--network-add", "monitor", "--env-add", "NETWORK=waggle,proxy,monitor"},
	} {
		_, err := w.Docker(ctx, append(append([]string{"service", "update", "--quiet"}, change...), service)...)
		tooltest.Must(t, err)
	}
	w.answered(t, "/demo-of-old", 2)
	node, err := w.Home(ctx, "waggle_monitor")
	tooltest.Must(t, err)
	eventually(t, "its tasks to be targets", func() error {
		var groups []struct {
			Targets []string
			Labels  map[string]string
		}
		if err := w.Inside(ctx, node, "waggle_monitor", 8080, "/v1/targets", &groups); err != nil {
			return err
		}
		n := 0
		for _, g := range groups {
			if strings.HasPrefix(g.Labels["service"], "go-demo") || g.Labels["job"] == "go-demo_main" {
				n += len(g.Targets)
			}
		}
		if n != 2 {
			return fmt.Errorf("%d targets in %v", n, groups)
		}
		return nil
	})
	after, err := w.Tasks(ctx, "go-demo_main")
	tooltest.Must(t, err)
	if len(after) != len(before) {
		t.Errorf("tasks were started anew: %v, before %v", after, before)
	}
}
