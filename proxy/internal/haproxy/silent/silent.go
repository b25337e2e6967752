// Package silent ends what goes on with servers that have left and whose host has
// fallen silent.
//
// A task that is stopped in an orderly way finishes its requests, and its host answers
// until then. One whose node has died answers nothing, not even a refusal, and what waits
// for it would wait for a timeout.
package silent

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Server is one that gets no new requests.
type Server struct {
	Backend, Name string
	Addr          netip.AddrPort
}

// Options are what a Watch works with.
type Options struct {
	// Answers says whether a host answers at all before the context ends; nil: Answers.
	Answers func(ctx context.Context, addr netip.AddrPort) bool
	// Unrepeatable ends what goes on with a server and cannot be sent to another one.
	Unrepeatable func(ctx context.Context, s Server) error
	// All ends all that goes on with a server.
	All      func(ctx context.Context, s Server) error
	Log      *slog.Logger
	Registry prometheus.Registerer
}

// A host is silent after that many questions in a row without an answer, six tenths
// of a second in all. One that answers is asked again at intervals, as long as there is
// something to wait for. What can be sent again is, as soon as TCP has given up: within
// five seconds, and on a busy machine somewhat later, after which nothing more is to be expected.
const (
	patience  = 200 * time.Millisecond
	questions = 3
	givenUp   = questions + int(7*time.Second/patience)
	again     = time.Second
	// atOnce bounds how many are asked at the same time.
	atOnce = 64
)

// Watch looks after servers that have left. Run owns its state.
type Watch struct {
	o     Options
	sets  chan []Server
	ended prometheus.Counter
}

// New returns a Watch that looks after nobody yet.
func New(o Options) *Watch {
	if o.Answers == nil {
		o.Answers = Answers
	}
	w := &Watch{o: o, sets: make(chan []Server, 1), ended: prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: "waggle", Subsystem: "proxy", Name: "silent_servers_total",
		Help: "Tasks whose open connections were ended, because they have left and their host answers nothing any more.",
	})}
	if o.Registry != nil {
		o.Registry.MustRegister(w.ended)
	}
	return w
}

// Left replaces the servers to look after. It does not wait for Run, and belongs to one
// goroutine.
func (w *Watch) Left(servers []Server) {
	select {
	case <-w.sets:
	default:
	}
	w.sets <- servers
}

// Run asks until the context ends, and returns its error.
func (w *Watch) Run(ctx context.Context) error {
	var servers []Server
	missed := map[netip.AddrPort]int{}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case servers = <-w.sets:
		case <-timer.C:
		}
		timer.Stop()
		if len(servers) == 0 {
			continue
		}
		missed = w.ask(ctx, servers, missed)
		// Who has come back or ended while the hosts were asked must not be ended.
		select {
		case servers = <-w.sets:
		default:
		}
		wait := again
		for _, s := range servers {
			switch n := missed[s.Addr]; {
			case n >= questions:
				w.end(ctx, s, n)
			case n > 0:
			default:
				continue
			}
			if missed[s.Addr] < givenUp {
				wait = 0
			}
		}
		timer.Reset(wait)
	}
}

// ask asks the hosts of servers, each once, and returns how often each of the silent
// ones has been.
func (w *Watch) ask(ctx context.Context, servers []Server, before map[netip.AddrPort]int) map[netip.AddrPort]int {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var (
		wait   sync.WaitGroup
		mu     sync.Mutex // those that ask note together
		asked  = map[netip.AddrPort]struct{}{}
		missed = map[netip.AddrPort]int{}
		places = make(chan struct{}, atOnce)
	)
	for _, s := range servers {
		if _, ok := asked[s.Addr]; ok {
			continue
		}
		asked[s.Addr] = struct{}{}
		places <- struct{}{}
		wait.Go(func() {
			defer func() { <-places }()
			if ctx.Err() != nil {
				mu.Lock()
				defer mu.Unlock()
				missed[s.Addr] = before[s.Addr] // its turn did not come
				return
			}
			if !w.o.Answers(ctx, s.Addr) {
				mu.Lock()
				defer mu.Unlock()
				missed[s.Addr] = before[s.Addr] + 1
			}
		})
	}
	wait.Wait()
	return missed
}

// end ends what goes on with a server whose host has not answered so many times.
func (w *Watch) end(ctx context.Context, s Server, missed int) {
	end := w.o.Unrepeatable
	if missed >= givenUp {
		end = w.o.All
	}
	if err := end(ctx, s); err != nil {
		w.o.Log.Debug("connections to a silent host are not ended yet", "backend", s.Backend, "server", s.Name, "error", err)
		return
	}
	if missed == questions {
		w.ended.Inc()
		w.o.Log.Info("the host of a task that has left is silent, so its connections are ended", "backend", s.Backend, "server", s.Name)
	}
}

// unused is a port on which hardly anybody listens. A host that is there refuses it at
// once, even if the queue of the task's own port is full.
const unused = 1

// Answers connects to the address, and to another port of its host. A refusal is an
// answer.
func Answers(ctx context.Context, addr netip.AddrPort) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan bool, 2)
	for _, port := range []uint16{addr.Port(), unused} {
		go func() {
			var d net.Dialer
			conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(addr.Addr().String(), strconv.Itoa(int(port))))
			if err == nil {
				_ = conn.Close()
			}
			answers <- err == nil || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET)
		}()
	}
	one, other := <-answers, false
	if !one {
		other = <-answers
	}
	return one || other
}
