package certificates

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/stack"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// deployed has services ask, and says how long each stage takes. With the first certificate the
// port for TLS opens; those after it reload nothing.
func (w *world) deployed(ctx context.Context) error {
	if err := w.lossless(ctx, func(ctx context.Context) error { return w.stages(ctx, "first") }); err != nil {
		return err
	}
	// What is routed is changed before, so that nothing but certificates is.
	for _, name := range []string{"second", "third", "fourth"} {
		if err := w.make(ctx, name, 1, stack.Labels("/", "serviceDomain", name+".example.com")); err != nil {
			return err
		}
		if err := w.routed(ctx, name); err != nil {
			return err
		}
	}
	return w.unreloaded(ctx, func(ctx context.Context) error {
		return w.lossless(ctx, func(ctx context.Context) error {
			for _, name := range []string{"second", "third", "fourth"} {
				if err := w.stages(ctx, name); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// routed waits until the listener has heard that all proxies have a service in force.
func (w *world) routed(ctx context.Context, service string) error {
	return w.told(ctx, service, `"applied"`)
}

// told waits until all proxies say something of a service.
func (w *world) told(ctx context.Context, service string, words ...string) error {
	return tooltest.PollFor(ctx, settle, tooltest.Slowly, fmt.Sprintf("all proxies to say %q of %s", words, service), func(ctx context.Context) error {
		for _, node := range w.Nodes() {
			var text string
			if err := w.Inside(ctx, node, "waggle_proxy", 8080, "/v1/services/"+service, &text); err != nil {
				return fmt.Errorf("%s: %w", node, err)
			}
			for _, word := range words {
				if !strings.Contains(text, word) {
					return fmt.Errorf("%s says %s", node, text)
				}
			}
		}
		return nil
	})
}

// stages has one service ask, and says when each stage was reached.
func (w *world) stages(ctx context.Context, name string) error {
	host := name + ".example.com"
	began := time.Now()
	ask := func() error { return w.Relabel(ctx, name, asking(host)) }
	if name == "first" {
		ask = func() error { return w.make(ctx, name, 1, asking(host)) }
	}
	if err := ask(); err != nil {
		return err
	}
	at := make([]time.Duration, len(w.Nodes()))
	errs := make([]error, len(w.Nodes()))
	var wait sync.WaitGroup
	for i, node := range w.Nodes() {
		wait.Go(func() {
			var seen time.Time
			seen, errs[i] = w.served(ctx, node, host, nil)
			at[i] = seen.Sub(began)
		})
	}
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	orders := w.orders(host)
	if len(orders) != 1 {
		w.Fault("%d orders for %s", len(orders), host)
		return nil
	}
	o := orders[0]
	shown := ""
	for i, node := range w.Nodes() {
		shown += fmt.Sprintf(", shown on %s %s", node, seconds(at[i]))
	}
	w.Say("%s asks: ordered after %s, the authority came in at %s, the certificate was asked for at %s and fetched at %s%s", host,
		seconds(o.Placed.Sub(began)), seconds(w.cameIn().Sub(began)), seconds(o.Finalized.Sub(began)), seconds(o.Fetched.Sub(began)), shown)
	return nil
}

// strangers ask at the proxies for what no service has asked for.
func (w *world) strangers(ctx context.Context) error {
	before := len(w.authority.Placed())
	for range 20 {
		for _, node := range w.Nodes() {
			for _, host := range []string{"stranger.example.net", "www.stranger.example.net"} {
				if _, _, err := w.Ask(ctx, node, "/.well-known/acme-challenge/a-token", map[string][]string{"Host": {host}}); err != nil { //nolint:bodyclose // Ask has closed it.
					return err
				}
				if c, err := w.shown(ctx, node, host); err == nil {
					w.Fault("%s shows a certificate for %s: %v", node, host, c.DNSNames)
				}
			}
		}
	}
	// A service that asks meanwhile has its certificate, so whoever orders was at work.
	if err := w.make(ctx, "honest", 0, asking("honest.example.com")); err != nil {
		return err
	}
	if _, err := w.everywhere(ctx, "honest.example.com"); err != nil {
		return err
	}
	after := len(w.authority.Placed())
	w.Say("240 requests for names of no service: %d orders, beside 1 for a service that asked", after-before-1)
	if after-before != 1 {
		w.Fault("%d orders", after-before)
	}
	return nil
}

// crowd are so many services with a host each that are routed and do not ask yet.
func (w *world) crowd(ctx context.Context, prefix string, n int) (names, hosts []string, err error) {
	for i := range n {
		name := fmt.Sprintf("%s%d", prefix, i)
		names, hosts = append(names, name), append(hosts, name+".example.com")
		if err := w.make(ctx, name, 0, stack.Labels("/", "serviceDomain", name+".example.com")); err != nil {
			return nil, nil, err
		}
	}
	for _, name := range names {
		if err := w.told(ctx, name, name+".example.com"); err != nil {
			return nil, nil, err
		}
	}
	return names, hosts, nil
}

// ask has services ask at once.
func (w *world) ask(ctx context.Context, names, hosts []string) error {
	errs := make([]error, len(names))
	var wait sync.WaitGroup
	for i, name := range names {
		wait.Go(func() { errs[i] = w.Relabel(ctx, name, asking(hosts[i])) })
	}
	wait.Wait()
	return errors.Join(errs...)
}

// hundred has a hundred services ask at once.
func (w *world) hundred(ctx context.Context) error {
	names, hosts, err := w.crowd(ctx, "many", 100)
	if err != nil {
		return err
	}
	before := len(w.authority.Placed())
	w.mu.Lock()
	w.most = 0
	w.mu.Unlock()
	began := time.Now()
	err = w.unreloaded(ctx, func(ctx context.Context) error {
		return w.lossless(ctx, func(ctx context.Context) error {
			if err := w.ask(ctx, names, hosts); err != nil {
				return err
			}
			w.Say("all had asked after %s", seconds(time.Since(began)))
			_, err := w.everywhere(ctx, hosts...)
			return err
		})
	})
	if err != nil {
		return err
	}
	placed := w.authority.Placed()[before:]
	if len(placed) == 0 {
		return errors.New("nothing was ordered")
	}
	w.Say("all nodes showed all certificates after %s; the first was ordered after %s, the last fetched after %s", seconds(time.Since(began)),
		seconds(placed[0].Placed.Sub(began)), seconds(placed[len(placed)-1].Fetched.Sub(began)))
	w.mu.Lock()
	most := w.most
	w.mu.Unlock()
	w.Say("%d orders for %d names, %d accounts, at most %d requests to the authority at once", len(placed), len(hosts), w.authority.Accounts(), most)
	if most > atOnce {
		w.Fault("%d requests to the authority at once, want at most %d", most, atOnce)
	}
	if len(placed) != len(hosts) || w.authority.Accounts() != 1 {
		w.Fault("%d orders and %d accounts, want %d and 1", len(placed), w.authority.Accounts(), len(hosts))
	}
	return nil
}

// atOnce is how many orders a proxy works on, so that no more requests come at once; a proxy whose
// certificates are new asks for when to renew them among these.
const atOnce = 8

// limit has more services ask than may be ordered in the hour.
func (w *world) limit(ctx context.Context) error {
	room := few - len(w.authority.Placed())
	if room < 1 {
		return fmt.Errorf("%d are ordered already", len(w.authority.Placed()))
	}
	names, hosts, err := w.crowd(ctx, "more", room+5)
	if err != nil {
		return err
	}
	if err := w.ask(ctx, names, hosts); err != nil {
		return err
	}
	err = tooltest.PollFor(ctx, settle, tooltest.Slowly, "the limit to be reached and told", func(ctx context.Context) error {
		said := 0
		for _, name := range names {
			if w.saysOf(ctx, name, fmt.Sprintf("%d orders in an hour are the most", few)) {
				said++
			}
		}
		if said != 5 {
			return fmt.Errorf("%d services say so", said)
		}
		return nil
	})
	got := len(w.authority.Placed())
	w.Say("%d services asked where %d had room: %d orders in all", len(names), room, got)
	if got != few {
		w.Fault("%d orders, want %d", got, few)
	}
	return err
}

// saysOf reports whether the manager's proxy says something of a service.
func (w *world) saysOf(ctx context.Context, service, words string) bool {
	var text string
	err := w.Inside(ctx, stack.Manager, "waggle_proxy", 8080, "/v1/services/"+service, &text)
	return err == nil && strings.Contains(text, words)
}
