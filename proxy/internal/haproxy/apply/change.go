package apply

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/plan"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/runtime"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/silent"
)

// change carries out a plan through the runtime API. What requests need comes
// first, what they no longer need last, so that none falls between.
func (h *HAProxy) change(ctx context.Context, p plan.Plan) error {
	if err := h.makeRoom(ctx, p); err != nil {
		return err
	}
	var first []runtime.Command
	for _, b := range p.AddBackends {
		if _, waits := h.retired[b.Name]; waits {
			return fmt.Errorf("backend %s has not ended yet", b.Name)
		}
		first = append(first, runtime.AddBackend(b.Name, b.From))
		for _, s := range b.Servers {
			first = append(first, h.addServer(plan.ServerChange{Backend: b.Name, Server: s})...)
		}
		first = append(first, runtime.PublishBackend(b.Name))
	}
	for _, s := range p.AddServers {
		first = append(first, h.addServer(s)...)
	}
	if err := h.certificates(ctx, p.Certificates); err != nil {
		return err
	}
	for _, s := range p.SetServers {
		first = append(first, update(s)...)
	}
	entries := h.entries(p)
	admitted, dropped := h.listEntries(p)
	first = append(append(first, admitted...), h.newEntries(file.PathsMap, p.NewPaths)...)
	if len(p.ReplaceMaps) == 0 {
		first, entries = append(first, entries...), nil
	}
	if err := h.o.Worker.Do(ctx, first...); err != nil {
		return err
	}
	for _, m := range p.ReplaceMaps {
		lines := make([]runtime.Entry, len(m.Entries))
		for i, e := range m.Entries {
			lines[i] = runtime.Entry(e)
		}
		if err := h.o.Worker.ReplaceMap(ctx, h.path(m.Map), lines); err != nil {
			return err
		}
	}
	last := dropped
	dropServer := func(s plan.ServerChange) {
		last = append(last, runtime.DisableServer(s.Backend, s.Server.Name))
		h.draining[key(s)] = leaving{Server: s.Server, known: true}
	}
	for _, s := range p.DelServers {
		dropServer(s)
	}
	for _, b := range p.DelBackends {
		for _, s := range b.Servers {
			dropServer(plan.ServerChange{Backend: b.Name, Server: s})
		}
		last = append(last, runtime.UnpublishBackend(b.Name))
		h.retired[b.Name] = struct{}{}
	}
	defer h.tellLeft()
	return h.o.Worker.Do(ctx, append(entries, last...)...)
}

// tellLeft tells which servers are in maintenance.
func (h *HAProxy) tellLeft() {
	if h.o.Left == nil {
		return
	}
	out := make([]silent.Server, 0, len(h.draining))
	for key, s := range h.draining {
		out = append(out, silent.Server{Backend: key.backend, Name: key.server, Addr: s.Addr})
	}
	h.o.Left(out)
}

// addServer adds a server, or takes one back that has not left yet.
func (h *HAProxy) addServer(s plan.ServerChange) []runtime.Command {
	if old, waits := h.draining[key(s)]; waits {
		delete(h.draining, key(s))
		out := update(plan.ServerUpdate{Backend: s.Backend, Was: old.Server, Then: s.Server})
		return append(out, runtime.EnableServer(s.Backend, s.Server.Name))
	}
	out := []runtime.Command{
		runtime.AddServer(s.Backend, s.Server.Name, s.Server.Addr, texts(s.Server.Words())...),
		runtime.EnableServer(s.Backend, s.Server.Name),
	}
	if s.Server.Checked() {
		out = append(out, runtime.EnableHealth(s.Backend, s.Server.Name))
	}
	return out
}

// texts are words as they are written.
func texts(words []file.Word) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = w.String()
	}
	return out
}

// update makes a server another one without adding it anew.
func update(s plan.ServerUpdate) []runtime.Command {
	var out []runtime.Command
	if n := s.Then.MaxConn; n != s.Was.MaxConn {
		out = append(out, runtime.SetMaxConn(s.Backend, s.Then.Name, n))
	}
	if n := s.Then.Weight(); n != s.Was.Weight() {
		out = append(out, runtime.SetWeight(s.Backend, s.Then.Name, n))
	}
	return out
}

// makeRoom deletes servers that have not left yet, and whose names are wanted for
// servers with other options.
func (h *HAProxy) makeRoom(ctx context.Context, p plan.Plan) error {
	for _, s := range p.AddServers {
		old, waits := h.draining[key(s)]
		if !waits || old.known && old.Becomes(s.Server) {
			continue
		}
		if err := h.o.Worker.DelServer(ctx, s.Backend, s.Server.Name, patience); err != nil && !errors.Is(err, runtime.ErrNotFound) {
			return err
		}
		delete(h.draining, key(s))
	}
	return nil
}

