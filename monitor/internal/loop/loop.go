// Package loop is monitor's pass: read the catalog, compute, apply, report.
package loop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wagglehq/waggle/monitor/internal/alert"
	"github.com/wagglehq/waggle/monitor/internal/desired"
	"github.com/wagglehq/waggle/monitor/internal/prometheus"
	"github.com/wagglehq/waggle/monitor/internal/report"
	"github.com/wagglehq/waggle/monitor/internal/scrape"
	"github.com/wagglehq/waggle/monitor/internal/truth"
	"github.com/wagglehq/waggle/pkg/atomicfile"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/reconcile"
)

// Catalog is the swarm, false while it is not known to be complete.
type Catalog interface {
	Snapshot() (catalog.Snapshot, bool)
}

// Accepted keeps the labels that are in force.
type Accepted interface {
	Services() (map[string]catalog.Service, bool)
	Record(context.Context, map[string]catalog.Service) error
}

// Statuses tells others what became of each service.
type Statuses interface {
	Publish(context.Context, []catalog.Status) error
}

// Prometheus is what is made equal to the labels.
type Prometheus interface {
	Check(ctx context.Context, rules []alert.Rule, file []byte) (map[string]string, error)
	Apply(ctx context.Context, w prometheus.Wanted) (differing map[string]string, err error)
	Targets(context.Context) ([]prometheus.ShownTarget, error)
	Rules(context.Context) (map[string]prometheus.Health, error)
	Ask(context.Context, truth.Question) ([]string, error)
}

// Options are what a Loop works with. All are needed but Tasks, Join and Keep.
type Options struct {
	Catalog    Catalog
	Accepted   Accepted
	Statuses   Statuses
	Prometheus Prometheus
	// Tasks is told of each complete catalog.
	Tasks func(catalog.Snapshot) error
	// Join adds to a complete catalog what came otherwise, and Keep what must be done for that
	// to last; false while it is not known.
	Join     func(catalog.Snapshot) (catalog.Snapshot, Asked, bool)
	Keep     func(context.Context) error
	Settings desired.Settings
	// Evaluation is how often Prometheus evaluates rules.
	Evaluation time.Duration
	// AcceptedFile remembers the accepted labels for a bus that lost them.
	AcceptedFile string
	// Again asks for another pass after that time.
	Again func(time.Duration)
	Log   *slog.Logger
}

// Asked is what was asked for over HTTP, by ID.
type Asked struct{ Services, Nodes map[string]catalog.Service }

// View is what the last pass saw and did. It is shared and must not be changed.
type View struct {
	Revision catalog.Revision
	// Services are all of the swarm, by ID.
	Services map[string]catalog.Service
	State    desired.State
	Statuses []catalog.Status
	Asked    Asked
	// Err says why the state is not in force; empty if it is.
	Err string
}

// Loop holds what a pass must know of the passes before it.
type Loop struct {
	o       Options
	started time.Time
	view    atomic.Pointer[View]
	applied atomic.Pointer[applied]

	accepted map[string]catalog.Service
	refused  map[string]string
	tasks    map[string]seen
	stages   stages
	logged   string
	looks    int
	look     *look

	// mu guards news, which is closed when there is a new view.
	mu   sync.Mutex
	news chan struct{}
}

// stages are how long the parts of a pass took: what should be was computed, checked, loaded and
// seen to be there, and what Prometheus shows of it was looked at.
type stages struct{ render, check, load, look time.Duration }

// applied is what was last applied and verified.
type applied struct {
	hash              string
	desired, rejected int
}

// seen are tasks and when the catalog last named them.
type seen struct {
	tasks []catalog.Task
	at    time.Time
}

