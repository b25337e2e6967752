package acme_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/internal/certs/acme"
)

// steps are all that an order takes.
func steps() []string {
	return []string{"account", "key", "ordered", "presented", "asked", "proven", "finalized", "downloaded", "kept"}
}

// killer kills the first replica that comes to a step, from the moment on when it is armed.
type killer struct {
	w     *world
	at    string
	armed atomic.Bool
	dead  atomic.Int32
}

func (k *killer) step(name string) func(host, step string) {
	return func(_, step string) {
		if step != k.at || !k.armed.CompareAndSwap(true, false) {
			return
		}
		k.w.mu.Lock()
		var victim *replica
		for _, r := range k.w.replicas {
			if r.name == name {
				victim = r
			}
		}
		k.w.mu.Unlock()
		victim.kill()
		k.dead.Add(1)
		runtime.Goexit() // nothing of it goes on
	}
}

// TestTheOrdererIsKilled: whoever orders dies at any step of an order. Another replica goes on, and
// in the end there is one order that led to a certificate.
func TestTheOrdererIsKilled(t *testing.T) {
	for _, at := range steps() {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			k := &killer{w: w, at: at}
			for _, name := range []string{"one", "two", "three"} {
				w.start(name, t.TempDir(), k.step(name))
			}
			k.armed.Store(true)
			w.want(service("web", "www.example.com"))
			tooltest.Eventually(t, "one is killed", func() error {
				if k.dead.Load() == 0 {
					return errors.New("nobody yet")
				}
				return nil
			})
			w.all("www.example.com")
			if got := w.Given(); got != 1 {
				t.Errorf("%d orders led to a certificate", got)
			}
			if got := w.Accounts(); got != 1 {
				t.Errorf("%d accounts", got)
			}
			// One that was placed and of which nobody could know counts, and comes to nothing.
			if got := w.Orders(); got > 1 {
				t.Errorf("%d orders", got)
			}
		})
	}
}

// TestTheRenewerIsKilled is the same for a renewal. The last certificate stays until the next one
// is there.
func TestTheRenewerIsKilled(t *testing.T) {
	for _, at := range steps() {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			k := &killer{w: w, at: at}
			for _, name := range []string{"one", "two", "three"} {
				w.start(name, t.TempDir(), k.step(name))
			}
			const host = "www.example.com"
			w.want(service("web", host))
			w.all(host)
			first := w.replicas[0].serves(host)
			k.armed.Store(true)
			w.ahead.Store(int64(23 * time.Hour))
			w.want(service("web", host))
			tooltest.Eventually(t, "all that live serve a new one", func() error {
				if k.dead.Load() == 0 {
					return errors.New("nobody is killed yet")
				}
				for _, r := range w.replicas {
					c := r.serves(host)
					switch {
					case c == nil:
						t.Fatalf("%s serves none", r.name)
					case r.alive.Load() && c.Equal(first):
						return errors.New(r.name + " serves the first one")
					}
				}
				return nil
			})
			w.all(host)
			if got := w.Given(); got != 2 {
				t.Errorf("%d orders led to a certificate, the first one and the renewal are 2", got)
			}
			if got := w.Orders(); got > 2 {
				t.Errorf("%d orders", got)
			}
		})
	}
}

// TestTheBusLosesItsStoreDuringARenewal: certificates remain, there is no new account, and at most
// one new order.
func TestTheBusLosesItsStoreDuringARenewal(t *testing.T) {
	for _, at := range []string{"key", "ordered", "presented", "finalized"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			var armed, lost atomic.Bool
			w.three(func(_, step string) {
				if step != at || !armed.CompareAndSwap(true, false) {
					return
				}
				w.bus.Stop()
				w.bus.LoseStore()
				w.bus.StartAgain()
				w.bus.Prepared()
				w.epoch.Store("e2")
				lost.Store(true)
			})
			const host = "www.example.com"
			w.want(service("web", host), service("other", "other.example.com"))
			w.all(host, "other.example.com")
			before := map[string]*x509.Certificate{host: w.replicas[0].serves(host), "other.example.com": w.replicas[0].serves("other.example.com")}
			armed.Store(true)
			w.ahead.Store(int64(23 * time.Hour))
			w.want(service("web", host), service("other", "other.example.com"))
			tooltest.Eventually(t, "both are renewed at all", func() error {
				if !lost.Load() {
					return errors.New("nothing is lost yet")
				}
				for _, r := range w.replicas {
					for name, old := range before {
						c := r.serves(name)
						switch {
						case c == nil:
							t.Fatalf("%s serves none for %s", r.name, name)
						case c.Equal(old):
							return errors.New(r.name + " serves the old one for " + name)
						}
					}
				}
				return nil
			})
			w.all(host, "other.example.com")
			if got := w.Accounts(); got != 1 {
				t.Errorf("%d accounts", got)
			}
			if got := w.Orders(); got > 5 {
				t.Errorf("%d orders: two at first, two renewals, one more at most", got)
			}
		})
	}
}

