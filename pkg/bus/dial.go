package bus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"
)

// The times of one attempt to connect.
const (
	// lookupTimeout bounds a look-up of a service's name. Docker forwards names
	// that it does not know, and whoever it forwards them to may take seconds:
	// asking again is quicker than waiting.
	lookupTimeout = 250 * time.Millisecond
	connTimeout   = time.Second
	// patientEvery is how often an attempt leaves all to the system: for a name
	// that only a search domain completes, or a slow resolver.
	patientEvery   = 5
	patientTimeout = 5 * time.Second
)

// resolver is *net.Resolver, or a test's.
type resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// dialer connects to a name that may come and go, as those of Swarm's services do.
type dialer struct {
	resolver resolver
	attempts atomic.Uint64
}

// Dial is for NATS, which gives no context.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patientTimeout)
	defer cancel()
	patient := func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	quick := func(ctx context.Context) (net.Conn, error) { return d.quick(ctx, network, host, port) }
	switch _, err := netip.ParseAddr(host); {
	case err == nil:
		return patient(ctx)
	case d.attempts.Add(1)%patientEvery != 0:
		return quick(ctx)
	}
	return first(ctx, patient, func(ctx context.Context) (net.Conn, error) {
		for {
			conn, err := quick(ctx)
			if err == nil || ctx.Err() != nil {
				return conn, err
			}
			select {
			case <-ctx.Done():
			case <-time.After(lookupTimeout):
			}
		}
	})
}

// first returns the first connection that one of the ways makes; the others are closed.
func first(ctx context.Context, ways ...func(context.Context) (net.Conn, error)) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		conn net.Conn
		err  error
	}
	results := make(chan result, len(ways))
	for _, way := range ways {
		go func() {
			conn, err := way(ctx)
			results <- result{conn, err}
		}()
	}
	var made net.Conn
	var errs []error
	for range ways {
		r := <-results
		switch {
		case r.err != nil:
			errs = append(errs, r.err)
		case made != nil:
			_ = r.conn.Close()
		default:
			made = r.conn
			cancel()
		}
	}
	if made != nil {
		return made, nil
	}
	return nil, errors.Join(errs...)
}

// quick connects to what the name means at this moment.
func (d *dialer) quick(ctx context.Context, network, host, port string) (net.Conn, error) {
	addrs, err := d.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, a := range addrs {
		conn, err := (&net.Dialer{Timeout: connTimeout}).DialContext(ctx, network, net.JoinHostPort(a.String(), port))
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// lookup asks for the absolute name, so that no search domain is tried.
func (d *dialer) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	addrs, err := d.resolver.LookupNetIP(ctx, "ip4", strings.TrimSuffix(host, ".")+".")
	if err == nil && len(addrs) == 0 {
		err = fmt.Errorf("no address of %s", host)
	}
	return addrs, err
}
