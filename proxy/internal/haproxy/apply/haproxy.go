package apply

import (
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/plan"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/runtime"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/silent"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// Options say which HAProxy is meant.
type Options struct {
	// Binary is HAProxy's program, for checks.
	Binary string
	// Dir holds haproxy.cfg and the tables.
	Dir string
	// Worker and Master are the two sockets.
	Worker *runtime.Client
	Master *runtime.Master
	// Left, if not nil, is told which servers get no new requests and have not ended yet,
	// whenever that may have changed.
	Left     func([]silent.Server)
	Log      *slog.Logger
	Registry prometheus.Registerer
}

// HAProxy is the one that is kept equal. It belongs to one goroutine.
type HAProxy struct {
	o Options
	// applied is what runs; it is of use only while known.
	applied file.File
	known   bool
	pid     int
	can     plan.Abilities
	// draining are servers in maintenance whose connections have not ended,
	// and retired the backends that wait for theirs.
	draining map[serverKey]leaving
	retired  map[string]struct{}
	// stale says that the file on disk is behind what runs.
	stale   bool
	metrics metrics
}

// ConfigName is the name of the configuration in Options.Dir.
const ConfigName = "haproxy.cfg"

func (h *HAProxy) identify(info runtime.Info) {
	h.pid = info.Pid
	var major, minor int
	if _, err := fmt.Sscanf(info.Version, "%d.%d", &major, &minor); err != nil {
		h.o.Log.Warn("HAProxy's version is not understood", "version", info.Version)
	}
	h.can = plan.Abilities{DynamicBackends: major > 3 || major == 3 && minor >= 4}
}

// Running returns the worker's pid that was last seen.
func (h *HAProxy) Running() int { return h.pid }

// Addresses returns the addresses that a backend has at present, in a group those
// of its member.
func (h *HAProxy) Addresses(backend route.Backend) []netip.Addr {
	i, ok := slices.BinarySearchFunc(h.applied.Backends, backend.Name, func(b file.Backend, name string) int {
		return strings.Compare(b.Name, name)
	})
	if !h.known || !ok {
		return nil
	}
	var out []netip.Addr
	for _, s := range h.applied.Backends[i].Servers {
		if s.Name == file.ServerName(backend, s.Addr.Addr()) {
			out = append(out, s.Addr.Addr())
		}
	}
	return out
}

func (h *HAProxy) path(name string) string { return filepath.Join(h.o.Dir, name) }

// serverKey names a server.
type serverKey struct{ backend, server string }

func key(s plan.ServerChange) serverKey { return serverKey{s.Backend, s.Server.Name} }

// leaving is a server in maintenance. What an earlier controller put there has
// options that are not known.
type leaving struct {
	file.Server
	known bool
}
