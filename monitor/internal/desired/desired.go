// Package desired computes from the catalog what Prometheus should do: the same
// catalog, accepted labels and refusals give the same bytes. It is pure.
//
// A service's labels fall into items: its scrape jobs, its load, its limit of results,
// each of its alerts and of its recording rules. An item at fault is left out by name and its last accepted form stays in force;
// every other item, of this service and of all others, is not concerned.
package desired

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/wagglehq/waggle/monitor/internal/alert"
	"github.com/wagglehq/waggle/monitor/internal/scrape"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/pkg/scaling"
)

// Input is all that the desired state depends on.
type Input struct {
	Snapshot catalog.Snapshot
	// Accepted are the services with the labels that were last in force, by ID.
	Accepted map[string]catalog.Service
	// Refused says, by alert.Rule.Key, why Prometheus' own checker refuses a
	// rule that our reading let through.
	Refused  map[string]string
	Settings Settings
	// Memory is nil, or that of an earlier time with the same settings, which makes it quick and
	// does not show in the result.
	Memory Memory
}

// Memory is what the labels of services asked for when they were read, by ID. Those of the
// services that are no longer there are forgotten.
type Memory map[string]remembered

type remembered struct {
	of       catalog.Service
	replicas uint64
	items    []item
	warnings []string
}

// items is the function of that name for the present labels of a service.
func (m Memory) items(svc catalog.Service, replicas uint64, settings Settings) ([]item, []string) {
	if m == nil {
		return items(svc, replicas, settings)
	}
	r, ok := m[svc.ID]
	if !ok || r.replicas != replicas || !reflect.DeepEqual(r.of, svc) {
		r = remembered{of: svc, replicas: replicas}
		r.items, r.warnings = items(svc, replicas, settings)
		m[svc.ID] = r
	}
	return r.items, slices.Clone(r.warnings)
}

// forget forgets services that are not there.
func (m Memory) forget(present map[string]catalog.Service) {
	maps.DeleteFunc(m, func(id string, _ remembered) bool { _, ok := present[id]; return !ok })
}

// Settings are what the operator decides.
type Settings struct {
	scrape.Settings
	// AcrossStacks lets alerts scale services of other stacks.
	AcrossStacks bool
	// AlertLimit is how many alerts a rule may have at once where labels say nothing, and
	// MaxAlerts the most that a label may say; 0 is no limit.
	AlertLimit, MaxAlerts int
	// Pack has the shortcuts; nil means Waggle's own.
	Pack *alert.Pack
	// Language is that of Prometheus.
	Language alert.Language
	// Evaluation is how often rules are evaluated; 0 if that is not known.
	Evaluation time.Duration
	// OwnStack is Waggle's own stack, whose jobs go by the names of its services; empty
	// if they are not scraped.
	OwnStack string
}

// proxies are those of Waggle's own stack.
func (s Settings) proxies() alert.Proxies {
	if s.OwnStack == "" {
		return alert.Proxies{}
	}
	return alert.Proxies{Job: scrape.OwnJob(s.OwnStack, "proxy"), Interval: s.Interval}
}

// State is what Prometheus should do.
type State struct {
	// Services are those that are opted in and ask for something, by name.
	Services []Service
	// Accepted are the services with the labels now in force, by ID.
	Accepted map[string]catalog.Service
	Rules    []alert.Rule
	Targets  []scrape.Target
	// RulesFile and TargetsFile are what Prometheus reads of rules, and of the targets that are
	// in none of Pools.
	RulesFile, TargetsFile []byte
	Pools                  []scrape.Pooled
	// Hash is that of all files, in hexadecimal.
	Hash string
	// AlertLimit is that of the settings.
	AlertLimit int
	// Refused are the keys of Input.Refused that are in use.
	Refused map[string]bool
}

