package apply

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// Adopt learns what the running HAProxy does, from the file that it was
// started with and from itself. A file that is not ours is no error: the first
// Apply replaces it.
func (h *HAProxy) Adopt(ctx context.Context) error {
	info, err := h.o.Worker.ShowInfo(ctx)
	if err != nil {
		return err
	}
	h.identify(info)
	text, err := os.ReadFile(h.path(ConfigName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("adopt: %w", err)
	}
	f, err := file.Parse(string(text), h.o.Dir)
	if err != nil {
		h.o.Log.Warn("the running configuration is replaced", "error", err)
		return nil
	}
	if err := h.readBack(ctx, &f); err != nil {
		h.o.Log.Warn("the running configuration is replaced", "error", err)
		return nil
	}
	if err := h.leaving(ctx); err != nil {
		return err
	}
	h.applied, h.known, h.stale = f, true, true
	h.can.Profiles = f.ProfileNames()
	h.o.Log.Info("adopted the running HAProxy", "pid", info.Pid, "version", info.Version, "backends", len(f.Backends), "hash", f.Hash())
	return nil
}

// readBack replaces servers and tables of a file by those that run.
func (h *HAProxy) readBack(ctx context.Context, f *file.File) error {
	servers, err := h.o.Worker.ShowServers(ctx)
	if err != nil {
		return err
	}
	byBackend := map[string][]file.Server{}
	for _, s := range servers {
		if s.Maint {
			continue
		}
		byBackend[s.Backend] = append(byBackend[s.Backend], file.Server{Name: s.Name, Addr: s.Addr}.WithWeight(s.Weight))
	}
	stats, err := h.o.Worker.ShowStat(ctx)
	if err != nil {
		return err
	}
	running := map[string]bool{}
	for _, s := range stats {
		if s.Server == "BACKEND" {
			running[s.Proxy] = true
		}
	}
	f.Backends = slices.DeleteFunc(f.Backends, func(b file.Backend) bool { return !running[b.Name] })
	for i, b := range f.Backends {
		withOptions(byBackend[b.Name], b.Servers)
		slices.SortFunc(byBackend[b.Name], func(a, b file.Server) int { return strings.Compare(a.Name, b.Name) })
		f.Backends[i].Servers = byBackend[b.Name]
	}
	f.Maps = map[string][]route.Entry{}
	for _, name := range file.MapNames() {
		if !f.Has(h.path(name)) {
			continue // HAProxy knows none of which no rule speaks
		}
		entries, err := h.o.Worker.ShowMap(ctx, h.path(name))
		if err != nil {
			return err
		}
		for _, e := range entries {
			f.Maps[name] = append(f.Maps[name], route.Entry(e))
		}
	}
	if err := h.readLists(ctx, f); err != nil {
		return err
	}
	return h.readCertificates(ctx, f)
}

// withOptions gives running servers the options that their file has for them,
// which HAProxy does not tell, but for the weight.
func withOptions(running, written []file.Server) {
	for i, r := range running {
		for _, w := range written {
			if w.Name == r.Name {
				w.Addr = r.Addr
				running[i] = w.WithWeight(r.Weight())
			}
		}
	}
}

// leaving finds the servers that an earlier controller put into maintenance.
func (h *HAProxy) leaving(ctx context.Context) error {
	servers, err := h.o.Worker.ShowServers(ctx)
	if err != nil {
		return err
	}
	for _, s := range servers {
		if s.Maint {
			h.draining[serverKey{s.Backend, s.Name}] = leaving{Server: file.Server{Name: s.Name, Addr: s.Addr}}
		}
	}
	return nil
}
