package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/proc"
)

const (
	engine = "engine and health checks"
	whole  = "the whole node without the services"
)

// consumer says for whom a process of a node works.
func consumer(p proc.Process) string {
	is := func(word string) bool { return strings.Contains(p.Command(), word) }
	switch {
	case p.Name == "dockerd" || p.Name == "runc" || strings.HasPrefix(p.Name, "containerd") || is("-healthcheck"):
		return engine
	case is("waggle-demo"):
		return "" // the services, which are none of ours
	case is("waggle-proxy -controller"):
		return "proxy: controller"
	case is("waggle-proxy"):
		return "proxy: process 1"
	case is("haproxy"):
		return "proxy: HAProxy"
	case is("waggle-monitor"):
		return "monitor"
	case is("alertmanager"):
		return "alertmanager"
	case is("prometheus"):
		return "monitor: Prometheus"
	case is("waggle-listener"):
		return "listener"
	case is("waggle-scaler"):
		return "scaler"
	}
	return "other"
}

// spent is what the processes of a node have used, by for whom they work.
func (m *swarm) spent(node string) (map[string]time.Duration, error) {
	all, err := m.Node(node).Processes()
	out := map[string]time.Duration{}
	for _, p := range all {
		who := consumer(p)
		if who == "" {
			continue
		}
		used := p.CPU
		if who == engine {
			// What it starts, health checks first of all, has often ended by now.
			used += p.Waited
		}
		out[who] += used
		out[whole] += used
	}
	return out, err
}

// idleMany is idle with many services.
func (m *swarm) idleMany(ctx context.Context) error {
	if err := m.fill(ctx, m.others); err != nil {
		return err
	}
	return m.idle(ctx)
}

// idle measures what the stack costs while nothing happens.
func (m *swarm) idle(ctx context.Context) error {
	if err := m.quiet(ctx); err != nil {
		return err
	}
	version, err := m.Docker(ctx, "version", "--format", "{{.Server.Version}}")
	if err != nil {
		return err
	}
	m.Table(fmt.Sprintf("Nothing happens for %v, with %d services, on engine %s", m.still, m.filled, version), "node", "what", "% of a core")
	for _, node := range m.Nodes() {
		names, err := m.spent(node)
		if err != nil {
			return err
		}
		var read []func() (time.Duration, error)
		who := slices.Sorted(maps.Keys(names))
		for _, name := range who {
			read = append(read, func() (time.Duration, error) {
				all, err := m.spent(node)
				return all[name], err
			})
		}
		shares, err := proc.Idle(ctx, m.still, read...)
		if err != nil {
			return err
		}
		for i, name := range who {
			m.Row(node, name, fmt.Sprintf("%.2f", shares[i]))
		}
	}
	return nil
}