// Service is what became of one service: who it is, what is in force of it and what is wrong,
// as its status tells it, which is more than a dozen fields.
type Service struct {
	ID     string
	Name   string
	Called string
	// Revision is that of its entry in the catalog.
	Revision catalog.Revision
	// Wanted is how many tasks there should be.
	Wanted uint64
	// Unlisted is how many tasks there are that the catalog does not list.
	Unlisted int
	// Jobs are those in force, in the order of their indexes.
	Jobs    []*scrape.Job
	Targets []scrape.Target
	Rules   []alert.Rule
	// Limit is how many results each rule may have, if its labels say; 0 if they do not.
	Limit  int
	Faults []Fault
	// Warnings are labels that have no effect, and what can be seen of a rule in force.
	Warnings []string
	// Fresh is how many items of the present labels are in force.
	Fresh int
}

// Fault is why one item is not in force as the present labels have it.
type Fault struct {
	// Item is "scrape", "scrape 3", "alert", "alert 2", "record", "record 4", "limit" or "load", or "name" or
	// "labels" for all that the service asks for.
	Item string
	Err  error
	// Kept reports that the item's last accepted form stays in force.
	Kept bool
}

// From computes the desired state.
func From(in Input) (State, error) {
	s := Settle(in)
	var err error
	if s.RulesFile, err = alert.RenderLimited(s.Rules, in.Settings.AlertLimit); err != nil {
		return State{}, err
	}
	plain, pools, err := scrape.Pools(s.Targets)
	if err != nil {
		return State{}, err
	}
	if s.TargetsFile, err = scrape.Render(plain); err != nil {
		return State{}, err
	}
	files := slices.Concat(s.RulesFile, []byte{0}, s.TargetsFile)
	for _, p := range pools {
		files = slices.Concat(files, []byte{0}, []byte(p.ID()), p.File)
	}
	sum := sha256.Sum256(files)
	s.Pools, s.Hash = pools, hex.EncodeToString(sum[:])
	return s, nil
}

// Settle computes the desired state without its files and their hash, which whoever judges
// services does not need and which take most of the time.
func Settle(in Input) State {
	s := State{Accepted: map[string]catalog.Service{}, Refused: map[string]bool{}, AlertLimit: in.Settings.AlertLimit}
	claims := claims{
		called: map[string]catalog.Service{}, rules: map[string]alert.Rule{}, snapshot: in.Snapshot, settings: in.Settings,
		refused: in.Refused, used: s.Refused, memory: in.Memory,
	}
	in.Memory.forget(in.Snapshot.Services)
	for _, svc := range in.Snapshot.Sorted() {
		if !svc.OptedIn() || svc.Fits() == nil && !Asks(svc.Labels) {
			continue
		}
		tasks := in.Snapshot.Tasks[svc.ID]
		one, labels := settle(svc, in.Accepted[svc.ID], wanted(svc, in.Snapshot), in.Settings, claims)
		one.Revision, one.Unlisted = in.Snapshot.RevisionOf(svc.ID), in.Snapshot.TaskCount(svc.ID)-len(tasks)
		for _, job := range one.Jobs {
			one.Targets = append(one.Targets, scrape.Targets(*job, tasks, in.Snapshot.Nodes)...)
		}
		s.Services = append(s.Services, one)
		if len(labels) > 0 {
			s.Accepted[svc.ID] = catalog.Service{
				ID: svc.ID, Name: svc.Name, Stack: svc.Stack, Mode: svc.Mode, CreatedAt: svc.CreatedAt, Labels: labels,
			}
		}
	}
	slices.SortFunc(s.Services, func(a, b Service) int { return strings.Compare(a.Name, b.Name) })
	for _, one := range s.Services {
		s.Rules = append(s.Rules, one.Rules...)
		s.Targets = append(s.Targets, one.Targets...)
	}
	return s
}

// known are the names of the labels that monitor reads, of which those of a load are the
// scaler's as well.
var known = func() map[string]bool { //nolint:gochecknoglobals // a constant that Go cannot have
	out := map[string]bool{}
	for _, spec := range slices.Concat(scrape.Labels(), alert.Labels(), scaling.Labels()) {
		out[spec.Name] = true
	}
	return out
}()

