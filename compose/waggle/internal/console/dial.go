package console

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/wagglehq/waggle/pkg/app"
)

// The times of reaching the listener.
const (
	dialTimeout   = time.Second
	lookupTimeout = time.Second
)

// OnNetwork is a client that looks for names without a dot on a network of Docker alone, and
// connects to nobody else: on another network that the console shares with tenants, anybody may
// take the listener's name, and would be believed.
func OnNetwork(network app.Network) *http.Client {
	dialer := &net.Dialer{Timeout: dialTimeout}
	transport := &http.Transport{DialContext: func(ctx context.Context, kind, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		if _, err := netip.ParseAddr(host); err == nil || strings.Contains(host, ".") || host == "localhost" {
			return dialer.DialContext(ctx, kind, address)
		}
		found, err := among(ctx, network, host)
		if err != nil {
			return nil, err
		}
		for _, a := range found {
			var conn net.Conn
			if conn, err = dialer.DialContext(ctx, kind, net.JoinHostPort(a.String(), port)); err == nil {
				return conn, nil
			}
		}
		return nil, err
	}}
	return &http.Client{Transport: transport}
}

// among are the addresses that a name has within the network.
func among(ctx context.Context, network app.Network, host string) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	own, err := network.Address(ctx)
	if err != nil {
		return nil, err
	}
	all, err := network.Lookup(ctx, host+"."+network.Name+".")
	if err != nil {
		return nil, err
	}
	var out []netip.Addr
	for _, a := range all {
		if own.Contains(a.Unmap()) {
			out = append(out, a.Unmap())
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s is not on the network %s", host, network.Name)
	}
	return out, nil
}
