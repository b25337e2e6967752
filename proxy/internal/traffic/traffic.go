// Package traffic tells what the proxy does for each service, as metrics.
//
// Answers, bytes and open requests are counted by HAProxy itself and are exact; they are
// read every few seconds and added up here, so that neither a reload nor a backend that goes
// begins them anew. HAProxy has no distribution of how long answers took. It sends that in
// lines of a log, of all requests while they are few and of a share when they are many.
package traffic

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/render"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/runtime"
)

// every is how often HAProxy is asked. What it counts between that and a reload is lost.
const every = 5 * time.Second

// patience bounds what HAProxy may take to answer.
const patience = 5 * time.Second

// Options are what a Meter works with.
type Options struct {
	// Show asks HAProxy, of servers only if they are wanted.
	Show func(ctx context.Context, servers bool) (runtime.Worker, []runtime.Traffic, error)
	// Owners are the present ones, nil while they are not known. The same ones are the
	// same pointer.
	Owners func() *Owners
	// Socket is where lines of the log are taken; empty: nowhere.
	Socket   string
	Log      *slog.Logger
	Registry prometheus.Registerer
}

// Meter counts. Its loops are Run and Listen.
type Meter struct {
	o        Options
	metrics  *metrics
	services *services

	// What follows belongs to Run.
	pid  int
	last map[source]runtime.Traffic
	lost int64
}

// source is who counts.
type source struct{ proxy, server string }

// New registers the metrics.
func New(o Options) *Meter {
	return &Meter{o: o, metrics: newMetrics(o.Registry), services: newServices(o.Registry), last: map[source]runtime.Traffic{}}
}

// Run reads HAProxy's counters until the context ends.
func (m *Meter) Run(ctx context.Context) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := m.read(ctx); err != nil {
			// That HAProxy does not answer is told by the loop that changes it.
			m.o.Log.Debug("HAProxy's counters are not read", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// read adds what has happened since it was last called.
func (m *Meter) read(ctx context.Context) error {
	owners := m.o.Owners()
	if owners == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	worker, rows, err := m.o.Show(ctx, owners.groups())
	if err != nil {
		return err
	}
	first := m.pid == 0
	if worker.Pid != m.pid {
		clear(m.last) // another worker begins at 0
		m.lost = 0
	}
	m.pid = worker.Pid
	m.metrics.worker(worker)
	if !first {
		m.metrics.lost.Add(float64(max(worker.LostLines-m.lost, 0)))
	}
	m.lost = worker.LostLines
	m.services.mu.Lock()
	defer m.services.mu.Unlock()
	m.services.are(owners)
	for _, t := range m.services.tallies {
		t.now = present{}
	}
	seen := make(map[source]runtime.Traffic, len(rows))
	for _, row := range rows {
		from := source{row.Proxy, row.Server}
		seen[from] = row
		grown := since(m.last[from], row)
		if first {
			grown = runtime.Traffic{HTTP: row.HTTP} // it counted before this controller was there
		}
		if row.Server == runtime.FrontendRow {
			if row.Proxy == render.Services {
				m.metrics.front(grown)
			}
			continue
		}
		service, ok := owners.of(row.Proxy, row.Server)
		if _, whole := owners.backends[row.Proxy]; !ok || whole && row.Server != runtime.BackendRow {
			continue
		}
		t := m.services.of(owners, service)
		t.add(grown)
		t.now.add(row)
	}
	m.last = seen
	return nil
}

// present is what is so at a moment, over all backends of a service.
type present struct{ open, queued, servers int64 }

func (p *present) add(row runtime.Traffic) {
	p.open += row.Open
	p.queued += row.Queued
	p.servers += row.Servers
}

// since is what has come to a row's counters, which begin anew with what counts them.
func since(before, now runtime.Traffic) runtime.Traffic {
	if now.Sessions < before.Sessions {
		before = runtime.Traffic{} // another backend of this name
	}
	more := func(now, before int64) int64 {
		return max(now-before, 0)
	}
	a, b := now.Answers, before.Answers
	return runtime.Traffic{
		HTTP: now.HTTP,
		Answers: runtime.Answers{
			Other: more(a.Other, b.Other), OK: more(a.OK, b.OK), Redirected: more(a.Redirected, b.Redirected), Refused: more(a.Refused, b.Refused), Failed: more(a.Failed, b.Failed),
		},
		Sessions: more(now.Sessions, before.Sessions), In: more(now.In, before.In), Out: more(now.Out, before.Out),
		Connect: more(now.Connect, before.Connect), Response: more(now.Response, before.Response), Retried: more(now.Retried, before.Retried),
	}
}
