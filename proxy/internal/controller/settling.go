package controller

import (
	"log/slog"
	"maps"
	"net/netip"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/certs"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/claims"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
	"github.com/wagglehq/waggle/proxy/internal/wish/static"
	"github.com/wagglehq/waggle/proxy/judge"
)

// Source is where services come from. The functions answer false while what they know is
// not complete.
type Source struct {
	Catalog func() (catalog.Snapshot, bool)
	// Current says that the listener is heard of, so that the catalog is that of now; nil
	// if nobody can tell.
	Current  func() bool
	Accepted func() (map[string]catalog.Service, bool)
	// Manual are the services that came over HTTP, by ID, as far as they are known;
	// nil if none are taken.
	Manual func() (map[string]catalog.Service, bool)
	// Static are those of variables.
	Static []static.Service
	// Certificates says whether the bus tells of certificates, beside those of labels;
	// nil if nobody else has any.
	Certificates func() (there, known bool)
}

// origin is where what was settled comes from.
type origin int

const (
	// fromNowhere: nothing has been settled yet.
	fromNowhere origin = iota
	// fromVariables: neither bus nor disk has said anything, so these are the static
	// services alone.
	fromVariables
	fromDisk
	fromBus
)

// settling decides which labels are in force.
type settling struct {
	source  Source
	rules   judge.Rules
	settler *claims.Settler
	memory  *memory
	started time.Time
	log     *slog.Logger

	// wishes are what was last settled, and desired and snapshot what came of it.
	wishes   judge.Wishes
	origin   origin
	desired  claims.Desired
	snapshot catalog.Snapshot
	// hasCertificates says that this replica has some, beside those of labels.
	hasCertificates bool
	// unbound are the services that are refused because of their port, by ID.
	unbound map[string]unbound
	// held are the ports below HTTP that HAProxy has.
	held map[int]bool
	// proven are the labels, by service, that are part of a configuration that HAProxy
	// took.
	proven map[string]map[string]string
}

func newSettling(o Options) *settling {
	return &settling{
		source: o.Source, rules: o.Rules, settler: o.Rules.Settler(), memory: &memory{file: o.StateFile}, started: time.Now(), log: o.Log,
	}
}

// judgeBy says by which time certificates are judged, and whether there are any, so that
// ports with TLS are the proxy's own. What HAProxy has by now is no matter of that: on a
// new replica it has none, and what that one admits is admitted by all.
func (s *settling) judgeBy(now time.Time, certificates bool) {
	s.settler.At(now)
	s.settler.Reserve(s.rules.Reserved(certificates || judge.HasCertificate(s.wishes.Snapshot.Services, s.wishes.Accepted)))
}

// settle takes the catalog from the bus, or before there is one from the disk. own says
// whether this replica has certificates. It reports whether anything has been settled.
func (s *settling) settle(now time.Time, own bool) bool {
	snapshot, ok := s.source.Catalog()
	accepted, okAccepted := s.source.Accepted()
	extra, okManual := s.manual()
	there, okThere := s.certificates()
	s.hasCertificates = own
	switch {
	case ok && okAccepted && okManual && okThere:
		s.origin = fromBus
		s.wishes = judge.Wishes{Snapshot: snapshot, Accepted: s.remember(accepted, snapshot, extra), Static: s.source.Static, Manual: extra}
		s.judgeBy(now, own || there)
		s.resettle()
	case s.origin == fromNowhere:
		s.judgeBy(now, own || there)
		s.settleFromDisk(extra)
	}
	return s.origin != fromNowhere
}

func (s *settling) settleFromDisk(extra map[string]catalog.Service) {
	services, err := s.memory.load()
	if err != nil {
		s.log.Warn("the state of an earlier run is of no use", "error", err)
	}
	if len(services) == 0 && (err != nil || len(s.source.Static)+len(extra) == 0) {
		return
	}
	last, swarm := map[string]catalog.Service{}, map[string]catalog.Service{}
	for _, svc := range services {
		last[svc.ID] = svc
		if !catalog.IsManual(svc.ID) {
			swarm[svc.ID] = svc
		}
	}
	if s.origin = fromDisk; len(services) == 0 {
		s.origin = fromVariables
	}
	s.wishes = judge.Wishes{Snapshot: catalog.Snapshot{Services: swarm}, Accepted: last, Static: s.source.Static, Manual: extra}
	s.resettle()
	s.log.Info("without a bus: the services of the last run", "services", len(services))
}

