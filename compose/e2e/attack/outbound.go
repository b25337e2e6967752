package attack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/acceptance"
	"github.com/wagglehq/waggle/compose/e2e/stack"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// leads is a crook whose requests are to go to a host.
func leads(to, port string) crook {
	const host = "thief.attack.test"
	return crook{
		what: to, labels: stack.Labels("/", "serviceDomain", host, "port", port, "outboundHostname", to),
		says: []string{"com.df.outboundHostname", to}, hosts: []string{host},
	}
}

// everywhere leads to what is inside whatever the swarm.
func everywhere() []crook {
	return []crook{
		leads("127.0.0.1", "8080"), leads("::1", "8080"), leads("::ffff:127.0.0.1", "8080"), leads("localhost", "8080"), leads("169.254.169.254", "80"),
	}
}

// means is a crook whose host is inside by what it means here: its labels could be right
// elsewhere, so they are in force, and it gets no server.
func means(to, port, what string) crook {
	c := leads(to, port)
	c.state, c.says = catalog.StateDegraded, []string{to, what}
	return c
}

// outbound has labels lead to what the proxy reaches and clients must not.
func (w *world) outbound(ctx context.Context) error {
	inside, err := w.controlAddress(ctx, "waggle_alertmanager")
	if err != nil {
		return err
	}
	crooks := append(everywhere(),
		means(w.Addr(stack.Manager), "22", "is the node "+stack.Manager), means(w.Addr(stack.Worker), "22", "is the node "+stack.Worker),
		means(inside, "9093", "on the control network"), means("waggle_alertmanager", "9093", inside),
	)
	if err := w.under(ctx, func(ctx context.Context) error { return w.refused(ctx, crooks...) }); err != nil || w.short {
		return err
	}
	return w.byName(ctx)
}

// controlAddress is that of the one task of a service on the control network.
func (w *world) controlAddress(ctx context.Context, service string) (string, error) {
	node, err := w.Home(ctx, service)
	if err != nil {
		return "", err
	}
	return w.address(ctx, node, service, "waggle_control")
}

// address is that of a service's task on a node in a network.
func (w *world) address(ctx context.Context, node, service, network string) (string, error) {
	container, err := w.Container(ctx, node, service)
	if err != nil {
		return "", err
	}
	address, err := w.Node(node).Docker(ctx, "inspect", "-f", fmt.Sprintf("{{(index .NetworkSettings.Networks %q).IPAddress}}", network), container)
	if err == nil && address == "" {
		err = fmt.Errorf("%s on %s is not in %s", service, node, network)
	}
	return address, err
}

// The names that the attacker's DNS knows. The first one means another address later.
const (
	moving = "moving.attack.test"
	cloud  = "cloud.attack.test"
	home   = "home.attack.test"
)

// byName has names mean what is inside: from the beginning, or once the proxy has looked.
func (w *world) byName(ctx context.Context) error {
	names, err := acceptance.NewNames(fmt.Sprintf("%s %s\n169.254.169.254 %s\n127.0.0.1 %s\n", w.Here(), moving, cloud, home))
	if err != nil {
		return err
	}
	stop, err := names.Serve(net.JoinHostPort(w.Here(), "53"))
	defer stop()
	if err != nil {
		return err
	}
	var lc net.ListenConfig
	// The port is that of the proxy's own, which is what the name comes to mean.
	listener, err := lc.Listen(ctx, "tcp", net.JoinHostPort(w.Here(), "8080"))
	if err != nil {
		return err
	}
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, outside) })}
	go func() { _ = server.Serve(listener) }() // It ends when it is closed.
	defer func() { _ = server.Close() }()
	restore, err := w.with(ctx, nil, []string{w.Here()})
	if err == nil {
		err = w.under(ctx, func(ctx context.Context) error {
			if err := w.refused(ctx, means(cloud, "80", "169.254.169.254"), means(home, "8080", "127.0.0.1")); err != nil {
				return err
			}
			return w.moves(ctx, names)
		})
	}
	return errors.Join(err, restore(ctx))
}

// outside is what the attacker's own server answers.
const outside = "outside"

// moves has a name mean what is outside until the proxy has taken it, and then the proxy
// itself.
func (w *world) moves(ctx context.Context, names *acceptance.Names) error {
	c := leads(moving, "8080")
	if err := w.Create(ctx, c.demo()); err != nil {
		return err
	}
	answered := func(ctx context.Context, node string) (string, error) {
		status, body, err := w.from(ctx, node, c.hosts[0], "/healthz")
		return fmt.Sprintf("%d %s", status, body), err
	}
	for _, node := range w.Nodes() {
		if err := poll(ctx, 30*time.Second, moving+" to be answered on "+node, func(ctx context.Context) error {
			if got, err := answered(ctx, node); err != nil || got != "200 "+outside {
				return errors.Join(err, errors.New(got))
			}
			return nil
		}); err != nil {
			return errors.Join(err, w.gone(context.WithoutCancel(ctx)))
		}
	}
	if err := names.Know("127.0.0.1 " + moving); err != nil {
		return err
	}
	moved := time.Now()
	for time.Since(moved) < told {
		for _, node := range w.Nodes() {
			if got, err := answered(ctx, node); err == nil && got != "200 "+outside && got[0] != '5' {
				w.Fault("%s moved to the proxy itself, and on %s it is answered %q", moving, node, got)
				return w.gone(ctx)
			}
		}
		if err := tooltest.Pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	told := func(s catalog.Status) bool { return says(s, "127.0.0.1 is the proxy itself") }
	if statuses, err := w.Verdicts(ctx, w.listener, thief); err != nil || !slices.ContainsFunc(statuses, told) {
		w.Fault("%s moved to the proxy itself, and nobody says so (%v): %+v", moving, err, statuses)
	} else {
		w.Say("%s moved to 127.0.0.1 after it was taken: never answered from there, and told by name", moving)
	}
	return w.gone(ctx)
}
