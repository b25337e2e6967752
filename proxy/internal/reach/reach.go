// Package reach finds tasks that cannot be spoken to, for people who ask why: nobody listens on
// the port, it never answers, or one side speaks TLS and the other does not. Requests go their
// way whatever it finds.
package reach

import (
	"context"
	"crypto/tls"
	"errors"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/runtime"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

const (
	// patience is how long one connection may take.
	patience = time.Second
	// atOnce is how many are tried at the same time, and most how many in one pass.
	atOnce, most = 8, 64
	// mostTold is how many services are told of.
	mostTold = 200
)

// Target is a port of the tasks of a service.
type Target struct {
	// Service is the full name, Key what it is called in catalog.Seen.
	Service, Key string
	Backend      string
	Addr         netip.AddrPort
	// TLS says that the proxy speaks TLS to it, HTTP that it speaks HTTP.
	TLS, HTTP bool
}

// Targets are one task for each port of the services, whose addresses are given as in the view
// of the last pass.
func Targets(services []route.Service, addresses map[string][][]netip.Addr) []Target {
	var out []Target
	for _, s := range services {
		for i, b := range s.Backends {
			if i >= len(addresses[s.ID]) || len(addresses[s.ID][i]) == 0 || b.Outbound {
				continue
			}
			t := Target{
				Service: s.Name, Key: strconv.Itoa(b.Port), Backend: b.Name, TLS: b.Handling.TLS, HTTP: b.Stream == nil,
				Addr: netip.AddrPortFrom(addresses[s.ID][i][0], uint16(b.Port)),
			}
			if b.Lookup == s.Name+"." {
				t.Key = "vip:" + t.Key
			}
			out = append(out, t)
		}
	}
	return out
}

// Watch remembers what was met. Pass belongs to one goroutine, Seen to any.
type Watch struct {
	// Targets are those of the last pass of the proxy.
	Targets func() []Target
	// Show is what the backends have done, by which those are known that have never
	// answered well.
	Show func(ctx context.Context, servers bool) (runtime.Worker, []runtime.Traffic, error)
	// Meet tries a connection; nil: Meet.
	Meet func(ctx context.Context, t Target, isSuspect bool) catalog.Meeting

	// well are the targets that answered: they are not asked again before their address is another one.
	well map[Target]bool

	mu  sync.Mutex
	bad map[string]map[string]catalog.Meeting
}

// Seen are the ports that do not answer as they should, by service.
func (w *Watch) Seen() map[string]map[string]catalog.Meeting {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.bad)
}

// Pass tries what is new, and again what failed. What answers once is left in peace, unless
// HAProxy never got an answer from it that was of use.
func (w *Watch) Pass(ctx context.Context) error {
	meet := w.Meet
	if meet == nil {
		meet = Meet
	}
	targets := w.Targets()
	before := w.Seen()
	wasBad := func(t Target) int { return len(before[t.Service][t.Key]) }
	// What failed is tried last, so that it does not keep what is new from being tried.
	slices.SortStableFunc(targets, func(a, b Target) int { return wasBad(a) - wasBad(b) })
	suspects, err := w.suspects(ctx)
	if err != nil {
		suspects = nil // HAProxy says so itself, elsewhere
	}
	var (
		mu    sync.Mutex
		group sync.WaitGroup
		turn  = make(chan struct{}, atOnce)
		well  = map[Target]bool{}
		bad   = map[string]map[string]catalog.Meeting{}
		asked = 0
	)
	for _, t := range targets {
		isSuspect := suspects[t.Backend] && t.HTTP && !t.TLS
		if w.well[t] && !isSuspect || asked == most {
			mu.Lock()
			well[t] = w.well[t]
			mu.Unlock()
			continue
		}
		asked++
		turn <- struct{}{}
		group.Go(func() {
			defer func() { <-turn }()
			met := meet(ctx, t, isSuspect)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case met == "":
				well[t] = true
			case bad[t.Service] == nil && len(bad) == mostTold:
			default:
				if bad[t.Service] == nil {
					bad[t.Service] = map[string]catalog.Meeting{}
				}
				bad[t.Service][t.Key] = met
			}
		})
	}
	group.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	w.well = well
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bad = bad
	return nil
}

// suspects are the backends of which nothing but failures came.
func (w *Watch) suspects(ctx context.Context) (map[string]bool, error) {
	_, rows, err := w.Show(ctx, false)
	if err != nil {
		return nil, err
	}
	out := map[string]bool{}
	for _, r := range rows {
		if r.Server == runtime.BackendRow && r.HTTP && r.Answers.Failed > 0 && r.Answers.OK+r.Answers.Redirected+r.Answers.Refused == 0 {
			out[r.Proxy] = true
		}
	}
	return out, nil
}

// Meet tries a connection, and returns what is wrong with it, nothing if it is as it should be.
// Nothing is sent to a port that should speak clear text, unless it is suspect: then TLS is
// tried there.
func Meet(ctx context.Context, t Target, isSuspect bool) catalog.Meeting {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", t.Addr.String())
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return catalog.MeetsSilence
	case err != nil:
		return catalog.MeetsRefusal
	}
	defer conn.Close()
	if !t.TLS && !isSuspect {
		return ""
	}
	// Whether the certificate is a good one is not the question.
	err = tls.Client(conn, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10}).HandshakeContext(ctx) //nolint:gosec // nothing is sent
	clear := tls.RecordHeaderError{}
	switch {
	case t.TLS && errors.As(err, &clear):
		return catalog.MeetsHTTP
	case !t.TLS && err == nil:
		return catalog.MeetsTLS
	}
	return ""
}