// TestTheBusIsEmptyAndNobodyOrders: while all certificates are good, a lost store costs no order.
func TestTheBusLosesItsStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.three(nil)
	w.want(service("web", "www.example.com", "example.com"))
	w.all("www.example.com", "example.com")
	w.bus.Stop()
	w.bus.LoseStore()
	w.bus.StartAgain()
	w.bus.Prepared()
	w.epoch.Store("e2")
	// One with an empty volume learns all from the others.
	four := w.start("four", t.TempDir(), nil)
	w.want(service("web", "www.example.com", "example.com", "new.example.com"))
	w.all("www.example.com", "example.com", "new.example.com")
	if four.serves("example.com") == nil || w.Orders() != 3 || w.Accounts() != 1 {
		t.Errorf("%d orders, %d accounts", w.Orders(), w.Accounts())
	}
}

// TestAReplicaWithoutABus serves what it had, and one with an empty volume learns it from the bus.
func TestStarts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.start("one", t.TempDir(), nil)
	w.want(service("web", "www.example.com"))
	w.all("www.example.com")
	tooltest.Eventually(t, "the copy is written", func() error { return contains(one.dir+"/acme.json", "www.example.com") })
	one.stop()
	w.start("fresh", t.TempDir(), nil)
	w.all("www.example.com")
	w.bus.Stop()
	w.start("one-again", one.dir, nil)
	w.all("www.example.com")
	if got := w.Orders(); got != 1 {
		t.Errorf("%d orders", got)
	}
}

// TestTwoStartAtOnce: there is one account and one order however they begin.
func TestTwoStartAtOnce(t *testing.T) {
	t.Parallel()
	for range 3 {
		w := newWorld(t)
		w.want(service("web", "www.example.com"))
		w.three(nil)
		w.all("www.example.com")
		if w.Orders() != 1 || w.Accounts() != 1 {
			t.Errorf("%d orders, %d accounts", w.Orders(), w.Accounts())
		}
	}
}

// TestAStoppedReplicaComesBack: one that was stopped in the midst of an order, as a paused process
// is, changes nothing when it goes on: another has done it meanwhile.
func TestAStoppedReplicaComesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	paused, goOn := make(chan struct{}), make(chan struct{})
	var first atomic.Bool
	w.start("one", t.TempDir(), func(_, step string) {
		if step == "downloaded" && first.CompareAndSwap(false, true) {
			close(paused)
			<-goOn
		}
	})
	w.want(service("web", "www.example.com"))
	<-paused
	// The rest of the process stands still too: it renews its lease no more.
	w.replicas[0].bus.Close()
	w.replicas[0].alive.Store(false)
	w.start("two", t.TempDir(), nil)
	w.want(service("web", "www.example.com"))
	w.all("www.example.com")
	before := w.replicas[1].serves("www.example.com")
	close(goOn)
	w.replicas[0].stop()
	if !w.replicas[1].serves("www.example.com").Equal(before) || w.Given() != 1 {
		t.Errorf("another certificate is served, %d were given", w.Given())
	}
}

// told waits until all replicas tell of a host's trouble.
func (w *world) told(host string, words ...string) {
	w.t.Helper()
	tooltest.Eventually(w.t, host+" is told", func() error {
		for _, r := range w.replicas {
			trouble := r.troubles()[host]
			for _, word := range words {
				if !strings.Contains(trouble.Reason+"\n"+trouble.Hint, word) {
					return fmt.Errorf("%s tells %+v, want %q", r.name, trouble, word)
				}
			}
		}
		return nil
	})
}

// TestAuthorityRefuses: what it says is told at all replicas, with what to do; the pauses grow, and
// when it is well again there is a certificate without anybody's doing.
func TestAuthorityRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.three(nil, func(o *acme.Options) { o.Settings.Pause = 20 * time.Millisecond })
	w.deaf["deaf.example.com"] = true
	w.want(service("deaf", "deaf.example.com"), service("web", "www.example.com"))
	w.all("www.example.com")
	w.told("deaf.example.com", "no certificate for deaf.example.com after", "Pebble says", "unauthorized", "tried again at", "somebody else answered for deaf.example.com at port 80")
	w.told("deaf.example.com", "after 3 tries")
	if n := w.Orders(); n > 5 {
		t.Errorf("%d orders", n)
	}
	w.mu.Lock()
	w.deaf = map[string]bool{}
	w.mu.Unlock()
	w.all("deaf.example.com")
	tooltest.Eventually(t, "nothing is told any more", func() error {
		for _, r := range w.replicas {
			if len(r.troubles()) > 0 {
				return fmt.Errorf("%v", r.troubles())
			}
		}
		return nil
	})
}

