// Package bus is the way of the catalog, of statuses, signals and decisions
// through NATS JetStream. With bustest and bus/embedded it is the only importer
// of NATS.
//
// State lies in key-value buckets; a reader sees the last value of every key and
// then every change (see Catalog and Mirror). Nothing is lost when a message is:
// the next one, or the next resync, carries the whole value again.
//
// It is longer than others because its promises (what is acknowledged is on the disk, nothing older
// follows on something newer, nobody believes in a lease for longer than it holds) are kept by
// connection, store and readers together. What stands alone is in bustest and embedded.
package bus

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// answerTimeout is how long an answer is waited for where the caller says nothing else.
// Who asks a server at the moment when another one fails gets no answer at all, so that
// asking again is quicker than waiting.
const answerTimeout = 2 * time.Second

// Options say how to reach NATS.
type Options struct {
	// URL names the servers ("tls://waggle_listener:4222"), separated by commas. Of
	// tls:// the server must prove itself, see CA.
	URL string
	// Component is the user's name and the name of the connection ("proxy").
	Component string
	// Key is what the component proves itself with: a NATS user seed ("SU...")
	// or any secret text of 16 bytes or more, from which one is derived. Of several,
	// separated by white space, the first. Empty: without a key.
	Key string
	// CA are the certificates, as PEM, of those who vouch for the servers' names;
	// SystemCA leaves that to the system's. Empty: a server of tls:// is the listener's
	// own, which proves itself by any of the keys in Key.
	CA string
	// ControlNetwork is the network of Docker on which a name without a dot is asked
	// for first; empty: on any.
	ControlNetwork string
	// Peers returns further addresses ("10.0.0.3:4222") where the servers may be. They
	// are tried only if a server must prove itself by a key. May be nil.
	Peers func() []string
	// Only says that no other servers are asked than those of URL, which name all that
	// they know; for whoever wants to hear each server by itself.
	Only bool
	// InProcess is an embedded server in this process; URL is then not used.
	InProcess nats.InProcessConnProvider
	Log       *slog.Logger
}

// SystemCA stands in Options.CA for the certificates that the system trusts.
const SystemCA = "system"

// Bus is a connection that is there again by itself after every interruption.
type Bus struct {
	component string
	log       *slog.Logger
	nc        *nats.Conn
	js        jetstream.JetStream
	// api is what requests to JetStream begin with.
	api string
	// direct says that the connection leads to the listener's own server, and nowhere beyond.
	direct bool

	// mu guards watchers, which the connection's own goroutine and those of readers share, and
	// prepared, the streams as they were last brought up to date, by name.
	mu       sync.Mutex
	watchers map[chan struct{}]struct{}
	prepared map[string]prepared

	// doubting is held by the one reader who asks whether the server is still there.
	doubting sync.Mutex

	// missing rings when a reader finds that its bucket is not there.
	missing bell
}

// credentials are those within a URL.
var credentials = regexp.MustCompile(`//[^\s,"]*@`)

// ErrNotFound says that a key or bucket is not there.
var ErrNotFound = errors.New("bus: not found")

// ErrConflict says that a key was written by somebody else meanwhile, or exists already.
var ErrConflict = errors.New("bus: conflict")

// Connect starts connecting and returns at once; the bus need not be there yet.
// Errors are those of the options alone.
func Connect(o Options) (*Bus, error) {
	b := &Bus{component: o.Component, log: o.Log, watchers: map[chan struct{}]struct{}{}, prepared: map[string]prepared{}}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	opts := []nats.Option{
		nats.Name("waggle-" + o.Component),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.CustomReconnectDelay(reconnectDelay),
		nats.ReconnectBufSize(-1), // a write while the bus is away fails at once instead of arriving late
		nats.Timeout(2 * time.Second),
		nats.PingInterval(5 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.CustomInboxPrefix("_INBOX_" + o.Component),
		nats.ConnectHandler(func(nc *nats.Conn) { b.connected("connected", nc.ConnectedUrlRedacted()) }),
		nats.ReconnectHandler(func(nc *nats.Conn) { b.connected("reconnected", nc.ConnectedUrlRedacted()) }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { b.log.Warn("bus lost", "error", err) }),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { b.log.Debug("bus not reached", "error", err) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { b.log.Warn("bus", "error", err) }),
	}
	if o.Only {
		opts = append(opts, nats.IgnoreDiscoveredServers())
	}
	var ids []identity
	if o.Key != "" {
		var err error
		if ids, err = identities(o.Component, o.Key); err != nil {
			return nil, err
		}
		auth, err := signWith(ids[0])
		if err != nil {
			return nil, err
		}
		opts = append(opts, auth)
	}
	if o.InProcess == nil {
		reach, err := b.reach(o, ids)
		if err != nil {
			return nil, err
		}
		opts = append(opts, reach...)
	} else {
		b.direct = true
		opts = append(opts, nats.InProcessServer(o.InProcess))
	}
	nc, err := nats.Connect(o.URL, opts...)
	if err != nil {
		// What cannot be read is repeated in the error, with the password that is in it.
		return nil, errors.New("bus: " + credentials.ReplaceAllString(err.Error(), "//(hidden)@"))
	}
	limits := []jetstream.JetStreamOpt{jetstream.WithDefaultTimeout(answerTimeout), jetstream.WithPublishAsyncTimeout(stepTimeout)}
	b.api = api
	if o.Key != "" && o.Component != Listener {
		b.api = apiBehindWalls + "."
	}
	js, err := jetstream.NewWithAPIPrefix(nc, b.api, limits...)
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("bus: %w", err)
	}
	b.nc, b.js = nc, js
	return b, nil
}

