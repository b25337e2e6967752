package certificates

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/acmetest"
)

// point is a moment in an order: a request that the authority is asked, before it deals with it or
// when it has, so that nobody has heard its answer.
type point struct {
	what, path string
	moment     acmetest.Moment
}

func (p point) String() string {
	if p.moment == acmetest.Asked {
		return "before " + p.what
	}
	return "after " + p.what + ", before anybody heard of it"
}

// renewing are the points of a renewal, ordering those of an order.
func renewing() []point {
	var out []point
	for _, p := range []point{
		{what: "the order was placed", path: acmetest.NewOrder},
		{what: "the authorization was read", path: acmetest.Authorization},
		{what: "the challenge was accepted", path: acmetest.Challenge},
		{what: "the certificate was asked for", path: acmetest.Finalize},
		{what: "the order was looked at", path: acmetest.OrderState},
		{what: "the certificate was fetched", path: acmetest.Certificate},
	} {
		for _, m := range []acmetest.Moment{acmetest.Asked, acmetest.Answered} {
			p.moment = m
			out = append(out, p)
		}
	}
	return out
}

func ordering() []point {
	account := point{what: "the account was opened", path: acmetest.NewAccount, moment: acmetest.Asked}
	after := account
	after.moment = acmetest.Answered
	return append([]point{account, after}, renewing()...)
}

// kill kills the proxy from whose node a request came, with its HAProxy.
func (w *world) kill(ctx context.Context, address string) (string, error) {
	node, err := w.node(address)
	if err != nil {
		return "", err
	}
	places, err := w.Places(ctx, "waggle_proxy", node)
	if err == nil && len(places) != 1 {
		err = fmt.Errorf("%d proxies run on %s", len(places), node)
	}
	if err != nil {
		return node, err
	}
	return node, w.Signal(ctx, places[0], syscall.SIGKILL)
}