// TestAuthorityIsAway for a while: it is told, and asked again by itself.
func TestAuthorityIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Away(true)
	w.three(nil)
	w.want(service("web", "www.example.com"))
	w.told("www.example.com", "Pebble is away", "tried again at", "the proxy must reach the authority's directory by HTTPS")
	w.Away(false)
	w.all("www.example.com")
	if w.Orders() != 1 {
		t.Errorf("%d orders", w.Orders())
	}
}

// TestALimitOfTheAuthority: it is asked at most once an hour.
func TestALimitOfTheAuthority(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Refuse("/order-plz", "rateLimited", "too many certificates already issued", http.StatusTooManyRequests)
	w.three(nil, func(o *acme.Options) { o.Settings.Pause = time.Minute })
	w.want(service("web", "www.example.com"))
	w.told("www.example.com", "too many certificates already issued", "(rateLimited)", "ACME_DIRECTORY=staging")
	for _, r := range w.replicas {
		if at := nextTry(t, r.troubles()["www.example.com"].Reason); time.Until(at) < 55*time.Minute {
			t.Errorf("it is tried again at %s", at)
		}
	}
	if w.Orders() != 1 {
		t.Errorf("%d orders", w.Orders())
	}
}

// nextTry is the time in the words of a trouble.
func nextTry(t *testing.T, text string) time.Time {
	t.Helper()
	_, rest, _ := strings.Cut(text, "tried again at ")
	at, err := time.Parse(time.RFC3339, rest)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return at
}

// TestASecondAuthority is asked at once if the first one refuses for its own reasons.
func TestASecondAuthority(t *testing.T) {
	t.Parallel()
	w, second := newWorld(t), newWorld(t)
	w.Refuse("/order-plz", "rateLimited", "too many", http.StatusTooManyRequests)
	second.replicas = nil
	w.Roots.AddCert(second.Cert)
	w.three(nil, func(o *acme.Options) {
		o.Settings.Authorities = append(o.Settings.Authorities, acme.Authority{Name: "Second", Directory: second.URL})
		o.Settings.Pause = time.Hour
	})
	second.replicas = w.replicas
	w.want(service("web", "www.example.com"))
	w.all("www.example.com")
	if w.Orders() != 1 || second.Orders() != 1 {
		t.Errorf("%d and %d orders", w.Orders(), second.Orders())
	}
}

// TestTheLimitOfOrders holds for all replicas together, over restarts, and is told.
func TestTheLimitOfOrders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	few := func(o *acme.Options) { o.Settings.PerHour = 3 }
	w.three(nil, few)
	var services []string
	for i := range 6 {
		services = append(services, fmt.Sprintf("s%d.example.com", i))
	}
	w.want(service("web", services...))
	tooltest.Eventually(t, "three have one", func() error {
		n := 0
		for _, host := range services {
			if w.replicas[0].serves(host) != nil {
				n++
			}
		}
		if n != 3 {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
	w.told("s5.example.com", "3 orders in an hour are the most", "ACME_ORDERS_PER_HOUR")
	w.start("four", t.TempDir(), nil, few)
	w.want(service("web", services...))
	w.told("s5.example.com", "3 orders in an hour are the most")
	if w.Orders() != 3 {
		t.Errorf("%d orders", w.Orders())
	}
	w.ahead.Store(int64(66 * time.Minute))
	w.want(service("web", services...))
	w.all(services...)
	if w.Orders() != 6 {
		t.Errorf("%d orders", w.Orders())
	}
}

// TestTheAuthorityForgetsTheAccount for a moment: it is told of it again, and there is no second one.
func TestTheAuthorityForgetsTheAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.three(nil)
	w.want(service("web", "www.example.com"))
	w.all("www.example.com")
	w.RefuseOnce("/order-plz", "accountDoesNotExist", "who?", http.StatusBadRequest)
	w.want(service("web", "www.example.com", "two.example.com"))
	w.all("www.example.com", "two.example.com")
	if w.Accounts() != 1 {
		t.Errorf("%d accounts", w.Accounts())
	}
}

// TestNobodyElseCausesAnOrder: for a name that no service is routed by, or whose service does not
// ask, nothing is ordered, whoever asks at port 80.
func TestNobodyElseCausesAnOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.three(nil)
	silent := service("silent", "silent.example.com")
	silent.ACME.Asks = 0
	w.want(silent, service("web", "www.example.com"))
	w.all("www.example.com")
	if w.Orders() != 1 {
		t.Errorf("%d orders", w.Orders())
	}
	// A name that goes takes its certificate out of what is wanted, and comes back with it.
	w.want(silent)
	w.want(silent, service("web", "www.example.com"))
	w.all("www.example.com")
	if w.Orders() != 1 {
		t.Errorf("%d orders after it came back", w.Orders())
	}
}
