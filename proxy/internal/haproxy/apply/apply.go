// Package apply makes a running HAProxy equal to a configuration: check, write,
// apply, verify, and only then remember.
//
// What the runtime API takes goes there first and to the file afterwards; the rest
// is checked by HAProxy, written, and taken up by a reload. After a failure the
// last good file stays.
package apply

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wagglehq/waggle/pkg/atomicfile"
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

// CheckError says that HAProxy refuses a configuration. Nothing was touched.
type CheckError struct {
	Output string
	Err    error
}

// errWords says that HAProxy need not be asked.
var errWords = errors.New("a line that it would not take")

// errWarned says that HAProxy would take it, but in another sense than was meant, or not
// for ever.
var errWarned = errors.New("it warns")

// Error carries HAProxy's own words.
func (e *CheckError) Error() string {
	return fmt.Sprintf("haproxy refuses the configuration (%v): %s", e.Err, strings.TrimSpace(e.Output))
}

// Unwrap returns how the check ended.
func (e *CheckError) Unwrap() error { return e.Err }

// checkTimeout bounds a check, reloadTimeout a reload.
const (
	checkTimeout  = 15 * time.Second
	reloadTimeout = 60 * time.Second
)

// ConfigName is the name of the configuration in Options.Dir.
const ConfigName = "haproxy.cfg"

// New returns a HAProxy of which nothing is known yet.
func New(o Options) *HAProxy {
	watchWorkers(o)
	return &HAProxy{
		o: o, metrics: newMetrics(o.Registry),
		draining: map[serverKey]leaving{}, retired: map[string]struct{}{},
	}
}

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

// Result says what Apply did.
type Result struct {
	Changed bool
	// Reload is why HAProxy reloaded, empty if it did not; Because names the
	// backends for which it had to.
	Reload  string
	Because []string
	Plan    string
}

// Apply makes HAProxy equal to want. On an error HAProxy goes on with what it had.
func (h *HAProxy) Apply(ctx context.Context, want file.File) (Result, error) {
	if err := h.notice(ctx); err != nil {
		return Result{}, err
	}
	if !h.known {
		return h.reload(ctx, want, "start")
	}
	plan := plan.Diff(h.applied, want, h.can)
	if plan.Empty() {
		return Result{}, nil
	}
	if plan.Reload != "" {
		result, err := h.reload(ctx, want, plan.Reload)
		result.Because = plan.Because
		return result, err
	}
	if err := h.change(ctx, plan); err != nil {
		h.o.Log.Warn("a change at run time failed, so HAProxy reloads", "error", err)
		result, err := h.reload(ctx, want, "runtime")
		if err != nil {
			// Half of the change may be in force, which only a reload undoes.
			h.known = false
		}
		return result, err
	}
	h.applied, h.stale = want, true
	h.metrics.changes.Inc()
	return Result{Changed: true, Plan: plan.String()}, nil
}

// notice finds out whether HAProxy is another process than before.
func (h *HAProxy) notice(ctx context.Context) error {
	info, err := h.o.Worker.ShowInfo(ctx)
	if err != nil {
		h.known = false
		h.metrics.up.Set(0)
		return fmt.Errorf("haproxy does not answer: %w", err)
	}
	h.metrics.up.Set(1)
	if info.Pid != h.pid {
		h.o.Log.Info("HAProxy is another process", "pid", info.Pid, "before", h.pid, "version", info.Version)
		h.identify(info)
		h.known = false
	}
	return nil
}