// current says that what was settled is of now.
func (s *settling) current() bool {
	return s.origin == fromBus && s.source.Current != nil && s.source.Current()
}

// resettle settles the same wishes, after something was refused or admitted.
func (s *settling) resettle() { s.desired, s.snapshot = judge.Settle(s.settler, s.wishes) }

// manual returns the services that came over HTTP. It is false while it is worth
// waiting for the bus to tell them; the bus of an older listener never does.
func (s *settling) manual() (map[string]catalog.Service, bool) {
	if s.source.Manual == nil {
		return nil, true
	}
	services, complete := s.source.Manual()
	for id, svc := range services {
		svc.Networks = s.rules.Options.Networks
		services[id] = svc
	}
	return services, complete || time.Since(s.started) > busPatience
}

// certificates says whether the bus tells of certificates. It is false while it is worth
// waiting for that.
func (s *settling) certificates() (there, known bool) {
	if s.source.Certificates == nil {
		return false, true
	}
	there, known = s.source.Certificates()
	return there, known || time.Since(s.started) > busPatience
}

// remember adds to what the bus says was accepted what it has lost with its store:
// labels that are in force here, of services that are still there.
func (s *settling) remember(accepted map[string]catalog.Service, present catalog.Snapshot, extra map[string]catalog.Service) map[string]catalog.Service {
	out, copied := accepted, false
	for id, svc := range s.desired.Accepted {
		_, known := out[id]
		_, ok := present.Services[id]
		_, okExtra := extra[id]
		if (ok || okExtra) && !known {
			if !copied {
				out, copied = maps.Clone(accepted), true
			}
			out[id] = svc
		}
	}
	return out
}

// refuseCertificates rejects the services whose certificates HAProxy refuses, and reports
// whether there was one.
func (s *settling) refuseCertificates(entries []certs.Entry) bool {
	found := false
	for _, e := range entries {
		if e.Source != certs.Label || e.Err == nil {
			continue
		}
		if svc, ok := s.snapshot.ByName(e.Service); ok {
			// The labels in force may be older ones than the present.
			if accepted, ok := s.desired.Accepted[svc.ID]; ok {
				svc.Labels = accepted.Labels
			}
			s.settler.Refuse(svc, catalog.Prefix+"serviceCert: "+e.Reason)
			found = true
		}
	}
	if found {
		s.resettle()
	}
	return found
}

// prove remembers the labels that are part of a configuration that HAProxy took.
func (s *settling) prove() {
	proven := make(map[string]map[string]string, len(s.desired.Accepted))
	for id, svc := range s.desired.Accepted {
		proven[id] = svc.Labels
	}
	s.proven = proven
	s.hold()
}

// store keeps the services in force for a start without a bus.
func (s *settling) store() error {
	if s.origin != fromBus {
		return nil
	}
	services := maps.Clone(swarmOnly(s.desired.Accepted))
	for id, svc := range services {
		svc.Replicas = s.snapshot.Services[id].Replicas
		services[id] = svc
	}
	return s.memory.store(services)
}

// view is what is to be told of what was settled.
func (s *settling) view() *View {
	return &View{
		Desired: s.desired, Snapshot: s.snapshot, FromBus: s.origin == fromBus, Partial: s.origin == fromVariables,
		HasCertificates: s.hasCertificates, Addresses: map[string][][]netip.Addr{}, KeptBack: map[string]netip.AddrPort{}, Refused: map[string][]string{},
	}
}

// swarmOnly leaves the static services out: they are not part of what the bus and
// the disk remember. The result must not be changed.
func swarmOnly(services map[string]catalog.Service) map[string]catalog.Service {
	isStatic := func(id string, _ catalog.Service) bool { return static.Is(id) }
	for id, svc := range services {
		if isStatic(id, svc) {
			out := maps.Clone(services)
			maps.DeleteFunc(out, isStatic)
			return out
		}
	}
	return services
}

// CheckLabels returns what is wrong with the labels of a service that would come over
// HTTP, without a look at the other services. It may be called from any goroutine.
func (c *Controller) CheckLabels(svc catalog.Service) error {
	svc.Networks = c.settling.rules.Options.Networks
	_, err := labels.FromService(svc, c.settling.rules.Options)
	return err
}
