package sleep

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/scaling"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/render"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/runtime"
)

// wakeEvery is how often the word is repeated that requests wait.
const wakeEvery = 5 * time.Second

// patience bounds what bus and HAProxy may take to answer.
const patience = 3 * time.Second

// HAProxy is what is asked of it.
type HAProxy struct {
	// Show tells what the worker that takes requests does, Old what one before a reload does.
	Show func(ctx context.Context, servers bool) (runtime.Worker, []runtime.Traffic, error)
	Old  func(ctx context.Context, worker int) ([]runtime.Traffic, error)
	// Processes are the workers; Do changes one of before a reload.
	Processes func(context.Context) (runtime.Processes, error)
	Do        func(ctx context.Context, worker int, commands ...runtime.Command) error
}

// Signals is the bucket of what proxies say.
type Signals interface {
	Put(ctx context.Context, key string, value []byte, options ...bus.PutOption) (uint64, error)
}

// Options are what a Watch works with.
type Options struct {
	// Instance is the name of this proxy.
	Instance string
	// Socket is where HAProxy tells that requests wait.
	Socket string
	// Services are the present ones, nil while they are not known; File is what HAProxy runs.
	Services func() *Services
	File     func() file.File
	HAProxy  HAProxy
	Signals  Signals
	Now      func() time.Time
	Log      *slog.Logger
}

// Watch tells of services that may sleep. Its loops are Listen, Run and Applied.
type Watch struct {
	o Options

	mu sync.Mutex // of Listen and Applied
	// woken is when the bus was last told, by ID; waiting when a backend was last heard of.
	woken, waiting map[string]time.Time
}

// New returns a Watch.
func New(o Options) *Watch {
	return &Watch{o: o, woken: map[string]time.Time{}, waiting: map[string]time.Time{}}
}

// Run says which connections are open until the context ends.
func (w *Watch) Run(ctx context.Context) error {
	tick := time.NewTicker(scaling.OpenEvery)
	defer tick.Stop()
	for {
		if err := w.tellOpen(ctx); err != nil {
			// Then nothing is said, and services stay awake.
			w.o.Log.Debug("open connections are not told", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// tellOpen says which connections are open, if a service may sleep.
func (w *Watch) tellOpen(ctx context.Context) error {
	services := w.o.Services()
	if services == nil || !services.any() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	said := scaling.Open{Proxy: w.o.Instance, At: w.o.Now().UTC(), Connections: map[string]int{}}
	// The workers first: one that takes no more requests meanwhile counts among those that do.
	processes, err := w.o.HAProxy.Processes(ctx)
	if err != nil {
		return err
	}
	worker, rows, err := w.o.HAProxy.Show(ctx, true)
	if err != nil {
		return err
	}
	services.count(said.Connections, rows)
	for _, old := range append(processes.Old, processes.Worker) {
		if old.Pid == worker.Pid || old.Pid == 0 {
			continue
		}
		rows, err := w.o.HAProxy.Old(ctx, old.Pid)
		if err != nil {
			if w.hasEnded(ctx, old.Pid) {
				continue
			}
			return err
		}
		services.count(said.Connections, rows)
	}
	value, err := catalog.Encode(said)
	if err != nil {
		return err
	}
	_, err = w.o.Signals.Put(ctx, scaling.OpenPrefix+bus.Token(w.o.Instance), value, bus.WithTTL(scaling.OpenStands))
	return err
}

// hasEnded reports whether a worker is there no more.
func (w *Watch) hasEnded(ctx context.Context, pid int) bool {
	processes, err := w.o.HAProxy.Processes(ctx)
	if err != nil {
		return false
	}
	for _, p := range append(processes.Old, processes.Worker) {
		if p.Pid == pid {
			return false
		}
	}
	return true
}

// waits is told that requests wait for a backend.
func (w *Watch) waits(ctx context.Context, backend string) {
	services := w.o.Services()
	if services == nil {
		return
	}
	now := w.o.Now()
	w.mu.Lock()
	w.waiting[backend] = now
	w.mu.Unlock()
	for _, id := range services.held[backend] {
		if !w.due(id, now) {
			continue
		}
		if err := w.wake(ctx, id, services.names[id], now); err != nil {
			w.mu.Lock()
			delete(w.woken, id) // HAProxy says it again
			w.mu.Unlock()
			w.o.Log.Debug("a service is not woken", "service", services.names[id], "error", err)
		}
	}
}

// due reports whether the bus is to be told now, which it then is.
func (w *Watch) due(id string, now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if last, ok := w.woken[id]; ok && now.Sub(last) < wakeEvery {
		return false
	}
	for id, at := range w.woken {
		if now.Sub(at) >= wakeEvery {
			delete(w.woken, id)
		}
	}
	w.woken[id] = now
	return true
}

func (w *Watch) wake(ctx context.Context, id, name string, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	value, err := catalog.Encode(scaling.Wake{ServiceID: id, Service: name, Proxy: w.o.Instance, At: now.UTC()})
	if err != nil {
		return err
	}
	_, err = w.o.Signals.Put(ctx, scaling.WakePrefix+bus.Token(id), value, bus.WithTTL(scaling.WakeStands))
	return err
}

// Release gives the servers of backends for which requests waited a moment ago to the workers
// of before a reload too: what waits there would wait in vain. It is called after each change
// of HAProxy.
func (w *Watch) Release(ctx context.Context) error {
	backends := w.waitedFor()
	if len(backends) == 0 {
		return nil
	}
	commands := additions(w.o.File(), backends)
	if len(commands) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	processes, err := w.o.HAProxy.Processes(ctx)
	if err != nil {
		return err
	}
	for _, old := range processes.Old {
		for _, c := range commands {
			// The worker has it already, or has ended, or is from before the backend.
			err = errors.Join(err, w.o.HAProxy.Do(ctx, old.Pid, c...))
		}
	}
	if err != nil {
		w.o.Log.Debug("servers for requests that wait in workers of before a reload", "error", err)
	}
	return nil
}

// waitedFor are the backends of which was lately heard that requests wait for them.
func (w *Watch) waitedFor() map[string]bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string]bool{}
	for backend, at := range w.waiting {
		if w.o.Now().Sub(at) > scaling.WakeStands {
			delete(w.waiting, backend)
			continue
		}
		out[backend] = true
	}
	return out
}

// additions are the commands that add the servers of backends, one list for each server.
func additions(f file.File, backends map[string]bool) [][]runtime.Command {
	var out [][]runtime.Command
	for _, b := range f.Backends {
		if !backends[b.Name] {
			continue
		}
		for _, s := range b.Servers {
			var words []string
			for _, word := range s.Words() {
				words = append(words, word.String())
			}
			// Without checks: the script that holds says that it is ready.
			out = append(out, []runtime.Command{runtime.AddServer(b.Name, render.GivenServer+s.Name, s.Addr, words...)})
		}
	}
	return out
}
