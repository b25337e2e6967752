package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/wagglehq/waggle/pkg/place"
)

// Control as the host of an address ("control:8080") means loopback and this container's
// address on the control network, and no other.
const Control = "control"

// The times of looking for the control network.
const (
	controlEvery    = time.Second
	controlLookup   = 250 * time.Millisecond
	controlPatience = 30 * time.Second
	// controlSlowly is how often it is looked for after that: a name that nobody has is
	// asked for at the node's own name server, too.
	controlSlowly = 10 * time.Second
)

// Network finds this container's own address on a network of Docker. The engine's DNS knows
// names with the network's behind them. Anybody can take such a name on another network, and
// then answers with an address of his, so that only an answer with one of our own counts.
type Network struct {
	// Name is that of the network ("waggle_control"), and Names are those by which the engine
	// knows this container, without it.
	Name  string
	Names []string
	// Lookup returns the addresses of an absolute name, and Own those of this container
	// with their subnets.
	Lookup func(ctx context.Context, name string) ([]netip.Addr, error)
	Own    func() ([]netip.Prefix, error)
}

// DockerNetwork asks the system for a container of the service waggle_SERVICE. Its names are
// the host name and that of the service's tasks; Swarm tells both as soon as the task is healthy.
func DockerNetwork(name, service string) Network {
	resolver := &net.Resolver{PreferGo: true}
	names := []string{"tasks.waggle_" + service}
	if host, err := os.Hostname(); err == nil {
		names = append([]string{host}, names...)
	}
	return Network{Name: name, Names: names, Own: ownAddresses, Lookup: func(ctx context.Context, name string) ([]netip.Addr, error) {
		return resolver.LookupNetIP(ctx, "ip4", name)
	}}
}

func ownAddresses() ([]netip.Prefix, error) {
	all, err := place.Networks()
	if err != nil {
		return nil, err
	}
	var out []netip.Prefix
	for _, n := range all {
		if a := n.Net.Addr(); !a.IsLoopback() {
			out = append(out, netip.PrefixFrom(a.Unmap(), n.Net.Bits()))
		}
	}
	return out, nil
}

// Address is this container's address on the network, with its subnet.
func (n Network) Address(ctx context.Context) (netip.Prefix, error) {
	own, err := n.Own()
	if err != nil {
		return netip.Prefix{}, err
	}
	for _, name := range n.Names {
		limited, cancel := context.WithTimeout(ctx, controlLookup)
		found, err := n.Lookup(limited, name+"."+n.Name+".")
		cancel()
		if err != nil {
			continue
		}
		for _, p := range own {
			if slices.ContainsFunc(found, func(a netip.Addr) bool { return a.Unmap() == p.Addr() }) {
				return p, nil
			}
		}
	}
	return netip.Prefix{}, fmt.Errorf("no name of this container is known on the network %s: it is not on it, or not healthy yet", n.Name)
}

// ServeAdmin serves the handler at the admin address until the context ends. On the control
// network it answers as soon as that is found, on loopback at once.
func (sh Shell) ServeAdmin(ctx context.Context, handler http.Handler) error {
	return ServeAt(ctx, sh.Admin, sh.Control, handler, sh.Log)
}

// ServeAt is ServeOn at an address, whose host may be Control.
func ServeAt(ctx context.Context, addr string, network Network, handler http.Handler, log *slog.Logger) error {
	err := ListenAt(ctx, addr, network, func(ctx context.Context, ln net.Listener) error { return ServeOn(ctx, ln, handler, log) }, log)
	if err != nil {
		return fmt.Errorf("admin HTTP: %w", err)
	}
	return nil
}

// Server serves on a listener until the context ends, and closes it.
type Server func(ctx context.Context, ln net.Listener) error

// ListenAt has a server serve at an address until the context ends. If its host is Control,
// that is on loopback at once, and on the network as soon as this is found.
func ListenAt(ctx context.Context, addr string, network Network, serve Server, log *slog.Logger) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || host != Control {
		return listen(ctx, addr, serve)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 2)
	go func() { ended <- listen(ctx, net.JoinHostPort("127.0.0.1", port), serve) }()
	go func() { ended <- network.Listen(ctx, port, serve, log) }()
	err = <-ended
	stop() // one without the other is no server
	return errors.Join(err, <-ended)
}

func listen(ctx context.Context, addr string, serve Server) error {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	return serve(ctx, ln)
}

// ServeOnNetwork serves at "NETWORK:PORT", on this container's address on a network of
// Docker, as soon as that is found. A host that is none, or an address, is as for ServeAt.
func (sh Shell) ServeOnNetwork(ctx context.Context, addr string, handler http.Handler) error {
	serve := func(ctx context.Context, ln net.Listener) error { return ServeOn(ctx, ln, handler, sh.Log) }
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	if _, err := netip.ParseAddr(host); err == nil || host == "" {
		return listen(ctx, addr, serve)
	}
	return DockerNetwork(host, sh.Name).Listen(ctx, port, serve, sh.Log)
}

// Listen has a server serve at a port of this container's address on the network, and to those
// on the network alone, as soon as it is found. It returns nil when the context ends.
func (n Network) Listen(ctx context.Context, port string, serve Server, log *slog.Logger) error {
	own, err := n.await(ctx, log)
	if err != nil {
		<-ctx.Done()
		return nil //nolint:nilerr // the context has ended, or there is no way to look
	}
	log.Info("answers on a network", "network", n.Name, "address", own.Addr(), "port", port)
	return listen(ctx, net.JoinHostPort(own.Addr().String(), port), func(ctx context.Context, ln net.Listener) error {
		return serve(ctx, within{ln, own})
	})
}

// within is a listener for those on one network. The kernel takes what is sent to any of its
// addresses on all links, so that an address alone keeps out nobody who sets a route.
type within struct {
	net.Listener
	network netip.Prefix
}

// Accept closes what others have opened.
func (w within) Accept() (net.Conn, error) {
	for {
		conn, err := w.Listener.Accept()
		if err != nil || among([]netip.Prefix{w.network}, conn.RemoteAddr().String()) {
			return conn, err
		}
		_ = conn.Close()
	}
}

// await looks for the network until it is found or the context ends.
func (n Network) await(ctx context.Context, log *slog.Logger) (netip.Prefix, error) {
	if n.Lookup == nil || n.Own == nil {
		return netip.Prefix{}, errors.New("there is no way to look for it")
	}
	tick := time.NewTicker(controlEvery)
	defer tick.Stop()
	warn := time.After(controlPatience)
	for {
		own, err := n.Address(ctx)
		if err == nil {
			return own, nil
		}
		select {
		case <-ctx.Done():
			return netip.Prefix{}, ctx.Err()
		case <-warn:
			tick.Reset(controlSlowly)
			log.Warn("does not answer on a network until it is found", "network", n.Name, "error", err)
		case <-tick.C:
		}
	}
}
