// Package bus is the way of the catalog, of statuses, signals and decisions
// through NATS JetStream. With bustest and bus/embedded it is the only importer
// of NATS.
//
// State lies in key-value buckets; a reader sees the last value of every key and
// then every change (see Catalog and Mirror). Nothing is lost when a message is:
// the next one, or the next resync, carries the whole value again.
package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Options say how to reach NATS.
type Options struct {
	// URL names the servers ("nats://waggle_listener:4222"), separated by commas.
	URL string
	// Component is the user's name and the name of the connection ("proxy").
	Component string
	// Key is what the component proves itself with: a NATS user seed ("SU...")
	// or any secret text, from which one is derived. Empty: without a key.
	Key string
	// InProcess is an embedded server in this process; URL is then not used.
	InProcess nats.InProcessConnProvider
	Log       *slog.Logger
}

// Bus is a connection that is there again by itself after every interruption.
type Bus struct {
	component string
	log       *slog.Logger
	nc        *nats.Conn
	js        jetstream.JetStream

	// mu guards watchers, which the connection's own goroutine and those of readers share.
	mu       sync.Mutex
	watchers map[chan struct{}]struct{}

	// missing rings when a reader finds that its bucket is not there.
	missing bell
}

// ErrNotFound says that a key or bucket is not there.
var ErrNotFound = errors.New("bus: not found")

// ErrConflict says that a key was written by somebody else meanwhile, or exists already.
var ErrConflict = errors.New("bus: conflict")

// Connect starts connecting and returns at once; the bus need not be there yet.
// Errors are those of the options alone.
func Connect(o Options) (*Bus, error) {
	b := &Bus{component: o.Component, log: o.Log, watchers: map[chan struct{}]struct{}{}}
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
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { b.log.Warn("bus", "error", err) }),
	}
	if o.InProcess == nil {
		// The names of Swarm's services come and go; see dialer.
		opts = append(opts, nats.SkipHostLookup(), nats.SetCustomDialer(&dialer{resolver: &net.Resolver{PreferGo: true}}))
	} else {
		opts = append(opts, nats.InProcessServer(o.InProcess))
	}
	if o.Key != "" {
		auth, err := keyOption(o.Component, o.Key)
		if err != nil {
			return nil, err
		}
		opts = append(opts, auth)
	}
	nc, err := nats.Connect(o.URL, opts...)
	if err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(5*time.Second))
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("bus: %w", err)
	}
	b.nc, b.js = nc, js
	return b, nil
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
