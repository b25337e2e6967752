package certificates

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/parts"
	"github.com/wagglehq/waggle/compose/e2e/stack"
	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/acmetest"
)

// world is a deployed Waggle with an authority beside it.
type world struct {
	*parts.Stage
	*city
	// made are the services that the parts have made.
	made []string
}

// The service to which requests flow.
const (
	steady   = "steady"
	onSteady = "/steady"
)

// look makes the service to which requests flow.
func look(ctx context.Context, s *parts.Stage, c *city) (*world, error) {
	w := &world{Stage: s, city: c}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := w.make(ctx, steady, 2, stack.Labels(onSteady)); err != nil {
		return nil, err
	}
	return w, w.answers(ctx)
}

// make makes a service, which Leave removes.
func (w *world) make(ctx context.Context, name string, replicas uint64, labels map[string]string) error {
	w.made = append(w.made, name)
	return w.Create(ctx, stack.Demo{Name: name, Replicas: replicas, Unchecked: true, Labels: labels})
}

// Leave removes the services.
func (w *world) Leave(ctx context.Context) error {
	var err error
	for _, name := range w.made {
		err = errors.Join(err, w.Remove(ctx, name))
	}
	return err
}

// Whole waits until Waggle runs and the steady service is answered.
func (w *world) Whole(ctx context.Context) error {
	if err := w.Ready(ctx); err != nil {
		return err
	}
	return w.answers(ctx)
}

func (w *world) answers(ctx context.Context) error {
	for _, node := range w.Nodes() {
		if _, err := w.Since(ctx, node, onSteady, stack.Answered); err != nil {
			return err
		}
	}
	return nil
}

// asking are the labels of a service that is routed by hosts and asks for certificates.
func asking(hosts string, more ...string) map[string]string {
	return stack.Labels("/", append([]string{"serviceDomain", hosts, "acme", "true"}, more...)...)
}

// errNoHandshake is that of a node at which nobody answers by TLS, as while its proxy is away.
var errNoHandshake = errors.New("no TLS")

// shown returns the certificate that a node's proxy shows for a host.
func (w *world) shown(ctx context.Context, node, host string) (*x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	dialer := tls.Dialer{Config: &tls.Config{ServerName: host, InsecureSkipVerify: true}} //nolint:gosec // it is the question which one is shown.
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(w.Addr(node), "443"))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoHandshake, err)
	}
	defer func() { _ = conn.Close() }() // All that was wanted is known.
	leaf := conn.(*tls.Conn).ConnectionState().PeerCertificates[0]
	return leaf, leaf.VerifyHostname(host)
}

// served waits until a node shows a certificate for a host that is another one than an old one,
// which may be nil, and returns when it was.
func (w *world) served(ctx context.Context, node, host string, old *x509.Certificate) (time.Time, error) {
	err := tooltest.PollFor(ctx, settle, 20*time.Millisecond, node+" to show a certificate for "+host, func(ctx context.Context) error {
		c, err := w.shown(ctx, node, host)
		if err == nil && old != nil && c.Equal(old) {
			err = errors.New("it shows the old one")
		}
		return err
	})
	return time.Now(), err
}

// settle is how long anything may take until the certificates are what they should be.
const settle = 2 * time.Minute

// everywhere waits until all nodes show one and the same certificate for each host, and returns
// these.
func (w *world) everywhere(ctx context.Context, hosts ...string) (map[string]*x509.Certificate, error) {
	out := map[string]*x509.Certificate{}
	err := tooltest.PollFor(ctx, settle, tooltest.Slowly, "all nodes to show the same certificates", func(ctx context.Context) error {
		for _, host := range hosts {
			for i, node := range w.Nodes() {
				c, err := w.shown(ctx, node, host)
				if err != nil {
					return fmt.Errorf("%s on %s: %w", host, node, err)
				}
				if i > 0 && !c.Equal(out[host]) {
					return fmt.Errorf("%s has another one for %s", node, host)
				}
				out[host] = c
			}
		}
		return nil
	})
	return out, err
}