// reach returns how servers are reached and how they prove themselves.
func (b *Bus) reach(o Options, ids []identity) ([]nats.Option, error) {
	// The names of Swarm's services come and go; see dialer.
	d := &dialer{resolver: &net.Resolver{PreferGo: true}, network: o.ControlNetwork, peers: o.Peers, log: b.log}
	opts := []nats.Option{nats.SkipHostLookup(), nats.SetCustomDialer(d)}
	secure := 0
	urls := strings.Split(o.URL, ",")
	for _, url := range urls {
		if strings.HasPrefix(strings.TrimSpace(url), "tls://") {
			secure++
		}
	}
	switch {
	case secure != 0 && secure != len(urls):
		return nil, errors.New("bus: all servers or none are to be asked by tls://")
	case o.CA != "" && secure == 0:
		return nil, errors.New("bus: a CA says something of servers with tls:// only")
	case o.CA != "":
		config, err := vouched(o.CA)
		if err != nil {
			return nil, err
		}
		opts = append(opts, nats.Secure(config))
	case secure != 0 && len(ids) == 0:
		return nil, errors.New("bus: without a key and without a CA no server can prove itself, as tls:// demands")
	case secure != 0:
		d.tls, b.direct = pinned(ids), true
	}
	return opts, nil
}

// vouched returns the TLS configuration for servers whose names others vouch for.
func vouched(ca string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca == SystemCA {
		return config, nil
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM([]byte(ca)) {
		return nil, fmt.Errorf("bus: the CA is neither %q nor certificates as PEM", SystemCA)
	}
	return config, nil
}

// reconnectDelay grows from 25 ms to 250 ms, with jitter, so that a restarted
// bus is found at once and many clients do not come in step.
func reconnectDelay(attempts int) time.Duration {
	d := min(25*time.Millisecond<<min(attempts, 5), 250*time.Millisecond)
	return d/2 + rand.N(d/2)
}

// Close ends the connection, sending first what is on its way.
func (b *Bus) Close() {
	if err := b.nc.FlushTimeout(time.Second); err != nil {
		b.log.Debug("bus not flushed", "error", err)
	}
	b.nc.Close()
}

// pongTimeout is how long a server may take to say that it is there, once it has been silent for
// readers.
const pongTimeout = time.Second

// doubt asks the server of the connection for a sign of life, and goes to another one if it gives
// none. The connection itself notices after fifteen seconds that the link to a server is cut, and an
// heir of whoever wrote there must know in five.
func (b *Bus) doubt() {
	if len(b.nc.Servers()) < 2 || !b.doubting.TryLock() {
		return
	}
	defer b.doubting.Unlock()
	server := b.nc.ConnectedUrlRedacted()
	if err := b.nc.FlushTimeout(pongTimeout); !errors.Is(err, nats.ErrTimeout) || b.nc.ConnectedUrlRedacted() != server {
		return
	}
	b.log.Warn("bus silent", "server", server)
	if err := b.nc.ForceReconnect(); err != nil {
		b.log.Debug("bus not left", "error", err)
	}
}

// Connected reports whether the connection stands at this moment.
func (b *Bus) Connected() bool { return b.nc.IsConnected() }

func (b *Bus) connected(how, server string) {
	b.log.Info("bus "+how, "server", server)
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.watchers {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// onConnect returns a channel that gets a value after every connect, and its end.
func (b *Bus) onConnect() (<-chan struct{}, func()) {
	c := make(chan struct{}, 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.watchers[c] = struct{}{}
	return c, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.watchers, c)
	}
}

// until returns a context that also ends with the next connect.
func until(ctx context.Context, connects <-chan struct{}) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-connects:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// OnConnect calls poke after every connect until the context ends.
func (b *Bus) OnConnect(ctx context.Context, poke func()) {
	c, end := b.onConnect()
	defer end()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c:
			poke()
		}
	}
}