// Asks reports whether any label is one of monitor's.
func Asks(labels map[string]string) bool {
	for full := range labels {
		name, ok := strings.CutPrefix(full, catalog.Prefix)
		if base, _ := label.SplitIndex(name); ok && known[base] {
			return true
		}
	}
	return false
}

// wanted is how many tasks a service should have. A global service should have one on each
// node for which Swarm has made one, also while it waits to be started again: what is
// wanted must not follow an outage. A job should have those that are not done. Where not
// all are listed, there should be as many as there are.
func wanted(svc catalog.Service, s catalog.Snapshot) uint64 {
	if svc.Mode == catalog.Replicated || svc.Mode == "" {
		return svc.Replicas
	}
	if cut, ok := s.Cut[svc.ID]; ok {
		return uint64(max(cut, 0))
	}
	places := map[string]bool{}
	for _, t := range s.Tasks[svc.ID] {
		switch {
		case t.Desired == "shutdown" || t.Desired == "remove":
		case svc.Mode == catalog.Global:
			places[t.Node] = true
		case !done(t):
			places[t.ID] = true
		}
	}
	return uint64(len(places))
}

// done reports whether a task has ended, well or not.
func done(t catalog.Task) bool {
	return slices.Contains([]string{"complete", "failed", "rejected", "shutdown", "orphaned", "remove"}, t.State)
}

// claims are what no two services may have at once. Services claim in the order of their age.
type claims struct {
	called map[string]catalog.Service
	rules  map[string]alert.Rule
	// refused are the rules, by key, that Prometheus or its checker refuses, and used those
	// that were asked for.
	refused map[string]string
	used    map[string]bool
	// snapshot says whose the service is that an alert names.
	snapshot catalog.Snapshot
	settings Settings
	memory   Memory
}

// scales reports whether an alert may ask for what it asks: one that scales names, in its
// label service, its own service, one of the same stack, or none that there is. What
// a template makes of it is not known before the alert fires.
func (c claims) scales(r alert.Rule) bool {
	named := r.Names()
	if !r.Scales() || named == r.Service || c.settings.AcrossStacks {
		return true
	}
	own := c.snapshot.Services[r.ServiceID].Stack
	for id, svc := range c.snapshot.Services {
		if (svc.Name == named || id == named || svc.CalledName() == named) && id != r.ServiceID && (own == "" || svc.Stack != own) {
			return false
		}
	}
	return !strings.Contains(named, "{{")
}

// call claims the name that a service is called.
func (c claims) call(svc catalog.Service) error {
	name := svc.CalledName()
	if svc.Stack != c.settings.OwnStack && slices.Contains(scrape.OwnNames(c.settings.OwnStack), name) {
		return label.Faults{{
			Label: catalog.Prefix + "shortName", Text: svc.Labels[catalog.Prefix+"shortName"],
			Want: fmt.Sprintf("another name: %s is a job of Waggle's own", name),
		}}
	}
	other, taken := c.called[name]
	if !taken {
		c.called[name] = svc
		return nil
	}
	full := catalog.Prefix + "shortName"
	return label.Faults{{
		Label: full, Text: svc.Labels[full],
		Want: fmt.Sprintf("another name: the older service %s is called %s too, and jobs and alerts go by that name", other.Name, name),
	}}
}

