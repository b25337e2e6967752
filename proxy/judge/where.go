package judge

import (
	"errors"
	"slices"
	"strings"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// Request is what decides about its route.
type Request = route.Request

// Fails is what of a route does not fit a request, or why it gets none.
type Fails string

// What can fail, in this order.
const (
	// FailsForce: its route is not in force.
	FailsForce Fails = "force"
	// FailsEntry: it is for requests on another port.
	FailsEntry     Fails = "entry"
	FailsHost      Fails = "host"
	FailsPath      Fails = "path"
	FailsCondition Fails = "condition"
	// FailsOrder: it fits, and another one comes first.
	FailsOrder Fails = "order"
)

// Candidate is a service that asks for a route and does not get the request.
type Candidate struct {
	Service string
	Fails   Fails
}

// Way is where a request leads.
type Way struct {
	// Service and Backend are empty if nobody gets it.
	Service, Backend string
	// Others are all other services that ask for a route, by name.
	Others []Candidate
}

// Where tells where a request leads, and of each other service what fails first. The
// error is that of a setting.
func Where(q Question, r Request) (Way, error) {
	desired, err := settle(q)
	if err != nil {
		return Way{}, err
	}
	var way Way
	way.Backend, _ = desired.Tables.Find(r)
	if way.Backend == route.Nobody {
		way.Backend = ""
	}
	inForce := WaysOf(desired)
	for _, svc := range desired.Services {
		if way.Service == "" && slices.ContainsFunc(svc.Routes, func(one route.Route) bool { return one.Backend == way.Backend }) {
			way.Service = svc.Name
		}
	}
	isIdle := map[string]bool{}
	for _, v := range desired.Verdicts {
		isIdle[v.Service.ID] = errors.Is(v.Err, route.ErrNoRoute)
	}
	for _, svc := range q.Snapshot.Sorted() {
		if !svc.OptedIn() || svc.Name == way.Service || !asks(svc) && (isIdle[svc.ID] || len(inForce[svc.ID].Routes) == 0) {
			continue
		}
		way.Others = append(way.Others, Candidate{svc.Name, fails(inForce[svc.ID].Routes, r)})
	}
	slices.SortFunc(way.Others, func(a, b Candidate) int { return strings.Compare(a.Service, b.Service) })
	return way, nil
}

// asks reports whether a service has labels that make a route.
func asks(svc catalog.Service) bool {
	for full := range svc.Labels {
		name, _ := label.SplitIndex(strings.TrimPrefix(full, catalog.Prefix))
		if name == "servicePath" || name == "serviceDomain" {
			return true
		}
	}
	return false
}

// fails is what fails at that of some routes that comes nearest to fitting.
func fails(routes []route.Route, r Request) Fails {
	order := []Fails{FailsForce, FailsEntry, FailsHost, FailsPath, FailsCondition, FailsOrder}
	best := 0
	for _, one := range routes {
		best = max(best, slices.Index(order, failsFirst(one, r)))
	}
	return order[best]
}

func failsFirst(one route.Route, r Request) Fails {
	r.Host, r.Path = strings.ToLower(r.Host), route.Canonical(r.Path)
	not := func(c route.Condition) bool { return !c.Holds(r) }
	isEntry := func(c route.Condition) bool { return c.Fetch == route.FetchPort }
	kind, _ := one.PathType.Kind()
	switch {
	case slices.ContainsFunc(one.Conditions, func(c route.Condition) bool { return isEntry(c) && not(c) }):
		return FailsEntry
	case len(one.Hosts) > 0 && !slices.ContainsFunc(one.Hosts, func(h string) bool { return fitsHost(one.HostMatch, h, r.Host) }):
		return FailsHost
	case len(one.Paths) > 0 && not(kind.Condition(false, one.Paths...)):
		return FailsPath
	case slices.ContainsFunc(one.Conditions, func(c route.Condition) bool { return !isEntry(c) && not(c) }):
		return FailsCondition
	}
	return FailsOrder
}

func fitsHost(m route.Match, want, host string) bool {
	if m != "" {
		return m.Fits(host, want)
	}
	if end, ok := strings.CutPrefix(want, "*"); ok {
		return strings.HasSuffix(host, end)
	}
	return host == want
}
