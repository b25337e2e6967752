// Package apply makes a running HAProxy equal to a configuration: check, write,
// apply, verify, and only then remember.
//
// What the runtime API takes goes there first and to the file afterwards; the rest
// is checked by HAProxy, written, and taken up by a reload. After a failure the
// last good file stays.
//
// Files from top to bottom: apply.go, change.go, adopt.go, certificates.go, files.go,
// check.go, reload.go, lists.go, workers.go, haproxy.go, metrics.go.
package apply

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/wagglehq/waggle/pkg/atomicfile"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/plan"
)

// New returns a HAProxy of which nothing is known yet.
func New(o Options) *HAProxy {
	watchWorkers(o)
	return &HAProxy{
		o: o, metrics: newMetrics(o.Registry),
		draining: map[serverKey]leaving{}, retired: map[string]struct{}{},
	}
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

// reloadTimeout bounds a reload.
const reloadTimeout = 60 * time.Second

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
		return Result{}, errors.Join(notReloaded(err, file.Redact(logs, want.Lines())), h.write(before))
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