// rule claims a rule's name, unless Prometheus' checker refuses the rule.
func (c claims) rule(r alert.Rule) error {
	fault := func(full, text, want string) error {
		return label.Faults{{Label: full, Text: label.Show(text, false), Want: want}}
	}
	if len(c.refused) > 0 {
		if why, ok := c.refused[r.Key()]; ok {
			c.used[r.Key()] = true
			return fault(r.Source(), r.Expr, "a rule that Prometheus takes: "+why)
		}
	}
	if other, taken := c.rules[r.ID()]; taken {
		owner := "the older service " + other.Service + " has"
		if other.ServiceID == r.ServiceID {
			owner = "another index of this service makes"
		}
		return fault(r.NamedBy(), r.Name, "another name: "+owner+" the rule "+other.Name)
	}
	if !c.scales(r) {
		return fault(alert.LabelsLabel(r.Index), "service="+r.Labels["service"], "no service but this one, or one of its stack: the scaler scales what an alert names; monitor's -scale-across-stacks allows others")
	}
	c.rules[r.ID()] = r
	return nil
}

// item is one thing that labels ask for.
type item struct {
	name string
	// labels are the texts of those that describe it, by full name.
	labels map[string]string
	job    *scrape.Job
	rule   alert.Rule
	// limit is how many results each rule of the service may have; such an item has nothing else.
	limit int
	err   error
}

// items reads what a service's labels ask for.
func items(svc catalog.Service, replicas uint64, settings Settings) ([]item, []string) {
	var out []item
	warnings := scrape.Idle(svc.Labels)
	about := alert.About{Replicas: replicas, Listener: scrape.ListenerJob(settings.OwnStack), Proxies: settings.proxies(), Pack: settings.Pack, Language: settings.Language, Every: settings.Interval, Evaluation: settings.Evaluation}
	for _, asked := range scrape.FromService(svc, settings.Settings) {
		warnings = append(warnings, asked.Warnings...)
		if asked.Err == nil {
			// Alerts hold for all targets, so the rarest scrape counts.
			about.Interval = max(about.Interval, asked.Job.Interval)
		}
		out = append(out, item{name: numbered("scrape", asked.Job.Index), labels: asked.Labels, job: &asked.Job, err: asked.Err})
	}
	alerts, idle := alert.FromService(svc, about)
	for _, a := range alerts {
		warnings = append(warnings, a.Warnings...)
		out = append(out, item{name: numbered("alert", a.Index), labels: only(svc.Labels, alert.LabelNames(a.Index)), rule: a.Rule, err: a.Err})
	}
	records, more := alert.Records(svc, about)
	idle = append(idle, more...)
	for _, a := range records {
		warnings = append(warnings, a.Warnings...)
		out = append(out, item{name: numbered("record", a.Index), labels: only(svc.Labels, alert.RecordLabelNames(a.Index)), rule: a.Rule, err: a.Err})
	}
	if limit, ok, err := alert.Limit(svc, settings.MaxAlerts); ok {
		out = append(out, item{name: "limit", labels: only(svc.Labels, []string{alert.LimitLabel}), limit: max(limit, 1), err: err})
	}
	if load, ok := alert.Wanted(svc, about); ok {
		warnings = append(warnings, load.Warnings...)
		labels := only(svc.Labels, []string{catalog.Prefix + scaling.Metric, catalog.Prefix + scaling.Target})
		out = append(out, item{name: "load", labels: labels, rule: load.Rule, err: load.Err})
	}
	return out, append(warnings, idle...)
}

// Check returns what is wrong with the labels of a service by themselves.
func Check(svc catalog.Service, settings Settings) error {
	var all label.Faults
	its, _ := items(svc, svc.Replicas, settings)
	for _, it := range its {
		var faults label.Faults
		if it.err != nil && !errors.As(it.err, &faults) {
			return it.err
		}
		all = append(all, faults...)
	}
	if len(all) == 0 {
		return nil
	}
	return all
}

// only are the labels of these names.
func only(labels map[string]string, names []string) map[string]string {
	out := map[string]string{}
	for _, full := range names {
		if text, ok := labels[full]; ok {
			out[full] = text
		}
	}
	return out
}

func numbered(name string, index int) string {
	if index == 0 {
		return name
	}
	return fmt.Sprintf("%s %d", name, index)
}

