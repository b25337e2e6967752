// Package claims settles which service gets what it claims, and which keeps what it had.
// It is pure: the same catalog gives the same result on every replica.
package claims

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/wish/budget"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/owners"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/table"
)

// Verdict is what became of the labels of one service.
type Verdict struct {
	Service catalog.Service
	// Err is why the present labels are not in force; nil if they are.
	Err error
	// KeepsLast says that the labels last accepted are in force instead.
	KeepsLast bool
	// Shadowed are claims that no request can reach, each with the service that takes
	// its requests.
	Shadowed []string
	// Overtaken says which other services come first with some of its requests, although
	// neither their host nor their path is more specific.
	Overtaken []string
}

// Desired is what the proxy should be.
type Desired struct {
	// Services are those with routes in force, sorted by name.
	Services []route.Service
	// Tables are the look-ups made of their routes.
	Tables route.Tables
	// Verdicts are one for each service that opted in, sorted by name.
	Verdicts []Verdict
	// Accepted are the services, by ID, with the labels in force.
	Accepted map[string]catalog.Service
}

// Settle decides which labels of which service are in force. accepted are the
// label sets that were last accepted, by service ID.
//
// A service whose labels have not changed since they were accepted keeps its
// routes. The others claim theirs after that, the oldest first; whoever claims
// what is taken is rejected and keeps what it had.
func Settle(services []catalog.Service, accepted map[string]catalog.Service, o labels.Options) Desired {
	return NewSettler(o).Settle(services, accepted)
}

// Settler is Settle with a memory of labels that were read before, which makes it
// quick and does not show in the result. It belongs to one goroutine.
type Settler struct {
	reader  *labels.Reader
	read    map[string]reading
	refused refusals
	now     time.Time
	// reserved are ports that no service gets anew.
	reserved []int
	// factor multiplies what all services together may ask for.
	factor int
	// file is nil without owners, secure are ports of the proxy that no file gives away.
	file   *owners.Owners
	secure []int
	// last is nil before the first time.
	last *settled
	// ledger is empty but while something is settled. With a thousand services it is a
	// tenth of what a pass would leave to be collected.
	ledger *route.Ledger
}

// reading is what the labels of a service gave.
type reading struct {
	of  catalog.Service
	out route.Service
	err error
}

// NewSettler returns a Settler that has read nothing yet.
func NewSettler(o labels.Options) *Settler {
	return &Settler{reader: labels.NewReader(o), read: map[string]reading{}, refused: refusals{}, factor: o.Budget}
}

// Own has hosts, paths and ports belong to owners; secure are the proxy's own ports with
// TLS. Without a file everybody may have everything.
func (m *Settler) Own(file *owners.Owners, secure []int) { m.file, m.secure = file, secure }

// fromService is FromService, remembered by ID.
func (m *Settler) fromService(svc catalog.Service) (route.Service, error) {
	if err := cmp.Or(svc.Whole(), m.refused.of(svc)); err != nil {
		return route.Service{}, err
	}
	if r, ok := m.read[svc.ID]; ok && r.of.Name == svc.Name && r.of.CreatedAt.Equal(svc.CreatedAt) &&
		catalog.SameLabels(r.of.Labels, svc.Labels) && slices.Equal(r.of.Networks, svc.Networks) {
		return r.out, r.err
	}
	out, err := m.reader.Service(svc)
	m.read[svc.ID] = reading{svc, out, err}
	return out, err
}

// Wants is what a service's labels ask for, remembered from the last time that the service was settled.
func (m *Settler) Wants(svc catalog.Service) (route.Service, error) { return m.fromService(svc) }

// Settle is the function of that name. What it returns is shared with later calls and
// must not be changed.
func (m *Settler) Settle(services []catalog.Service, accepted map[string]catalog.Service) Desired {
	if d, ok := m.again(services, accepted); ok {
		return d
	}
	ordered := slices.Clone(services)
	slices.SortFunc(ordered, catalog.Older)
	d := m.settleWithin(ordered, accepted)
	m.keep(ordered, accepted, d)
	return d
}

