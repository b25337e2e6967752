package swarm

import (
	"context"
	"errors"
	"net"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/stack"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// doors looks at Waggle from where users' services stand: requests are answered there, and
// nothing else. Prometheus still scrapes every component, by the control network.
func (w *world) doors(t *testing.T) {
	ctx := tooltest.Context(t, 2*time.Minute)
	w.create(t, stack.Demo{Name: "looker", Replicas: 1, Labels: stack.Labels("/looker")})
	node, err := w.Home(ctx, "looker")
	tooltest.Must(t, err)
	dial, err := w.Within(ctx, node, "looker")
	tooltest.Must(t, err)
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dial(ctx, network, "127.0.0.11:53")
	}}
	knock := func(address string, port int) error {
		ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		conn, err := dial(ctx, "tcp", net.JoinHostPort(address, strconv.Itoa(port)))
		if err != nil {
			return err
		}
		return conn.Close()
	}
	for service, ports := range map[string][]int{"waggle_proxy": {8080, 8404}, "waggle_monitor": {8080, 9090, 9091}} {
		addresses, err := resolver.LookupHost(ctx, "tasks."+service+".")
		tooltest.Must(t, err)
		for _, address := range addresses {
			if service == "waggle_proxy" {
				tooltest.Must(t, knock(address, 80))
			}
			for _, port := range ports {
				if err := knock(address, port); !errors.Is(err, syscall.ECONNREFUSED) {
					t.Errorf("port %d of %s at %s, from a service of a user: %v", port, service, address, err)
				}
			}
		}
	}
	for component, tasks := range map[string]int{"listener": 1, "proxy": len(nodes()), "monitor": 1, "scaler": 1} {
		w.scraped(t, "waggle_"+component, tasks)
	}
	tooltest.Must(t, w.Remove(ctx, "looker"))
	w.gone(t, "/looker")
}