// settle decides what of one service is in force, and returns the labels that say so.
func settle(svc, accepted catalog.Service, replicas uint64, settings Settings, c claims) (Service, map[string]string) {
	out := Service{ID: svc.ID, Name: svc.Name, Called: svc.CalledName(), Wanted: replicas}
	labels := map[string]string{}
	formerly := svc
	formerly.Labels = accepted.Labels

	if err := svc.Fits(); err != nil {
		formerly.Oversize = 0
		return keep(out, formerly, err, replicas, settings, c)
	}
	present, warnings := c.memory.items(svc, replicas, settings)
	out.Warnings = warnings
	taken := c.call(svc)
	if taken != nil {
		// The name itself is taken, so nothing of the present labels can be used.
		kept := accepted.Labels != nil && formerly.CalledName() != svc.CalledName() && c.call(formerly) == nil
		out.Faults = append(out.Faults, Fault{Item: "name", Err: taken, Kept: kept})
		if !kept {
			return out, nil
		}
		svc, out.Called = formerly, formerly.CalledName()
		present, _ = items(svc, replicas, settings)
	} else {
		formerly.Labels = maps.Clone(accepted.Labels)
		rename(formerly.Labels, svc.Labels)
	}
	rename(labels, svc.Labels)
	use := func(it item) {
		out.add(it)
		maps.Copy(labels, it.labels)
	}
	admit := func(it item) error {
		if it.err != nil || it.job != nil || it.limit > 0 {
			return it.err
		}
		return c.rule(it.rule)
	}
	var bad []item
	for _, it := range present {
		if it.err = admit(it); it.err != nil {
			bad = append(bad, it)
			continue
		}
		use(it)
		if taken == nil && it.limit == 0 {
			out.Fresh++
		}
	}
	var old []item
	if len(bad) > 0 {
		old, _ = items(formerly, replicas, settings)
	}
	for _, it := range bad {
		fault := Fault{Item: it.name, Err: it.err}
		if i := slices.IndexFunc(old, func(o item) bool { return o.name == it.name }); i >= 0 && admit(old[i]) == nil {
			fault.Kept = true
			use(old[i])
		}
		out.Faults = append(out.Faults, fault)
	}
	if out.Limit > 0 && len(out.Rules) == 0 {
		out.Warnings = append(out.Warnings, alert.LimitLabel+" has no effect without a rule")
	}
	if len(out.Jobs) == 0 && len(out.Rules) == 0 {
		return out, nil
	}
	out.bound()
	return out, labels
}

// add puts what an item asks for in force.
func (s *Service) add(it item) {
	if it.limit > 0 {
		s.Limit = it.limit
		return
	}
	if it.job == nil {
		s.Rules = append(s.Rules, it.rule)
		return
	}
	s.Jobs = append(s.Jobs, it.job)
	slices.SortFunc(s.Jobs, func(a, b *scrape.Job) int { return a.Index - b.Index })
}

// bound tells the rules their limit.
func (s *Service) bound() {
	for i := range s.Rules {
		s.Rules[i].Limit = s.Limit
	}
}

// keep leaves all that a service asked for as it was, because of err.
func keep(out Service, formerly catalog.Service, err error, replicas uint64, settings Settings, c claims) (Service, map[string]string) {
	fault := Fault{Item: "labels", Err: err}
	if formerly.Labels != nil && c.call(formerly) == nil {
		out.Called = formerly.CalledName()
		old, _ := items(formerly, replicas, settings)
		for _, it := range old {
			if it.err != nil || it.job == nil && it.limit == 0 && c.rule(it.rule) != nil {
				continue
			}
			fault.Kept = true
			out.add(it)
		}
		out.bound()
	}
	out.Faults = append(out.Faults, fault)
	return out, formerly.Labels
}

// rename gives labels the name that others give the service.
func rename(labels, from map[string]string) {
	full := catalog.Prefix + "shortName"
	if labels == nil {
		return
	}
	delete(labels, full)
	if text, ok := from[full]; ok {
		labels[full] = text
	}
}