// struck sets a trap that kills whoever comes to a point, lets something happen, and returns when
// it has sprung.
func (w *world) struck(ctx context.Context, p point, happens func() error) (node string, err error) {
	var killed error
	sprung := w.set(p, func(address string) { node, killed = w.kill(ctx, address) })
	if err := happens(); err != nil {
		return "", err
	}
	select {
	case <-sprung:
		return node, killed
	case <-time.After(settle):
		return "", fmt.Errorf("nobody came to the point %s", p)
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// killOrders kills whoever orders at each point: another goes on, and in the end there is one
// certificate that was obtained once. Each point has a name of its own, so that nothing but its
// order comes there, and those of an account have an address of their own, whose account is opened.
func (w *world) killOrders(ctx context.Context) error {
	if err := w.make(ctx, "orders", 0, asking("none.example.com", "acme", "false")); err != nil {
		return err
	}
	accounts := 1 // the operator's
	for i, p := range ordering() {
		host := fmt.Sprintf("order%d.example.com", i)
		labels := asking(host)
		if p.path == acmetest.NewAccount {
			accounts++
			labels = asking(host, "letsencrypt.email", fmt.Sprintf("ops%d@example.com", i))
		}
		began := time.Now()
		node, err := w.struck(ctx, p, func() error { return w.Relabel(ctx, "orders", labels) })
		if err == nil {
			_, err = w.everywhere(ctx, host)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		orders, given := w.orders(host), 0
		for _, o := range orders {
			if !o.Finalized.IsZero() && o.Finalized.Sub(began) < short/2 {
				given++
			}
		}
		w.Say("%s: the proxy of %s was killed; all nodes show a certificate after %s; orders %d, certificates %d", p, node, seconds(time.Since(began)), len(orders), given)
		if given != 1 || len(orders) > 2 {
			w.Fault("%s: %d orders, %d certificates, want one", p, len(orders), given)
		}
		if err := w.Whole(ctx); err != nil {
			return err
		}
	}
	if got := w.authority.Accounts(); got != accounts {
		w.Fault("%d accounts, want %d", got, accounts)
	}
	w.once()
	return nil
}

// once wants no certificate to have been obtained twice for one time. The authority lets whoever
// asks renew at any moment, and a sixth of its time is how long a certificate is kept at least.
func (w *world) once() {
	for _, what := range twice(w.authority.Placed(), short/6, time.Now()) {
		w.Fault("%s", what)
	}
	w.Say("%d orders, %d accounts in all", len(w.authority.Placed()), w.authority.Accounts())
}

// short-lived names of the parts about renewals.
func renewed() []string {
	var out []string
	for i := range 8 {
		out = append(out, fmt.Sprintf("renew%d.example.com", i))
	}
	return out
}

// renewals has eight names that are renewed all the time, and guards what is shown for them.
func (w *world) renewals(ctx context.Context, name string, f func(ctx context.Context, hosts []string) error) error {
	hosts := renewed()
	for i := range hosts {
		hosts[i] = name + "-" + hosts[i]
	}
	if err := w.make(ctx, name, 0, asking(strings.Join(hosts, ","))); err != nil {
		return err
	}
	if _, err := w.everywhere(ctx, hosts...); err != nil {
		return err
	}
	end := w.guard(ctx, hosts...)
	err := f(ctx, hosts)
	end()
	w.once()
	return err
}

// killRenewals is killOrders for renewals: the last certificate is shown until the next one is
// there.
func (w *world) killRenewals(ctx context.Context) error {
	return w.renewals(ctx, "renewals", func(ctx context.Context, hosts []string) error {
		for _, p := range renewing() {
			node, err := w.struck(ctx, p, func() error { return nil })
			if err != nil {
				return fmt.Errorf("%s: %w", p, err)
			}
			began := time.Now()
			if err := w.Whole(ctx); err != nil {
				return err
			}
			if _, err := w.everywhere(ctx, hosts...); err != nil {
				return fmt.Errorf("%s: %w", p, err)
			}
			w.Say("%s: the proxy of %s was killed, and all nodes show the same certificates %s later", p, node, seconds(time.Since(began)))
		}
		return w.anew(ctx, hosts)
	})
}

// anew waits until each host has another certificate than now, on all nodes.
func (w *world) anew(ctx context.Context, hosts []string) error {
	old, err := w.everywhere(ctx, hosts...)
	if err != nil {
		return err
	}
	return tooltest.PollFor(ctx, short, tooltest.Slowly, "all to be renewed", func(ctx context.Context) error {
		return w.others(ctx, hosts, old)
	})
}

func (w *world) others(ctx context.Context, hosts []string, old map[string]*x509.Certificate) error {
	for _, host := range hosts {
		for _, node := range w.Nodes() {
			c, err := w.shown(ctx, node, host)
			if err == nil && c.Equal(old[host]) {
				err = errors.New("it is the old one")
			}
			if err != nil {
				return fmt.Errorf("%s on %s: %w", host, node, err)
			}
		}
	}
	return nil
}

// loseStore has the bus lose its store while a renewal is at work: the authority has placed its
// order, and nobody has heard of it.
func (w *world) loseStore(ctx context.Context) error {
	return w.renewals(ctx, "store", func(ctx context.Context, hosts []string) error {
		accounts := w.authority.Accounts()
		lost := make(chan error, 1)
		sprung := w.set(point{path: acmetest.NewOrder, moment: acmetest.Answered}, func(string) {
			down := make(chan struct{})
			go func() { lost <- w.LoseStore(ctx, func() error { close(down); return nil }) }()
			select {
			case <-down:
			case <-ctx.Done():
			}
		})
		select {
		case <-sprung:
		case <-time.After(settle):
			return errors.New("nothing was renewed")
		}
		began := time.Now()
		if err := errors.Join(<-lost, w.Whole(ctx)); err != nil {
			return err
		}
		w.Say("the store was lost in the midst of a renewal, and the listener is there again %s later", seconds(time.Since(began)))
		if err := w.anew(ctx, hosts); err != nil {
			return err
		}
		w.Say("all are renewed %s after the loss, with %d new accounts", seconds(time.Since(began)), w.authority.Accounts()-accounts)
		if got := w.authority.Accounts(); got != accounts {
			w.Fault("%d new accounts", got-accounts)
		}
		for _, host := range hosts {
			if n := further(w.orders(host)); n > 1 {
				w.Fault("%d orders for %s beyond one for each certificate, want one at most", n, host)
			}
		}
		return nil
	})
}