// New returns a Loop that remembers what its file says was accepted.
func New(o Options) (*Loop, error) {
	l := &Loop{o: o, started: time.Now(), accepted: map[string]catalog.Service{}, refused: map[string]string{}, tasks: map[string]seen{}, look: newLook(o.Prometheus, o.Evaluation), news: make(chan struct{})}
	if l.o.Tasks == nil {
		l.o.Tasks = func(catalog.Snapshot) error { return nil }
	}
	if l.o.Join == nil {
		l.o.Join = func(s catalog.Snapshot) (catalog.Snapshot, Asked, bool) { return s, Asked{}, true }
	}
	if l.o.Keep == nil {
		l.o.Keep = func(context.Context) error { return nil }
	}
	b, err := os.ReadFile(o.AcceptedFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("accepted labels: %w", err)
	default:
		if err := json.Unmarshal(b, &l.accepted); err != nil {
			o.Log.Warn("the file of accepted labels is unreadable and is written anew", "error", err)
			l.accepted = map[string]catalog.Service{}
		}
	}
	return l, nil
}

// View returns what the last pass saw and did, nil before the first one.
func (l *Loop) View() *View { return l.view.Load() }

// Await returns when a view is as it should be.
func (l *Loop) Await(ctx context.Context, so func(*View) bool) error {
	for {
		l.mu.Lock()
		news := l.news
		l.mu.Unlock()
		if v := l.view.Load(); v != nil && so(v) {
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// show makes a view the last one.
func (l *Loop) show(v *View) {
	l.view.Store(v)
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.news)
	l.news = make(chan struct{})
}

// patience is how long after its start a monitor without a first configuration
// counts as healthy all the same: it serves the last good one.
const patience = 20 * time.Second

// Healthy returns nil when the first configuration is applied, or could not be for 20 s.
func (l *Loop) Healthy() error {
	if l.applied.Load() != nil || time.Since(l.started) > patience {
		return nil
	}
	return errors.New("the first configuration is not applied yet")
}

// Applied returns what was last applied and verified: its hash, how many services it
// holds, and how many were rejected.
func (l *Loop) Applied() (hash string, desired, rejected int) {
	if a := l.applied.Load(); a != nil {
		return a.hash, a.desired, a.rejected
	}
	return "", 0, 0
}

// Pass makes Prometheus equal to the catalog. Until the catalog is completely known it
// changes nothing, and until the accepted labels are nothing but Tasks; the error
// is reconcile.ErrNotYet then.
func (l *Loop) Pass(ctx context.Context) error {
	snapshot, ok := l.o.Catalog.Snapshot()
	if !ok {
		return fmt.Errorf("the catalog: %w", reconcile.ErrNotYet)
	}
	snapshot, asked, ok := l.o.Join(l.bridge(snapshot))
	if !ok {
		return fmt.Errorf("what was asked for over HTTP: %w", reconcile.ErrNotYet)
	}
	if err := l.o.Tasks(snapshot); err != nil {
		return fmt.Errorf("alertmanagers: %w", err)
	}
	accepted, ok := l.o.Accepted.Services()
	if !ok {
		return fmt.Errorf("the labels last accepted: %w", reconcile.ErrNotYet)
	}
	start := time.Now()
	l.stages = stages{}
	state, fate, err := l.apply(ctx, desired.Input{
		Snapshot: snapshot, Accepted: l.remember(accepted, snapshot.Services), Refused: l.refused, Settings: l.o.Settings,
	})
	if err != nil {
		return err
	}
	l.forgetRefused(state)
	if err = fate.Err; err == nil {
		looking := time.Now()
		err = l.see(ctx, state, &fate)
		l.stages.look = time.Since(looking)
		err = errors.Join(err, l.keep(ctx, state, time.Since(start)), l.o.Keep(ctx))
	}
	statuses := report.Statuses(state, fate)
	view := &View{Revision: snapshot.Revision, Services: snapshot.Services, State: state, Statuses: statuses, Asked: asked}
	if fate.Err != nil {
		view.Err = fate.Err.Error()
	}
	l.show(view)
	return errors.Join(err, l.o.Statuses.Publish(ctx, statuses))
}

// apply makes Prometheus equal to what the input asks for. Rules that it refuses although
// its checker lets them through are left out like those that the checker refuses.
func (l *Loop) apply(ctx context.Context, in desired.Input) (desired.State, report.Applied, error) {
	for {
		state, unchecked, err := l.settle(ctx, in)
		if err != nil || unchecked != nil {
			return state, report.Applied{Err: unchecked}, err
		}
		loading := time.Now()
		differing, err := l.o.Prometheus.Apply(ctx, prometheus.Wanted{Rules: state.Rules, RulesFile: state.RulesFile, TargetsFile: state.TargetsFile, Pools: state.Pools})
		l.stages.load += time.Since(loading)
		var refused *prometheus.RefusedError
		if errors.As(err, &refused) && l.refuse(refused.Rules) {
			continue
		}
		return state, report.Applied{Err: err, Differing: differing}, nil
	}
}

// see notes what Prometheus shows of what was applied.
func (l *Loop) see(ctx context.Context, state desired.State, fate *report.Applied) error {
	err := l.targets(ctx, state, fate)
	rules, rulesErr := l.look.at(ctx, state, fate.Unseen)
	fate.Failing, fate.Doubts = rules.failing, rules.doubts
	if rules.again > 0 {
		l.o.Again(rules.again)
	}
	return errors.Join(err, rulesErr)
}

// bridged is how long tasks are believed in that the catalog has ceased to name
// although the service should have some. A listener that begins anew may publish a
// service before its tasks.
const bridged = 30 * time.Second

// bridge fills in tasks that are only not told yet.
func (l *Loop) bridge(s catalog.Snapshot) catalog.Snapshot {
	told := s.Tasks
	s.Tasks = map[string][]catalog.Task{}
	now := time.Now()
	for id, svc := range s.Services {
		if tasks, ok := told[id]; ok {
			l.tasks[id], s.Tasks[id] = seen{tasks, now}, tasks
			continue
		}
		old, ok := l.tasks[id]
		if ok && now.Sub(old.at) < bridged && (svc.Replicas > 0 || svc.Mode == catalog.Global) {
			s.Tasks[id] = old.tasks
		}
	}
	maps.DeleteFunc(l.tasks, func(id string, old seen) bool {
		_, ok := s.Services[id]
		return !ok || now.Sub(old.at) >= bridged
	})
	return s
}

// remember adds to what the bus says was accepted what it may have lost.
func (l *Loop) remember(accepted, present map[string]catalog.Service) map[string]catalog.Service {
	out := maps.Clone(accepted)
	for id, svc := range l.accepted {
		_, known := out[id]
		if _, ok := present[id]; ok && !known {
			out[id] = svc
		}
	}
	return out
}

// settle computes the desired state that Prometheus' checker lets through. unchecked is why the
// checker could not be asked, such as a full disk.
func (l *Loop) settle(ctx context.Context, in desired.Input) (state desired.State, unchecked, err error) {
	for {
		start := time.Now()
		state, err := desired.From(in)
		l.stages.render += time.Since(start)
		if err != nil {
			return state, nil, err
		}
		start = time.Now()
		refused, err := l.o.Prometheus.Check(ctx, state.Rules, state.RulesFile)
		l.stages.check += time.Since(start)
		if err != nil {
			return state, fmt.Errorf("check: %w", err), nil
		}
		if !l.refuse(refused) {
			return state, nil, nil
		}
	}
}

// refuse remembers refused rules by their key, and reports whether there are any that were
// not refused before.
func (l *Loop) refuse(rules map[string]string) bool {
	before := len(l.refused)
	maps.Copy(l.refused, rules)
	return len(l.refused) > before
}

// forgetRefused drops what was said of rules that no label asks for any more.
func (l *Loop) forgetRefused(s desired.State) {
	maps.DeleteFunc(l.refused, func(key, _ string) bool { return !s.Refused[key] })
}

// targets notes the services whose targets Prometheus does not show as they should be, and
// why it takes nothing of some. If there are any it asks for another look soon, and then for
// ever rarer ones.
func (l *Loop) targets(ctx context.Context, s desired.State, fate *report.Applied) error {
	shown, err := l.o.Prometheus.Targets(ctx)
	if err != nil {
		return err
	}
	byAddress := map[string][]prometheus.ShownTarget{}
	for _, t := range shown {
		byAddress[t.Labels["instance"]] = append(byAddress[t.Labels["instance"]], t)
	}
	fate.Unseen, fate.Limited, fate.Locked = map[string]bool{}, map[string]string{}, map[string]string{}
	waiting := false
	for _, svc := range s.Services {
		for _, t := range svc.Targets {
			if !prometheus.Shows(byAddress[t.Address()], t) {
				fate.Unseen[svc.ID] = true
			}
			for _, got := range byAddress[t.Address()] {
				waiting = waiting || got.Health == prometheus.Unscraped
				if got.Labels[scrape.ServiceLabel] != svc.Name {
					continue
				}
				why := t.Address() + ": " + got.LastError
				if strings.Contains(got.LastError, overLimit) {
					fate.Limited[svc.ID] = why
				}
				if t.Labels[scrape.SecretMeta] != "" && locked(got.LastError) {
					fate.Locked[svc.ID] = why
				}
			}
		}
	}
	if v := l.view.Load(); v == nil || v.State.Hash != s.Hash || len(fate.Unseen) == 0 && !waiting {
		l.looks = 0
	}
	if len(fate.Unseen) > 0 || waiting {
		l.o.Again(min(time.Second<<l.looks, 30*time.Second))
		l.looks = min(l.looks+1, 5)
	}
	if len(fate.Limited) > 0 || len(fate.Locked) > 0 {
		l.o.Again(ailing)
	}
	return nil
}

// locked reports whether Prometheus means that it has no secret to send, or that its secret
// is not taken.
func locked(lastError string) bool {
	for _, words := range []string{"unable to read", "HTTP status 401", "HTTP status 403"} {
		if strings.Contains(lastError, words) {
			return true
		}
	}
	return false
}

// overLimit is in what Prometheus says of an answer that is more than it may be.
const overLimit = "limit exceeded"

// keep remembers what is in force now.
func (l *Loop) keep(ctx context.Context, s desired.State, took time.Duration) error {
	rejected := report.Rejected(s)
	l.applied.Store(&applied{s.Hash, len(s.Services), rejected})
	l.accepted = s.Accepted
	l.log(s, rejected, took)
	value, err := catalog.Encode(s.Accepted)
	if err != nil {
		return err
	}
	if _, err := atomicfile.Write(l.o.AcceptedFile, value, 0o600); err != nil {
		return err
	}
	return l.o.Accepted.Record(ctx, s.Accepted)
}

// log tells of each change once.
func (l *Loop) log(s desired.State, rejected int, took time.Duration) {
	faults := ""
	for _, svc := range s.Services {
		for _, f := range svc.Faults {
			faults += svc.Name + ": " + f.Item + ": " + f.Err.Error() + "\n"
		}
	}
	if s.Hash+faults == l.logged {
		return
	}
	l.logged = s.Hash + faults
	l.o.Log.Info("applied", "hash", s.Hash[:12], "services", len(s.Services), "targets", len(s.Targets), "rules", len(s.Rules), "rejected", rejected, "took", took,
		"render", l.stages.render, "check", l.stages.check, "load", l.stages.load, "look", l.stages.look)
	for _, svc := range s.Services {
		for _, f := range svc.Faults {
			l.o.Log.Warn("rejected", "service_name", svc.Name, "item", f.Item, "kept", f.Kept, "error", f.Err)
		}
	}
}
