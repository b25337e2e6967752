package acme_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/reconcile"
	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/acmetest"
	"github.com/wagglehq/waggle/proxy/internal/certs/acme"
	"github.com/wagglehq/waggle/proxy/internal/certs/sealed"
	"github.com/wagglehq/waggle/proxy/internal/certs/vault"
	"github.com/wagglehq/waggle/proxy/internal/wish/names"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// world is an authority, a bus, and what all replicas see of the swarm.
type world struct {
	t   *testing.T
	bus *bustest.Server
	*acmetest.Authority
	// port is that at which authorities ask.
	port     int
	epoch    atomic.Value
	mu       sync.Mutex
	services []route.Service
	replicas []*replica
	// ahead is how far all clocks of replicas are ahead of the authority's.
	ahead atomic.Int64
	// deaf are the hosts for which the authority finds nobody.
	deaf map[string]bool
	// asked are the questions that were asked, as host and path.
	asked []string
	// secrets are those by which replicas seal and open that start from now on.
	secrets []string
}

// service is one that is routed by hosts and wants certificates.
func service(id string, hosts ...string) route.Service {
	return route.Service{ID: id, Name: id, ACME: route.ACME{Asks: route.Yes}, Routes: []route.Route{{Hosts: hosts}}}
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, bus: bustest.Start(t), deaf: map[string]bool{}, secrets: []string{"a secret of sixteen bytes"}}
	w.bus.Prepared()
	w.epoch.Store("e1")
	front := httptest.NewServer(http.HandlerFunc(w.front))
	t.Cleanup(front.Close)
	w.port = front.Listener.Addr().(*net.TCPAddr).Port
	w.Authority = acmetest.Start(t, w.port, acmetest.DNS(t))
	return w
}

// front is port 80: any of the replicas that live answers.
func (w *world) front(out http.ResponseWriter, r *http.Request) {
	host, _, _ := net.SplitHostPort(r.Host)
	if host == "" {
		host = r.Host
	}
	w.mu.Lock()
	w.asked = append(w.asked, host+r.URL.Path)
	var live []*replica
	for _, one := range w.replicas {
		if one.alive.Load() {
			live = append(live, one)
		}
	}
	deaf := w.deaf[host]
	w.mu.Unlock()
	if len(live) == 0 || deaf {
		http.NotFound(out, r)
		return
	}
	known := live[rand.IntN(len(live))].inForce.Load()
	if known != nil {
		for _, q := range known.Questions {
			if q.Host == host && r.URL.Path == "/.well-known/acme-challenge/"+q.Token {
				_, _ = io.WriteString(out, q.Answer)
				return
			}
		}
	}
	http.NotFound(out, r)
}

func (w *world) want(services ...route.Service) {
	w.mu.Lock()
	w.services = services
	all := append([]*replica{}, w.replicas...)
	w.mu.Unlock()
	for _, r := range all {
		r.poke.Now()
	}
}

// replica is one proxy without its HAProxy: what it knows is in force at once.
type replica struct {
	w       *world
	name    string
	dir     string
	bus     *bus.Bus
	runner  *acme.Runner
	poke    *reconcile.Poke
	alive   atomic.Bool
	inForce atomic.Pointer[acme.Known]
	stop    func()
	// step is called at each step of an order.
	step func(host, step string)
	log  *tooltest.Log
}

// The settings of most tests.
func (w *world) settings() acme.Settings {
	return acme.Settings{
		Email: "ops@example.com", Authorities: []acme.Authority{{Name: "Pebble", Directory: w.URL}}, Staging: acme.Authority{Name: "Stage", Directory: w.URL},
		Roots: w.Roots, KeyType: acme.EC256, PerHour: 1000, Pause: 50 * time.Millisecond, RenewalInfo: true,
	}
}

// options change what a replica works with.
type options func(*acme.Options)

