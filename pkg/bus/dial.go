package bus

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
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
	// nextAfter is how long a candidate is waited for before the next is tried beside it.
	nextAfter = 200 * time.Millisecond
	// patientEvery is how often an attempt leaves all to the system: for a name
	// that only a search domain completes, a slow resolver, or a slow way to an address. Seldom,
	// since a client that connects keeps all its callers waiting.
	patientEvery   = 5
	patientTimeout = 5 * time.Second
	// maxRefused is how many addresses are remembered that were passed over.
	maxRefused = 256
)

// resolver is *net.Resolver, or a test's.
type resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// dialer connects to a name that may come and go, as those of Swarm's services do.
// If servers must prove themselves by a key it passes over whoever cannot: a name that
// anybody may take on one network leads to anybody.
type dialer struct {
	resolver resolver
	// network is a network of Docker on which names are asked for first; may be empty.
	network string
	// peers returns further addresses; may be nil.
	peers func() []string
	// tls is nil if the connection is made without, or if NATS itself makes it.
	tls      *tls.Config
	log      *slog.Logger
	attempts atomic.Uint64

	// mu guards refused, since candidates are tried at the same time.
	mu sync.Mutex
	// refused is why, by address, it was last said that an address is passed over.
	refused map[string]string
}

// SkipTLSHandshake tells NATS that Dial has done it.
func (d *dialer) SkipTLSHandshake() bool { return d.tls != nil }

// Dial is for NATS, which gives no context.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patientTimeout)
	defer cancel()
	patient := func(ctx context.Context) (net.Conn, error) { return d.connect(ctx, network, address) }
	quick := func(ctx context.Context) (net.Conn, error) { return d.quick(ctx, network, host, port) }
	_, err = netip.ParseAddr(host)
	isAddress := err == nil
	switch {
	case d.attempts.Add(1)%patientEvery != 0 || isAddress && d.peers != nil:
		return quick(ctx)
	case isAddress:
		return patient(ctx)
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
	return staggered(ctx, 0, ways)
}

// staggered tries the ways in their order, the next as soon as one fails or has kept
// it waiting for that long, and returns the first connection; the others are closed.
func staggered(ctx context.Context, pause time.Duration, ways []func(context.Context) (net.Conn, error)) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		conn net.Conn
		err  error
	}
	results := make(chan result, len(ways))
	running := 0
	start := func() {
		way := ways[0]
		ways = ways[1:]
		running++
		go func() {
			conn, err := way(ctx)
			results <- result{conn, err}
		}()
	}
	var made net.Conn
	var errs []error
	for running > 0 || len(ways) > 0 && made == nil {
		if running == 0 {
			start()
			continue
		}
		var next <-chan time.Time
		if len(ways) > 0 && made == nil {
			next = time.After(pause)
		}
		select {
		case <-next:
			start()
		case r := <-results:
			running--
			switch {
			case r.err != nil:
				errs = append(errs, r.err)
				if len(ways) > 0 && made == nil {
					start()
				}
			case made != nil:
				_ = r.conn.Close()
			default:
				made = r.conn
				cancel()
			}
		}
	}
	if made != nil {
		return made, nil
	}
	return nil, errors.Join(errs...)
}

// quick connects to what the name means at this moment, or to a peer.
func (d *dialer) quick(ctx context.Context, network, host, port string) (net.Conn, error) {
	addresses, err := d.candidates(ctx, host, port)
	if len(addresses) == 0 {
		return nil, err
	}
	var ways []func(context.Context) (net.Conn, error)
	for _, address := range addresses {
		ways = append(ways, func(ctx context.Context) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, connTimeout)
			defer cancel()
			return d.connect(ctx, network, address)
		})
	}
	return staggered(ctx, nextAfter, ways)
}

// candidates returns where a server may be, the likeliest first, and why it may be
// nowhere.
func (d *dialer) candidates(ctx context.Context, host, port string) ([]string, error) {
	names := []string{host}
	if addr, err := netip.ParseAddr(host); err == nil {
		return d.withPeers(nil, []netip.Addr{addr}, port), nil
	}
	if d.network != "" && !strings.Contains(host, ".") {
		names = []string{host + "." + d.network, host}
	}
	found := make([][]netip.Addr, len(names))
	errs := make([]error, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() { found[i], errs[i] = d.lookup(ctx, name) })
	}
	wg.Wait()
	return d.withPeers(slices.Concat(found[:len(names)-1]...), found[len(names)-1], port), errors.Join(errs...)
}

// withPeers puts the peers between the addresses that are likelier and the others.
func (d *dialer) withPeers(before, after []netip.Addr, port string) []string {
	var out []string
	add := func(address string) {
		if !slices.Contains(out, address) {
			out = append(out, address)
		}
	}
	for _, a := range before {
		add(net.JoinHostPort(a.String(), port))
	}
	if d.peers != nil && d.tls != nil {
		for _, address := range d.peers() {
			add(address)
		}
	}
	for _, a := range after {
		add(net.JoinHostPort(a.String(), port))
	}
	return out
}

// connect connects to one address, which must prove itself if that is asked for.
func (d *dialer) connect(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil || d.tls == nil {
		return conn, err
	}
	proven := tls.Client(conn, d.tls)
	limited, cancel := context.WithTimeout(ctx, connTimeout)
	defer cancel()
	if err := proven.HandshakeContext(limited); err != nil {
		_ = conn.Close()
		var plain tls.RecordHeaderError
		if errors.As(err, &plain) {
			err = errPlain
		}
		err = fmt.Errorf("bus: %s: %w", address, err)
		if ctx.Err() == nil {
			d.refuse(address, err)
		}
		return nil, err
	}
	return proven, nil
}

var errPlain = errors.New("the server speaks no TLS, which tls:// demands")

// refuse says, once, that an address is passed over.
func (d *dialer) refuse(address string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refused[address] == err.Error() {
		return
	}
	// Addresses come and go; who refuses more of them than that has other worries.
	if d.refused == nil || len(d.refused) >= maxRefused {
		d.refused = map[string]string{}
	}
	d.refused[address] = err.Error()
	d.log.Warn("bus passed over", "address", address, "error", err)
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
