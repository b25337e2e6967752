package addresses

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// DNS says when an address serves a name, but not whose it is: Docker answers the name of
// a service also with the tasks of every other service, and with every container, that has
// that name as an alias. Whose an address is says the catalog.

// Owners tells whose tasks have an address, by the names of services, sorted: of one, unless
// the catalog is older than the last of them. It is shared and must not be changed. The
// catalog knows the tasks of services that opted in; those of all others it gives to nobody.
type Owners map[netip.Addr][]string

// Known is what is known of all targets.
type Known struct {
	Owners Owners
	// Current says that the listener is heard of, so that a new task will soon be known.
	Current bool
	// Outside returns why an address may not be that of a host outside of the swarm,
	// empty if it may; nil if all may.
	Outside func(host string, a netip.Addr) string
	// Version tells one state of the others from the next.
	Version uint64
}

// Refused is an address that DNS gives for a name and that is not used.
type Refused struct {
	Addr netip.Addr
	// Owner is the service whose task has it, empty if the catalog gives it to nobody.
	Owner string
	// Forbidden is why no host outside may be there, if that is why.
	Forbidden string
}

// Why says why the address is not used for a service.
func (r Refused) Why(service string) string {
	switch {
	case r.Forbidden != "":
		return r.Forbidden
	case r.Owner != "":
		return "it is a task of " + r.Owner + ", which has the name as an alias"
	}
	return "it is no task of " + service + " that the catalog knows"
}

// How long an address that nobody has may be ahead of the catalog.
const (
	// strangerAfter: nobody's address that the listener has not named for this long is
	// not a task's. The listener lists tasks every ten seconds if nothing moves.
	strangerAfter = 30 * time.Second
	// secondLook: an address for which there was no place takes one that comes free only
	// after this, for it is likelier that the catalog is about to name another.
	secondLook = time.Second
)

// sight is what is remembered of an address that the catalog gives to nobody, for as long
// as DNS gives it for the name.
type sight struct {
	since time.Time
	// tooMany is when there was last no place for it; zero if there always was.
	tooMany time.Time
	// unjudged is when it was last used because the listener was not heard of; zero if
	// it never was.
	unjudged time.Time
	// stranger says that it was not named although there was time enough.
	stranger bool
}

// whose divides an answer into what the target may use and what it may not:
//   - What the catalog gives to the service is its own, and stays so for as long as DNS
//     gives it: a task that is about to stop leaves the catalog first.
//   - What the catalog gives to another service is not.
//   - What it gives to nobody is a task that the catalog has not heard of yet, or somebody
//     else. It is used while the service lacks as many tasks, and not for long unless the
//     listener is not heard of.
func (e *entry) whose(answer []netip.Addr, known Known, now time.Time) (own []netip.Addr, refused []Refused) {
	t := e.target.Whose
	if e.target.Outbound != "" {
		return e.outside(answer, known)
	}
	if t.Service == "" {
		return answer, nil
	}
	var nobodys []netip.Addr
	before := e.sights
	e.sights = nil
	for _, a := range answer {
		switch owners := known.Owners[a]; {
		case slices.Contains(owners, t.Service) || len(owners) == 0 && slices.Contains(e.named, a):
			own = append(own, a)
		case len(owners) > 0:
			refused = append(refused, Refused{Addr: a, Owner: owners[0]})
		default:
			nobodys = append(nobodys, a)
		}
	}
	e.named = own[:len(own):len(own)]
	if len(nobodys) == 0 {
		return own, refused
	}
	e.sights = make(map[netip.Addr]sight, len(nobodys))
	for _, a := range nobodys {
		s, ok := before[a]
		if !ok {
			s.since = now
		}
		e.sights[a] = s
	}
	fit := e.fit(nobodys, own, known, now)
	for _, a := range nobodys {
		if !slices.Contains(fit, a) {
			refused = append(refused, Refused{Addr: a})
		}
	}
	if len(fit) > 0 {
		own = slices.Concat(own, fit)
		slices.SortFunc(own, netip.Addr.Compare)
	}
	slices.SortFunc(refused, func(a, b Refused) int { return a.Addr.Compare(b.Addr) })
	return own, refused
}

