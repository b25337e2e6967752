package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/addresses"
	"github.com/wagglehq/waggle/proxy/internal/certs/acme"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/render"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/claims"
	"github.com/wagglehq/waggle/proxy/internal/wish/static"
	"github.com/wagglehq/waggle/proxy/judge"
)

// View is what became of one pass. It is not changed any more.
type View struct {
	Desired  claims.Desired
	Snapshot catalog.Snapshot
	// FromBus says that the catalog came from the bus, not from the disk.
	FromBus bool
	// Partial says that neither bus nor disk has said anything yet.
	Partial bool
	// Hash is that of the configuration in force, which is File.
	Hash string
	File file.File
	// HasCertificates says that this replica has some, beside those of labels.
	HasCertificates bool
	// Addresses are those of each backend, in their order, of the services in force by ID.
	Addresses map[string][][]netip.Addr
	// KeptBack is a task that runs and does not listen yet, of services in force that wait for
	// one, by ID.
	KeptBack map[string]netip.AddrPort
	// Refused are the addresses that DNS gives for services in force and that are not used,
	// each with the reason, by ID.
	Refused map[string][]string
	// Questions are the tokens of what authorities ask and HAProxy answers, and Uncertified what
	// keeps services from having certificates, by their IDs.
	Questions   []string
	Uncertified map[string][]acme.Trouble
	// Err is why the last pass failed, nil if it did not.
	Err error
	// Pass is the number of that pass.
	Pass uint64
}

// Statuses says what became of every service that opted in.
func (v *View) Statuses() []catalog.Status {
	out := make([]catalog.Status, 0, len(v.Desired.Verdicts))
	reached := v.reached()
	for _, verdict := range v.Desired.Verdicts {
		out = append(out, v.status(verdict, reached))
	}
	return out
}

// Published are the statuses for the bus: those of the swarm's services, which
// every proxy agrees on.
func (v *View) Published() []catalog.Status {
	return slices.DeleteFunc(v.Statuses(), func(s catalog.Status) bool { return static.Is(s.ServiceID) })
}

// status adds to the judgement on labels what became of those that are in force.
func (v *View) status(d claims.Verdict, reached map[string]bool) catalog.Status {
	s := judge.Status(d, v.Snapshot.RevisionOf(d.Service.ID))
	switch {
	case d.Err != nil:
	case v.Err != nil:
		s.Reason = "not applied yet: " + v.Err.Error()
	case len(d.Shadowed) > 0:
		s.State, s.Reason = catalog.StateDegraded, "routes that no request reaches: "+strings.Join(d.Shadowed, ", ")
		s.Hint = "another service comes first in the order of routes, see docs/labels.md"
	default:
		s.State, s.Reason, s.Hint = catalog.StateApplied, "", ""
		v.missing(&s, d.Service, reached)
		s.Warnings = slices.Concat(s.Warnings, v.lockedOut(d.Service.Name), v.Refused[d.Service.ID])
		v.uncertified(&s)
	}
	return s
}

// uncertified says of a service in force for which of its hosts there is no certificate, or soon
// will be none.
func (v *View) uncertified(s *catalog.Status) {
	for i, t := range v.Uncertified[s.ServiceID] {
		if i == 0 && s.State == catalog.StateApplied {
			s.State, s.Reason, s.Hint, s.Label = catalog.StateDegraded, t.Reason, t.Hint, cmp.Or(t.Label, catalog.Prefix+"acme")
			continue
		}
		s.Warnings = append(slices.Clone(s.Warnings), t.Reason)
	}
}

// lockedOut says of a service in force why somebody does not get in.
func (v *View) lockedOut(name string) []string {
	i, ok := v.find(name)
	if !ok || len(v.File.Faults) == 0 {
		return nil
	}
	var out []string
	for _, b := range v.Desired.Services[i].Backends {
		about := []string{b.Name}
		if u := b.Handling.Access.Users; u != nil && u.List != route.OperatorUsers {
			about = append(about, u.List)
		}
		for _, fault := range v.File.Faults {
			if whose, why, _ := strings.Cut(fault, ": "); slices.Contains(about, whose) && !slices.Contains(out, why) {
				out = append(out, why)
			}
		}
	}
	return out
}