// settle is Settle for services in the order of their age, but for those that are refused
// because the tables have no room for them. If they have none for all the others, crowd is
// the service to be refused as well, and the rest of no use.
func (m *Settler) settle(ordered []catalog.Service, accepted map[string]catalog.Service, crowded refusals) (d Desired, crowd *crowd) {
	n := len(ordered)
	read := m.fromService
	if len(crowded) > 0 {
		read = func(svc catalog.Service) (route.Service, error) {
			if err := crowded.of(svc); err != nil {
				return route.Service{}, err
			}
			return m.fromService(svc)
		}
	}
	if m.ledger == nil {
		m.ledger = route.NewLedger(n)
	}
	defer m.ledger.Clear()
	s := settler{
		read: read, account: budget.NewAccount(m.factor), ledger: m.ledger, ground: newGround(m.file, m.secure), now: m.now, reserved: m.reserved,
		d: Desired{Services: make([]route.Service, 0, n), Verdicts: make([]Verdict, 0, n), Accepted: make(map[string]catalog.Service, n)},
	}
	s.ledger.Secure = m.reserved
	var changed []catalog.Service
	for _, svc := range ordered {
		if !svc.OptedIn() {
			continue
		}
		if last, ok := accepted[svc.ID]; ok && catalog.SameLabels(last.Labels, svc.Labels) {
			if s.admit(svc, last.Labels) == nil {
				continue
			}
		}
		changed = append(changed, svc)
	}
	for _, svc := range changed {
		err := s.expired(svc)
		if err == nil {
			err = s.free(svc, accepted[svc.ID])
		}
		if err == nil {
			err = s.admit(svc, accepted[svc.ID].Labels)
		}
		if err == nil {
			continue
		}
		v := Verdict{Service: svc, Err: err}
		if last, ok := accepted[svc.ID]; ok && !errors.Is(err, route.ErrNoRoute) {
			v.KeepsLast = s.claimAll(labelled(svc, last.Labels), last.Labels) == nil
		}
		s.d.Verdicts = append(s.d.Verdicts, v)
	}
	m.forget(ordered)
	byName(s.d.Services, func(s *route.Service) string { return s.Name })
	routes := make([]*route.Route, 0, n)
	for _, svc := range s.d.Services {
		for i := range svc.Routes {
			routes = append(routes, &svc.Routes[i])
		}
	}
	walls := s.ground.walls()
	room := budget.Times(mostEntries, max(1, m.factor))
	tables, passed, work := table.CompileWithin(routes, walls, room)
	if work != nil {
		return Desired{}, s.crowd(work, accepted, room)
	}
	s.d.Tables = tables
	s.d.Tables.Redirects = table.RedirectTable(s.d.Services)
	s.d.Tables.Listeners = table.Listeners(s.d.Services, walls)
	passed.Redirected(s.d.Services, routes)
	mergeGroups(s.d.Services)
	for i, v := range s.d.Verdicts {
		s.d.Verdicts[i].Shadowed, s.d.Verdicts[i].Overtaken = passed.Shadowed[v.Service.ID], passed.Overtaken(v.Service.ID)
	}
	byName(s.d.Verdicts, func(v *Verdict) string { return v.Service.Name })
	return s.d, nil
}

// labelled is a service with other labels, which are whole. What else it is, such as its
// networks, holds as it is now.
func labelled(svc catalog.Service, labels map[string]string) catalog.Service {
	svc.Labels, svc.Withheld, svc.Oversize = labels, nil, 0
	return svc
}

// accepted is what of a service its routes are made of. The rest changes with every
// deploy, and is no matter of acceptance.
func accepted(svc catalog.Service) catalog.Service {
	return catalog.Service{
		ID: svc.ID, Name: svc.Name, Stack: svc.Stack, Labels: svc.Labels, ContainerLabels: svc.ContainerLabels,
		Mode: svc.Mode, Networks: svc.Networks, EndpointMode: svc.EndpointMode, CreatedAt: svc.CreatedAt,
	}
}

// forget drops what is remembered of services that are gone.
func (m *Settler) forget(services []catalog.Service) {
	if len(m.read) <= len(services) && len(m.refused) == 0 {
		return // whoever came in place of one that went has been read by now
	}
	present := make(map[string]bool, len(services))
	for _, svc := range services {
		present[svc.ID] = true
	}
	maps.DeleteFunc(m.read, func(id string, _ reading) bool { return !present[id] })
	maps.DeleteFunc(m.refused, func(id string, _ []refusal) bool { return !present[id] })
}

// byName brings the list into the order of names. The elements are large, so it is not
// they that change places while the order is found.
func byName[T any](list []T, name func(*T) string) {
	type key struct {
		name  string
		index int
	}
	keys := make([]key, len(list))
	for i := range list {
		keys[i] = key{name(&list[i]), i}
	}
	slices.SortFunc(keys, func(a, b key) int { return cmp.Or(strings.Compare(a.name, b.name), cmp.Compare(a.index, b.index)) })
	// Each circle of places gives every element but one to the next.
	for i := range keys {
		if keys[i].index == i {
			continue
		}
		first := list[i]
		for at := i; ; {
			from := keys[at].index
			keys[at].index = at
			if from == i {
				list[at] = first
				break
			}
			list[at] = list[from]
			at = from
		}
	}
}

type settler struct {
	read   func(catalog.Service) (route.Service, error)
	ledger *route.Ledger
	ground *ground
	now    time.Time
	// reserved are ports that no service gets that has not had them.
	reserved []int
	account  budget.Account
	d        Desired
}

// admit puts the present labels of a service in force and says so.
func (s *settler) admit(svc catalog.Service, last map[string]string) error {
	if err := s.claimAll(svc, last); err != nil {
		return err
	}
	s.d.Verdicts = append(s.d.Verdicts, Verdict{Service: svc})
	return nil
}

// claimAll takes all claims of a service or none. last are its labels last accepted.
func (s *settler) claimAll(svc catalog.Service, last map[string]string) error {
	wants, err := s.read(svc)
	if err != nil {
		return err
	}
	if err := s.ground.check(svc, &wants, s.had(svc, last)); err != nil {
		return err
	}
	if c := s.ledger.Conflict(svc.Name, &wants); c != nil {
		return c
	}
	if err := s.account.Refuses(wants.Bill); err != nil {
		return err
	}
	s.account.Take(wants.Bill)
	s.ledger.Take(svc.Name, &wants)
	s.ground.take(svc, &wants)
	s.d.Services = append(s.d.Services, wants)
	s.d.Accepted[svc.ID] = accepted(svc)
	return nil
}

// had is what a service was accepted with, nil if that is nothing or does not matter.
func (s *settler) had(svc catalog.Service, last map[string]string) *route.Service {
	if s.ground == nil || last == nil {
		return nil
	}
	had, err := s.read(labelled(svc, last))
	if err != nil {
		return nil
	}
	return &had
}