// MostOutside is how many addresses of a host outside are used. Whoever answers for its name
// may give thousands, each of which would be a server of HAProxy's at each index that names
// the host. mostTold is how many of those that are not used are told.
const (
	MostOutside = 32
	mostTold    = 8
)

// outside is whose for a host outside. Where it has more addresses than are used, those that
// are in use stay, so that an answer in another order changes nothing.
func (e *entry) outside(answer []netip.Addr, known Known) (own []netip.Addr, refused []Refused) {
	for _, a := range answer {
		if known.Outside != nil {
			if why := known.Outside(e.target.Outbound, a); why != "" {
				refused = append(refused, Refused{Addr: a, Forbidden: why})
				continue
			}
		}
		own = append(own, a)
	}
	if over := len(own) - MostOutside; over > 0 {
		used := make(map[netip.Addr]bool, len(e.addrs))
		for _, a := range e.addrs {
			used[a] = true
		}
		slices.SortStableFunc(own, func(a, b netip.Addr) int { return cmp.Compare(rank(used[a]), rank(used[b])) })
		refused = append(refused, Refused{Addr: own[MostOutside], Forbidden: fmt.Sprintf("it is one of %d more than the %d of one host that are used", over, MostOutside)})
		own = own[:MostOutside]
		slices.SortFunc(own, netip.Addr.Compare)
	}
	if len(refused) > mostTold {
		refused = append(refused[:mostTold-1], refused[len(refused)-1])
	}
	return own, refused
}

// rank has what is true come first.
func rank(b bool) int {
	if b {
		return 0
	}
	return 1
}

// fit returns which of the addresses that nobody has are taken for tasks of which the
// catalog has not heard yet: all that may be, or none if they are more than are missing.
func (e *entry) fit(nobodys, own []netip.Addr, known Known, now time.Time) []netip.Addr {
	t := e.target.Whose
	judged := known.Current && !t.Open
	// A task that the catalog shows to run and DNS does not know any more has most likely
	// been replaced, and the catalog will hear of it.
	running := cmp.Or(e.target.Count, len(e.target.Tasks))
	replaced := max(0, running-countIn(own, e.target.Tasks))
	places := replaced + max(0, t.Wanted-running-t.Coming)
	var free, may []netip.Addr
	for _, a := range nobodys {
		s := e.sights[a]
		switch {
		case s.stranger:
		case !judged:
			// The time in which nobody could name it does not count.
			s.since, s.unjudged = now, now
			free = append(free, a)
		case !s.unjudged.IsZero() && now.Sub(s.unjudged) < secondLook:
			free = append(free, a) // the listener is back, and needs a moment
		case t.Listed && replaced == 0 && now.Sub(s.since) >= strangerAfter:
			s.stranger = true
		case s.tooMany.IsZero() || now.Sub(s.tooMany) >= secondLook:
			may = append(may, a)
		}
		e.sights[a] = s
	}
	places -= len(free)
	if len(may) > places {
		// They are not told apart, but whoever comes to those in use does not drive them out.
		may = slices.DeleteFunc(may, func(a netip.Addr) bool {
			late := !slices.Contains(e.addrs, a)
			if late {
				e.turnAway(a, now)
			}
			return late
		})
	}
	if len(may) <= places {
		return append(free, may...)
	}
	for _, a := range may {
		e.turnAway(a, now)
	}
	return free
}

func (e *entry) turnAway(a netip.Addr, now time.Time) {
	s := e.sights[a]
	s.tooMany = now
	e.sights[a] = s
}

func countIn(list, of []netip.Addr) int {
	n := 0
	for _, a := range list {
		if slices.Contains(of, a) {
			n++
		}
	}
	return n
}