// lossless sends requests to all nodes while f runs: none may fail.
func (w *world) lossless(ctx context.Context, f func(context.Context) error) error {
	flowing, dry := context.WithCancel(ctx)
	defer dry()
	flow := w.Flow(flowing, w.Nodes(), onSteady)
	err := f(ctx)
	dry()
	reports, failed := flow()
	requests, lost := 0, 0
	for _, name := range slices.Sorted(maps.Keys(reports)) {
		r := reports[name]
		requests, lost = requests+r.Requests, lost+r.Failed
		if r.Failed > 0 {
			w.Fault("%s: %d of %d requests to another service failed: %v %v %v", name, r.Failed, r.Requests, r.Kinds, r.Statuses, r.Examples)
		}
	}
	w.Say("requests to another service meanwhile: %d sent, %d failed", requests, lost)
	return errors.Join(err, failed)
}

// unreloaded wants no HAProxy to be reloaded while f runs.
func (w *world) unreloaded(ctx context.Context, f func(context.Context) error) error {
	before, err := w.Reloads(ctx)
	if err != nil {
		return err
	}
	if err := f(ctx); err != nil {
		return err
	}
	after, err := w.Reloads(ctx)
	w.Say("reloads meanwhile: %d", after-before)
	if err == nil && after != before {
		w.Fault("%d reloads", after-before)
	}
	return err
}

// guard looks at what all nodes show for hosts that have a certificate, until it is ended: a node
// may be away, but never show another name's.
func (w *world) guard(ctx context.Context, hosts ...string) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wait sync.WaitGroup
	var mu sync.Mutex // the goroutines of all nodes count
	looks, away := 0, 0
	faults := map[string]int{}
	for _, node := range w.Nodes() {
		wait.Go(func() {
			for i := 0; tooltest.Pause(ctx, 100*time.Millisecond) == nil; i++ {
				host := hosts[i%len(hosts)]
				c, err := w.shown(ctx, node, host)
				if ctx.Err() != nil {
					return
				}
				mu.Lock()
				var alert tls.AlertError
				switch looks++; {
				case errors.As(err, &alert):
					faults[fmt.Sprintf("%s has none for %s: %v", node, host, err)]++
				case errors.Is(err, errNoHandshake):
					away++
				case err != nil:
					faults[fmt.Sprintf("%s shows for %s: %v", node, host, err)]++
				case time.Now().After(c.NotAfter):
					faults[fmt.Sprintf("%s shows a certificate for %s that has ended", node, host)]++
				}
				mu.Unlock()
			}
		})
	}
	return sync.OnceFunc(func() {
		cancel()
		wait.Wait()
		w.Say("certificates were looked at %d times meanwhile; %d times the node was away, %d times something else was shown", looks, away, len(faults))
		for _, what := range slices.Sorted(maps.Keys(faults)) {
			w.Fault("%s (%d times)", what, faults[what])
		}
		if looks == away {
			w.Fault("no certificate was seen, so nothing is shown")
		}
	})
}

// twice says for which hosts a certificate was obtained twice within a time, and which were
// obtained and never fetched.
func twice(placed []acmetest.Order, within time.Duration, now time.Time) (faults []string) {
	last := map[string]time.Time{}
	for _, o := range placed {
		if o.Finalized.IsZero() {
			continue
		}
		if before, ok := last[o.Host]; ok && o.Finalized.Sub(before) < within {
			faults = append(faults, fmt.Sprintf("two certificates for %s within %.1f s", o.Host, o.Finalized.Sub(before).Seconds()))
		}
		last[o.Host] = o.Finalized
		if o.Fetched.IsZero() && now.Sub(o.Finalized) > settle {
			faults = append(faults, fmt.Sprintf("a certificate for %s was obtained at %s and never fetched", o.Host, o.Finalized.Format(time.TimeOnly)))
		}
	}
	return faults
}

// further is how many of a host's orders, sorted by time, came before another that led to a
// certificate, without leading to one themselves.
func further(orders []acmetest.Order) int {
	out, open := 0, 0
	for _, o := range orders {
		if o.Finalized.IsZero() {
			open++
			continue
		}
		out, open = out+open, 0
	}
	return out
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