// find returns where a service in force stands.
func (v *View) find(name string) (int, bool) {
	return slices.BinarySearchFunc(v.Desired.Services, name, func(s route.Service, name string) int { return strings.Compare(s.Name, name) })
}

// refuse notes which addresses of a backend are not used.
func (v *View) refuse(s route.Service, b route.Backend, refused []addresses.Refused) {
	for _, r := range refused {
		what := b.Host() + " means in DNS"
		if _, ok := b.Literal(); ok {
			what = catalog.Prefix + "outboundHostname names"
		}
		if text := fmt.Sprintf("%s %s, which is not used: %s", what, r.Addr, r.Why(s.Name)); !slices.Contains(v.Refused[s.ID], text) {
			v.Refused[s.ID] = append(v.Refused[s.ID], text)
		}
	}
}

// missing says of a service in force which of its backends have no address.
func (v *View) missing(s *catalog.Status, svc catalog.Service, reached map[string]bool) {
	i, ok := v.find(svc.Name)
	if !ok {
		return
	}
	wants := v.Desired.Services[i]
	empty, covered := wants.Backends[:0:0], true
	for i, b := range wants.Backends {
		if len(v.of(svc.ID, i)) == 0 {
			empty, covered = append(empty, b), covered && reached[b.Name]
		}
	}
	if len(empty) == 0 {
		return
	}
	scaledToZero := svc.Mode == catalog.Replicated && svc.Replicas == 0
	if scaledToZero && wants.MaySleep && !slices.ContainsFunc(empty, func(b route.Backend) bool { return !b.Sleeps }) {
		s.Reason = sleeps(covered)
		return
	}
	s.State, s.Reason = catalog.StateDegraded, "no task can be reached, "+without(empty[0], covered)
	if len(empty) < len(wants.Backends) {
		s.Reason = fmt.Sprintf("index %d: %s", wants.IndexOf(empty[0]), s.Reason)
	}
	switch {
	case len(v.Refused[svc.ID]) > 0:
		s.Reason += "; " + v.Refused[svc.ID][0]
		s.Hint = "the setting outbound allows a host; an alias is taken from whoever has it, or the service gets another name"
	case empty[0].Outbound:
		s.Hint = fmt.Sprintf("no name server knows an address of %s", strings.TrimSuffix(empty[0].Lookup, "."))
	case v.KeptBack[svc.ID].IsValid():
		s.Reason += fmt.Sprintf("; its task runs, and nothing listens at %s yet", v.KeptBack[svc.ID])
		s.Hint = fmt.Sprintf("docker service logs %s says what it does; the label %sport names the port on which it listens", svc.Name, catalog.Prefix)
	case scaledToZero:
		s.Hint = "the service is scaled to 0"
	default:
		s.Hint = fmt.Sprintf("docker service ps %s says whether its tasks run", svc.Name)
	}
}

// sleeps says what becomes of requests for a service that is at 0 because it may be, which is
// no fault. Another of its group may cover for it.
func sleeps(covered bool) string {
	if covered {
		return "it sleeps at 0 replicas, the others of its com.df.serviceGroup get its share"
	}
	return fmt.Sprintf("it sleeps at 0 replicas: a request wakes it, and waits for a task for %d s at most", int(render.HoldFor.Seconds()))
}

// without says what becomes of requests for a backend that has no task and should have one.
func without(b route.Backend, covered bool) string {
	switch {
	case covered:
		return "the others of its com.df.serviceGroup get its share"
	case b.Sleeps:
		return fmt.Sprintf("requests wait for one for %d s and are then answered 503", int(render.HoldFor.Seconds()))
	}
	return "requests are answered 503"
}

// of are the addresses of one backend of a service.
func (v *View) of(id string, backend int) []netip.Addr {
	if backend < len(v.Addresses[id]) {
		return v.Addresses[id][backend]
	}
	return nil
}

// Reached are the addresses of all backends of a service, sorted.
func (v *View) Reached(id string) []netip.Addr {
	out := slices.Concat(v.Addresses[id]...)
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}

// reached are the backends, by name, of which some service has an address.
func (v *View) reached() map[string]bool {
	out := map[string]bool{}
	for _, s := range v.Desired.Services {
		for i, b := range s.Backends {
			out[b.Name] = out[b.Name] || len(v.of(s.ID, i)) > 0
		}
	}
	return out
}