// start starts a replica in a folder, which has what an earlier one left there.
func (w *world) start(name, dir string, step func(host, step string), change ...options) *replica {
	w.t.Helper()
	r := &replica{w: w, name: name, dir: dir, poke: reconcile.NewPoke(), step: step, log: &tooltest.Log{}}
	r.bus = w.bus.Connect("proxy")
	key, err := sealed.New("test", w.secrets[0], w.secrets[1:]...)
	if err != nil {
		w.t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(r.log, nil))
	bucket := r.bus.Bucket(bus.ManualBucket)
	mirror := bucket.Mirror(acme.Prefix+">", r.poke.Now)
	o := acme.Options{
		Bus: r.bus, Settings: w.settings(), Rules: names.Rules{On: true, Challenge: names.HTTP}, Instance: name, LeaseTTL: 2 * time.Second,
		Vault: vault.New(vault.Options{
			Prefix: acme.Prefix, Bucket: bucket, Mirror: mirror, Copy: filepath.Join(dir, "acme.json"), What: "acme",
			Epoch: func() (string, bool) { return w.epoch.Load().(string), true }, Key: key, Log: log,
		}),
		Peers: func() (out []string) {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, other := range w.replicas {
				if other.name != name && other.alive.Load() {
					out = append(out, other.name)
				}
			}
			return out
		},
		View: func() ([]route.Service, []string, bool) {
			w.mu.Lock()
			defer w.mu.Unlock()
			var tokens []string
			if known := r.inForce.Load(); known != nil {
				for _, q := range known.Questions {
					tokens = append(tokens, q.Token)
				}
			}
			return w.services, tokens, true
		},
		Changed: func() {
			// HAProxy takes a moment.
			time.AfterFunc(5*time.Millisecond, func() {
				r.inForce.Store(r.runner.Known())
				r.poke.Now()
			})
		},
		Now:  func() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) },
		Poke: r.poke, Log: log, Metrics: acme.NewMetrics(prometheus.NewRegistry()),
		Step: func(host, step string) {
			if r.step != nil {
				r.step(host, step)
			}
		},
	}
	for _, c := range change {
		c(&o)
	}
	r.runner = acme.New(o)
	r.alive.Store(true)
	w.mu.Lock()
	w.replicas = append(w.replicas, r)
	w.mu.Unlock()
	loop := reconcile.New(reconcile.Options{Component: "proxy", Name: "acme", Poke: r.poke, Log: log, Pause: 5 * time.Millisecond, Resync: time.Second}, r.runner.Pass)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, run := range []func(context.Context) error{mirror.Run, r.runner.Follow, loop.Run} {
		running.Go(func() { _ = run(ctx) })
	}
	r.stop = sync.OnceFunc(func() {
		r.alive.Store(false)
		cancel()
		running.Wait()
		r.runner.Close()
	})
	w.t.Cleanup(func() {
		r.stop()
		if w.t.Failed() {
			w.t.Logf("the log of %s:\n%s", name, r.log)
		}
	})
	return r
}

// kill ends a replica as a power cut does: nothing is said, and nothing written any more. It may
// be called from a step of its own.
func (r *replica) kill() {
	r.alive.Store(false)
	r.bus.Close()
	go r.stop()
}

// three starts three replicas.
func (w *world) three(step func(host, step string), change ...options) []*replica {
	var out []*replica
	for _, name := range []string{"one", "two", "three"} {
		out = append(out, w.start(name, w.t.TempDir(), step, change...))
	}
	return out
}

// serves returns the certificate that a replica has for a host, nil without one.
func (r *replica) serves(host string) *x509.Certificate {
	known := r.runner.Known()
	if known == nil {
		return nil
	}
	for _, c := range known.Certificates {
		if c.Host == host && c.Err == nil {
			block, _ := pem.Decode([]byte(c.PEM))
			leaf, err := x509.ParseCertificate(block.Bytes)
			if err == nil {
				return leaf
			}
		}
	}
	return nil
}

// all waits until all replicas that live serve one and the same certificate for each host.
func (w *world) all(hosts ...string) {
	w.t.Helper()
	tooltest.Eventually(w.t, "all serve "+strings.Join(hosts, ", "), func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, host := range hosts {
			var first *x509.Certificate
			for _, r := range w.replicas {
				if !r.alive.Load() {
					continue
				}
				c := r.serves(host)
				if c == nil {
					return fmt.Errorf("%s has none for %s: %v", r.name, host, r.troubles())
				}
				if first == nil {
					first = c
				}
				if !c.Equal(first) {
					return errors.New(r.name + " has another one for " + host)
				}
			}
		}
		return nil
	})
}

func (r *replica) troubles() map[string]acme.Trouble {
	if k := r.runner.Known(); k != nil {
		return k.Troubles
	}
	return nil
}

func TestMain(m *testing.M) { acmetest.Main(m) }

func TestThreeReplicasOrderOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.three(nil)
	var hosts []string
	var services []route.Service
	for i := range 20 {
		host := fmt.Sprintf("s%d.example.com", i)
		hosts, services = append(hosts, host), append(services, service(host, host))
	}
	w.want(services...)
	w.all(hosts...)
	if got := w.Orders(); got != len(hosts) {
		t.Errorf("%d orders for %d names", got, len(hosts))
	}
	if got := w.Accounts(); got != 1 {
		t.Errorf("%d accounts", got)
	}
	for _, r := range w.replicas {
		if troubles := r.troubles(); len(troubles) > 0 {
			t.Errorf("%s: %v", r.name, troubles)
		}
	}
}

// contains says why a file has no such text.
func contains(path, text string) error {
	content, err := os.ReadFile(path)
	if err == nil && !strings.Contains(string(content), text) {
		err = errors.New("it is not in " + path)
	}
	return err
}
