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
	"strings"
	"time"
)

// Control as the host of an address ("control:8080") means loopback and this container's
// address on the control network, and no other.
const Control = "control"

// The times of looking for the control network.
const (
	controlEvery    = time.Second
	controlLookup   = 250 * time.Millisecond
	controlPatience = 30 * time.Second
)

// Network finds this container's own address on a network of Docker. The engine's DNS knows
// who is on it by names with the network's behind them, and of the own interfaces one has
// the subnet of those.
type Network struct {
	// Name is that of the network ("waggle_control").
	Name string
	// Lookup returns the addresses of an absolute name, and Own those of this container
	// with their subnets.
	Lookup func(ctx context.Context, name string) ([]netip.Addr, error)
	Own    func() ([]netip.Prefix, error)
}

// DockerNetwork asks the system.
func DockerNetwork(name string) Network {
	resolver := &net.Resolver{PreferGo: true}
	return Network{Name: name, Own: ownAddresses, Lookup: func(ctx context.Context, name string) ([]netip.Addr, error) {
		return resolver.LookupNetIP(ctx, "ip4", name)
	}}
}

func ownAddresses() ([]netip.Prefix, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var out []netip.Prefix
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLoopback() {
			out = append(out, netip.PrefixFrom(p.Addr().Unmap(), p.Bits()))
		}
	}
	return out, nil
}

// neighbours are names that may be on the control network: this container's own, and those
// of Waggle's services, of which one that runs is enough.
func neighbours() []string {
	out := []string{"waggle_listener", "waggle_scaler", "waggle_monitor", "waggle_alertmanager", "waggle_proxy"}
	if name, err := os.Hostname(); err == nil && !strings.Contains(name, ".") {
		out = append([]string{name}, out...)
	}
	return out
}

// Address is this container's address on the network.
func (n Network) Address(ctx context.Context) (netip.Addr, error) {
	own, err := n.Own()
	if err != nil {
		return netip.Addr{}, err
	}
	for _, name := range neighbours() {
		limited, cancel := context.WithTimeout(ctx, controlLookup)
		found, err := n.Lookup(limited, name+"."+n.Name+".")
		cancel()
		if err != nil {
			continue
		}
		for _, p := range own {
			for _, a := range found {
				if p.Contains(a.Unmap()) {
					return p.Addr(), nil
				}
			}
		}
	}
	return netip.Addr{}, fmt.Errorf("no name is known on the network %s, or this container is not on it", n.Name)
}

// ServeAdmin serves the handler at the admin address until the context ends. On the control
// network it answers as soon as that is found, on loopback at once.
func (sh Shell) ServeAdmin(ctx context.Context, handler http.Handler) error {
	return ServeAt(ctx, sh.Admin, sh.Control, handler, sh.Log)
}

// ServeAt is Serve for an address whose host may be Control.
func ServeAt(ctx context.Context, addr string, network Network, handler http.Handler, log *slog.Logger) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || host != Control {
		return Serve(ctx, addr, handler, log)
	}
	var lc net.ListenConfig
	loopback, err := lc.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		return fmt.Errorf("admin HTTP: %w", err)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 2)
	go func() { ended <- ServeOn(ctx, loopback, handler, log) }()
	go func() { ended <- network.serve(ctx, port, handler, log) }()
	err = <-ended
	stop() // one without the other is no admin server
	return errors.Join(err, <-ended)
}

// ServeOnNetwork serves at "NETWORK:PORT", on this container's address on a network of
// Docker, as soon as that is found. A host that is none, or an address, is as for Serve.
func ServeOnNetwork(ctx context.Context, addr string, handler http.Handler, log *slog.Logger) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	if _, err := netip.ParseAddr(host); err == nil || host == "" {
		return Serve(ctx, addr, handler, log)
	}
	return DockerNetwork(host).serve(ctx, port, handler, log)
}

// serve serves on the network as soon as it is found, and returns nil when the context ends.
func (n Network) serve(ctx context.Context, port string, handler http.Handler, log *slog.Logger) error {
	own, err := n.await(ctx, log)
	if err != nil {
		<-ctx.Done()
		return nil //nolint:nilerr // the context has ended, or there is no way to look
	}
	log.Info("answers on a network", "network", n.Name, "address", own, "port", port)
	return Serve(ctx, net.JoinHostPort(own.String(), port), handler, log)
}

// await looks for the network until it is found or the context ends.
func (n Network) await(ctx context.Context, log *slog.Logger) (netip.Addr, error) {
	if n.Lookup == nil || n.Own == nil {
		return netip.Addr{}, errors.New("there is no way to look for it")
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
			return netip.Addr{}, ctx.Err()
		case <-warn:
			log.Warn("does not answer on a network until it is found", "network", n.Name, "error", err)
		case <-tick.C:
		}
	}
}