// reporting tells what became of the passes, and those who wait for it.
type reporting struct {
	started time.Time
	log     *slog.Logger
	// static is what was last logged of static services, by ID.
	static map[string]string

	// view is that of the last pass, and passes counts them. Both are read while a pass
	// runs.
	view   atomic.Pointer[View]
	passes atomic.Uint64
	watch  watch
}

// show makes a view the present one.
func (r *reporting) show(v *View) {
	v.Pass = r.passes.Load()
	r.view.Store(v)
	r.watch.tell()
}

// failed shows what should be and why it is not; what was in force before still is.
func (r *reporting) failed(v *View, err error) {
	if v.Err = err; r.view.Load() != nil {
		v.Hash, v.File = r.view.Load().Hash, r.view.Load().File
	}
	r.show(v)
}

// first reports whether this pass is the first that knows more than the static services.
func (r *reporting) first(o origin) bool {
	v := r.view.Load()
	return v == nil || v.Partial && o != fromVariables
}

// logStatic logs, once for each change, the static services that are rejected; those of
// the catalog are told about on the bus.
func (r *reporting) logStatic(d claims.Desired) {
	logged := map[string]string{}
	for _, v := range d.Verdicts {
		if !static.Is(v.Service.ID) || v.Err == nil {
			continue
		}
		logged[v.Service.ID] = v.Err.Error()
		if r.static[v.Service.ID] != v.Err.Error() {
			r.log.Warn("a static service is rejected", "name", v.Service.Name, "id", v.Service.ID, "error", v.Err)
		}
	}
	r.static = logged
}

// logUnknownVariables says once, at the start, which variables of static services mean
// nothing.
func logUnknownVariables(services []static.Service, log *slog.Logger) {
	for _, s := range services {
		for _, variable := range s.Unknown {
			log.Warn("a variable that means nothing", "variable", variable, "name", s.Name)
		}
	}
}

// View returns what became of the last pass, nil before the first. It may be called
// from any goroutine.
func (c *Controller) View() *View { return c.reporting.view.Load() }

// Applied returns what was last applied: its hash, how many services are in force and
// how many rejected. It may be called from any goroutine.
func (c *Controller) Applied() (hash string, desired, rejectedServices int) {
	v := c.View()
	if v == nil || v.Err != nil {
		return "", 0, 0
	}
	return v.Hash, len(v.Desired.Services), rejected(v.Desired)
}

// Healthy returns nil once a complete catalog has been applied, or 20 s have passed
// without a bus to learn one from. What the disk remembers is not enough before that:
// a proxy that is put into service with it would answer by routes of yesterday. It may
// be called from any goroutine.
func (c *Controller) Healthy() error {
	if v := c.View(); v != nil && v.Hash != "" && v.FromBus {
		return nil
	}
	if _, known := c.settling.source.Catalog(); !known && time.Since(c.reporting.started) > busPatience {
		return nil
	}
	return errors.New("no complete catalog has been applied yet")
}

func rejected(d claims.Desired) int {
	n := 0
	for _, v := range d.Verdicts {
		if v.Err != nil && !errors.Is(v.Err, route.ErrNoRoute) {
			n++
		}
	}
	return n
}

// watch tells those who wait that there is another view.
type watch struct {
	mu      sync.Mutex // the pass tells, requests wait
	changed chan struct{}
}

// next returns a channel that is closed when there is another view.
func (w *watch) next() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.changed == nil {
		w.changed = make(chan struct{})
	}
	return w.changed
}

// tell wakes those who wait.
func (w *watch) tell() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.changed != nil {
		close(w.changed)
		w.changed = nil
	}
}

// Await returns when a view is as it should be, or with the context's error. It may be
// called from any goroutine.
func (c *Controller) Await(ctx context.Context, so func(*View) bool) error {
	for {
		next := c.reporting.watch.next()
		if v := c.View(); v != nil && so(v) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-next:
		}
	}
}

// Order asks for a pass, which the caller pokes, and returns its number: a view of
// that number or a later one knows all that was so before the call. With forget
// HAProxy loads the whole anew. It may be called from any goroutine.
func (c *Controller) Order(forget bool) uint64 {
	if forget {
		c.forget.Store(true)
	}
	return c.reporting.passes.Load() + 1
}