// reload writes want and makes HAProxy take it up.
func (h *HAProxy) reload(ctx context.Context, want file.File, reason string) (Result, error) {
	// The certificates that it was judged by stay where they are.
	if _, err := h.try(ctx, want); err != nil {
		h.metrics.refused.Inc()
		return Result{}, err
	}
	before, err := h.read(contents(want))
	if err != nil {
		return Result{}, err
	}
	if err := h.write(contents(want)); err != nil {
		return Result{}, errors.Join(err, h.write(before))
	}
	ctx, cancel := context.WithTimeout(ctx, reloadTimeout)
	defer cancel()
	logs, err := h.o.Master.Reload(ctx)
	if err != nil {
		h.metrics.reloads.WithLabelValues("failed").Inc()
		h.known = false
		return Result{}, errors.Join(fmt.Errorf("reload: %w: %s", err, file.Redact(logs, want.Lines())), h.write(before))
	}
	h.metrics.reloads.WithLabelValues(reason).Inc()
	info, err := h.o.Worker.ShowInfo(ctx)
	if err != nil {
		h.known = false
		return Result{}, fmt.Errorf("after the reload: %w", err)
	}
	h.identify(info)
	h.can.Profiles = want.ProfileNames()
	h.applied, h.known, h.stale = want, true, false
	h.sweepCertificates(want.Certificates)
	clear(h.draining)
	clear(h.retired)
	h.tellLeft()
	if err := h.sweep(); err != nil {
		h.o.Log.Warn("files that nothing names any more remain", "error", err)
	}
	return Result{Changed: true, Reload: reason}, nil
}

// Check lets HAProxy judge a configuration; the error is a *CheckError if it refuses it.
func (h *HAProxy) Check(ctx context.Context, f file.File) error {
	before, err := h.try(ctx, f)
	if err != nil {
		return err
	}
	return h.restoreCertificateFiles(before)
}

// try lets HAProxy judge a configuration. Its certificates are put where those in force
// lie, and taken back if it is refused; else before is what lay there.
func (h *HAProxy) try(ctx context.Context, f file.File) (before map[string][]byte, err error) {
	if err := f.Check(); err != nil {
		return nil, &CheckError{Output: err.Error(), Err: errWords}
	}
	if before, err = h.readCertificateFiles(f.Certificates); err != nil {
		return nil, err
	}
	err = h.writeCertificates(f.Certificates)
	if err == nil {
		err = h.check(ctx, f)
	}
	if err != nil {
		err = errors.Join(err, h.restoreCertificateFiles(before))
	}
	return before, err
}

// check writes a configuration beside the one in force, and lets HAProxy judge it.
func (h *HAProxy) check(ctx context.Context, f file.File) error {
	path := h.path(ConfigName + ".next")
	if _, err := atomicfile.Write(path, []byte(f.Text()), 0o640); err != nil {
		return err
	}
	defer func() { _ = os.Remove(path) }()
	if err := h.prepare(f); err != nil {
		return err
	}
	for _, name := range file.MapNames() {
		// The tables named in the file must exist; what stands in them is our own.
		if _, err := os.Stat(h.path(name)); errors.Is(err, fs.ErrNotExist) {
			if _, err := atomicfile.Write(h.path(name), nil, 0o640); err != nil {
				return err
			}
		}
	}
	return h.judge(ctx, path)
}

func (h *HAProxy) judge(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, h.o.Binary, "-c", "-f", path).CombinedOutput()
	if err == nil && len(file.Warnings(string(out))) > 0 {
		err = errWarned
	}
	if err != nil {
		text, errRead := os.ReadFile(path)
		if errRead != nil {
			return errors.Join(err, errRead)
		}
		return &CheckError{Output: file.Redact(string(out), slices.Values(file.ReadLines(string(text)))), Err: err}
	}
	return nil
}

func (h *HAProxy) path(name string) string { return filepath.Join(h.o.Dir, name) }

// contents are the files of a configuration by name.
func contents(f file.File) map[string][]byte {
	out := map[string][]byte{ConfigName: []byte(f.Text())}
	for name, entries := range f.Maps {
		out[name] = []byte(file.MapText(entries))
	}
	maps.Copy(out, companions(f))
	return out
}

// read returns the present contents of files, of those that there are.
func (h *HAProxy) read(names map[string][]byte) (map[string][]byte, error) {
	out := map[string][]byte{}
	for name := range names {
		content, err := os.ReadFile(h.path(name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out[name] = content
	}
	return out, nil
}

func (h *HAProxy) write(files map[string][]byte) error {
	var errs []error
	for name, content := range files {
		_, err := atomicfile.Write(h.path(name), content, 0o640)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
