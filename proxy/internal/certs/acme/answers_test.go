package acme_test

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/acmetest"
)

// TestKilledBetweenAnswerAndRecord: whoever orders, or renews, dies when the authority has been
// asked for something, before it deals with that, or when it has; nobody hears its answer. In the end
// there is one certificate for each time, and nobody is without one meanwhile who had one.
func TestKilledBetweenAnswerAndRecord(t *testing.T) {
	for _, path := range []string{acmetest.NewOrder, acmetest.Authorization, acmetest.Challenge, acmetest.OrderState, acmetest.Finalize, acmetest.Certificate} {
		for _, moment := range []acmetest.Moment{acmetest.Asked, acmetest.Answered} {
			t.Run(strings.Trim(path, "/")+" "+string(moment), func(t *testing.T) {
				t.Parallel()
				killedAt(t, path, moment, false)
			})
			t.Run(strings.Trim(path, "/")+" "+string(moment)+" of a renewal", func(t *testing.T) {
				t.Parallel()
				killedAt(t, path, moment, true)
			})
		}
	}
}

func killedAt(t *testing.T, path string, moment acmetest.Moment, isRenewal bool) {
	w := newWorld(t)
	var armed, dead atomic.Bool
	var orderer atomic.Value // the name of the replica that was at it last
	w.Authority = acmetest.StartWith(t, acmetest.Options{Port: w.port, Resolver: acmetest.DNS(t), Watch: func(r *http.Request, m acmetest.Moment) {
		if r.Method != http.MethodPost || !strings.HasPrefix(r.URL.Path, path) || m != moment || !armed.CompareAndSwap(true, false) {
			return
		}
		w.named(orderer.Load().(string)).kill()
		dead.Store(true)
	}})
	for _, name := range []string{"one", "two", "three"} {
		w.start(name, t.TempDir(), func(_, _ string) { orderer.Store(name) })
	}
	const host = "www.example.com"
	certificates := 1
	if isRenewal {
		w.want(service("web", host))
		w.all(host)
		certificates = 2
		w.ahead.Store(int64(23 * time.Hour))
	}
	first := w.replicas[0].serves(host)
	armed.Store(true)
	w.want(service("web", host))
	tooltest.Eventually(t, "one is killed, and all that live serve what comes of it", func() error {
		if !dead.Load() {
			return errors.New("nobody is killed yet")
		}
		for _, r := range w.replicas {
			c := r.serves(host)
			switch {
			case isRenewal && c == nil:
				t.Fatalf("%s serves none", r.name)
			case r.alive.Load() && (c == nil || first != nil && c.Equal(first)):
				return errors.New(r.name + " does not yet")
			}
		}
		return nil
	})
	w.all(host)
	if got := w.Given(); got != certificates {
		t.Errorf("%d orders led to a certificate, want %d", got, certificates)
	}
	most := certificates
	if path == acmetest.NewOrder {
		most++ // The authority has placed it all the same, nobody could know of it, and it comes to nothing.
	}
	if got := w.Orders(); got > most || w.Accounts() != 1 {
		t.Errorf("%d orders, %d accounts; want %d at most, and 1", got, w.Accounts(), most)
	}
}

// named is a replica by its name.
func (w *world) named(name string) *replica {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.replicas {
		if r.name == name {
			return r
		}
	}
	return nil
}