// patience is how long a name that is needed is waited for, before a reload.
const patience = 500 * time.Millisecond

// newEntries adds those of the changes of a table that are new.
func (h *HAProxy) newEntries(table string, changes []plan.EntryChange) []runtime.Command {
	var added []runtime.Entry
	for _, e := range changes {
		if e.New && e.Map == table {
			added = append(added, runtime.Entry(e.Entry))
		}
	}
	var out []runtime.Command
	for _, list := range runtime.Chunks(added) {
		out = append(out, runtime.AddMapEntries(h.path(table), list...))
	}
	return out
}

// entries are the commands for the tables but for what replaces one, or comes before that.
func (h *HAProxy) entries(p plan.Plan) []runtime.Command {
	var out []runtime.Command
	for _, table := range []string{file.HostsMap, file.RedirectsMap, file.ChallengesMap} {
		out = append(out, h.newEntries(table, p.SetEntries)...)
	}
	for _, e := range p.SetEntries {
		if !e.New {
			out = append(out, runtime.SetMapEntry(h.path(e.Map), runtime.Entry(e.Entry)))
		}
	}
	for _, e := range p.DelEntries {
		out = append(out, runtime.DelMapEntry(h.path(e.Map), e.Key))
	}
	return out
}

// Tidy brings the file up to date with what runs, and deletes servers and
// backends whose connections have ended. It reports whether it wrote the file, so
// that CheckFile is due, and whether something is left to do.
func (h *HAProxy) Tidy(ctx context.Context) (wrote, more bool, err error) {
	if !h.known {
		return false, false, nil
	}
	if h.stale {
		if err := errors.Join(h.writeCertificates(h.applied.Certificates), h.write(contents(h.applied))); err != nil {
			return false, true, err
		}
		h.sweepCertificates(h.applied.Certificates)
		h.stale, wrote = false, true
	}
	defer h.tellLeft()
	err = errors.Join(
		deleteEnded(ctx, h.o.Worker, h.draining, func(s serverKey) runtime.Command { return runtime.DeleteServer(s.backend, s.server) }),
		deleteEnded(ctx, h.o.Worker, h.retired, runtime.DeleteBackend),
	)
	return wrote, len(h.draining)+len(h.retired) > 0, err
}

// deleteEnded deletes those of a set that nothing uses any more, all at once: nobody waits
// for one that is busy, because it gets its next chance in the next quiet moment.
func deleteEnded[K comparable, V any](ctx context.Context, worker *runtime.Client, set map[K]V, deletion func(K) runtime.Command) error {
	if len(set) == 0 {
		return nil
	}
	keys := slices.Collect(maps.Keys(set))
	commands := make([]runtime.Command, len(keys))
	for i, k := range keys {
		commands[i] = deletion(k)
	}
	var errs []error
	for i, err := range worker.Batch(ctx, commands...) {
		if err == nil || errors.Is(err, runtime.ErrNotFound) {
			delete(set, keys[i])
		} else if !errors.Is(err, runtime.ErrBusy) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// CheckFile lets HAProxy judge the file with which it would start. Unlike the
// other methods it may be called from another goroutine.
func (h *HAProxy) CheckFile(ctx context.Context) error {
	err := h.judge(ctx, h.path(ConfigName))
	switch {
	case err == nil:
		h.metrics.fileRefused.Set(0)
	case errors.As(err, new(*CheckError)):
		h.metrics.fileRefused.Set(1)
	}
	return err
}

// Forget makes the next Apply write and reload whatever was known.
func (h *HAProxy) Forget() { h.known = false }

// Compare reads the file and what HAProxy runs, and says how both differ from
// what was applied; empty if they do not.
func (h *HAProxy) Compare(ctx context.Context) (string, error) {
	if !h.known || h.stale {
		return "", nil
	}
	text, err := os.ReadFile(h.path(ConfigName))
	if err != nil {
		return "", err
	}
	if string(text) != h.applied.Text() {
		return "the file is not what was written", nil
	}
	f, err := file.Parse(string(text), h.o.Dir)
	if err != nil {
		return err.Error(), nil
	}
	if err := h.readBack(ctx, &f); err != nil {
		return "", err
	}
	drift := plan.Diff(h.applied, f, plan.Abilities{DynamicBackends: true})
	return drift.String(), nil
}
