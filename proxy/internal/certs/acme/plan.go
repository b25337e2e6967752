package acme

import (
	"cmp"
	"hash/fnv"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/wagglehq/waggle/proxy/internal/wish/names"
)

// Plan is what is to be done at a moment.
type Plan struct {
	// Orders are the names for which a certificate is to be obtained now: those that go on with
	// an order first, then those that have none, then renewals, the most urgent first.
	Orders []names.Name
	// Asks are the hosts whose authority is to be asked when to renew.
	Asks []string
	// Drop are the hosts of which nothing need be known any more.
	Drop []string
	// Waiting are the names for which the limit of orders leaves no room until that time.
	Waiting []string
	Room    time.Time
	// Next is when something is due that is not yet; zero: nothing.
	Next time.Time
}

// plan says what is to be done. busy are the hosts with which somebody is at it, began the times
// of orders that count.
func plan(now time.Time, wanted []names.Name, records map[string]Record, busy map[string]bool, began []time.Time, s Settings) Plan {
	var p Plan
	later := func(at time.Time) {
		if p.Next.IsZero() || at.Before(p.Next) {
			p.Next = at
		}
	}
	isWanted := map[string]bool{}
	room, free := roomFor(began, s.PerHour, now)
	room -= len(busy)
	var ready []due
	for _, n := range wanted {
		isWanted[n.Host] = true
		r, known := records[n.Host]
		if busy[n.Host] {
			continue
		}
		if at := dueAt(r, n, s, now); at.After(now) {
			later(at)
		} else {
			ready = append(ready, due{n, urgency(r, known)})
			continue
		}
		if s.RenewalInfo && r.Chain != "" && r.Authority != "" && s.accepts(r.Authority, n.Staging) {
			if r.Renewal == nil || !r.Renewal.Ask.After(now) || isBeyond(r.Renewal.Ask, now, mostAsk) {
				p.Asks = append(p.Asks, n.Host)
			} else {
				later(r.Renewal.Ask)
			}
		}
	}
	slices.SortStableFunc(ready, func(a, b due) int { return cmp.Compare(a.urgency, b.urgency) })
	for _, d := range ready {
		r := records[d.Host]
		if goesOn := r.Order != nil && r.Order.URL != ""; !goesOn {
			if room <= 0 {
				p.Waiting, p.Room = append(p.Waiting, d.Host), free
				continue
			}
			room--
		}
		p.Orders = append(p.Orders, d.Name)
	}
	if len(p.Waiting) > 0 {
		later(free)
	}
	for host, r := range records {
		if isWanted[host] || busy[host] {
			continue
		}
		if at := forgottenAt(r); at.After(now) {
			later(at)
		} else {
			p.Drop = append(p.Drop, host)
		}
	}
	slices.Sort(p.Asks)
	slices.Sort(p.Drop)
	slices.Sort(p.Waiting)
	return p
}

// ownOnes are the names that are to have certificates of their own: all but those that a wildcard
// has as well which is good, or was not yet found to fail.
func ownOnes(now time.Time, wanted []names.Name, records map[string]Record) []names.Name {
	return slices.DeleteFunc(slices.Clone(wanted), func(n names.Name) bool {
		above := records[n.Below]
		switch {
		case n.Below == "":
			return false
		case above.Chain == "":
			return above.Failures == 0
		}
		return now.Before(latest(above))
	})
}

// due is a name for which something is to be done.
type due struct {
	names.Name
	urgency float64
}

// urgency is the lower the more somebody waits for it: an order that goes on, a name without a
// certificate (one that has failed after one that has not), then by what is left of the time.
func urgency(r Record, known bool) float64 {
	switch {
	case r.Order != nil && r.Order.URL != "":
		return -3
	case r.Chain == "" && (!known || r.Failures == 0):
		return -2
	case r.Chain == "":
		return -1
	}
	return float64(r.Until.Unix())
}

// isBeyond reports whether a time lies further ahead than whoever wrote it down can have wanted to
// wait: his clock was wrong.
func isBeyond(at, now time.Time, most time.Duration) bool { return at.Sub(now) > most+mostSkew }

// dueAt is when a certificate is to be obtained or renewed.
func dueAt(r Record, n names.Name, s Settings, now time.Time) time.Time {
	var at time.Time
	switch {
	case r.Chain == "":
	case r.Authority != "" && !s.accepts(r.Authority, n.Staging):
		// The operator has chosen another authority.
	default:
		at = renewAt(r, now)
	}
	if r.Next.After(at) && !isBeyond(r.Next, now, mostPause) {
		return r.Next
	}
	return at
}

// renewAt is when a certificate is to be renewed: when the authority says, or when a third of its
// time is left, somewhat later for some names than for others, so that those that came together
// do not go on coming together. A clock that is wrong makes no more than six orders in that time, and
// what it has written down binds no other one.
func renewAt(r Record, now time.Time) time.Time {
	life := r.Until.Sub(r.From)
	at := suggested(r, life)
	if earliest := r.Got.Add(life / 6); at.Before(earliest) && !isBeyond(r.Got, now, 0) {
		return earliest
	}
	return at
}

// suggested is when a certificate that is good for a time is to be renewed, by what it says and
// what the authority says.
func suggested(r Record, life time.Duration) time.Time {
	at := r.Until.Add(-life / 3).Add(time.Duration(float64(life) / 30 * share(r.Host)))
	if r.Renewal == nil || r.Renewal.At.IsZero() {
		return at
	}
	if at := latest(r); r.Renewal.At.After(at) {
		return at
	}
	return r.Renewal.At
}

// latest is when a certificate must be renewed, however late the authority would have it: there must
// be time for some failures.
func latest(r Record) time.Time { return r.Until.Add(-r.Until.Sub(r.From) / 20) }

// share is a number from 0 to 1 that follows from a text.
func share(text string) float64 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(text))
	return float64(h.Sum32()) / math.MaxUint32
}

// forgetAfter is how long the failures of a name are remembered that nobody wants any more, in
// case that it comes back.
const forgetAfter = 24 * time.Hour

// forgottenAt is when nothing need be known any more of a name that nobody wants.
func forgottenAt(r Record) time.Time {
	at := r.Until
	for _, t := range []time.Time{r.Next.Add(forgetAfter), begun(r).Add(forgetAfter)} {
		if t.After(at) {
			at = t
		}
	}
	return at
}

func begun(r Record) time.Time {
	if r.Order == nil {
		return time.Time{}
	}
	return r.Order.Begun
}

// mostSkew is how far the clocks of replicas may differ without more orders in any hour than the
// limit: so much longer than an hour each one counts.
const mostSkew = 5 * time.Minute

// counts is how long an order counts.
const counts = time.Hour + mostSkew

// roomFor returns how many orders may begin now, and when there is room again if none may.
func roomFor(began []time.Time, perHour int, now time.Time) (room int, free time.Time) {
	recent := recentOrders(began, now)
	if room = perHour - len(recent); room > 0 {
		return room, now
	}
	return 0, recent[len(recent)-perHour].Add(counts)
}

// recentOrders are those that count, sorted. One that a clock has noted which is ahead keeps its
// time, so that the next one to look does not forget it too early; but one that lies further
// ahead than clocks differ, as after a clock was set back, counts as if it were now, or it would
// count for ever.
func recentOrders(began []time.Time, now time.Time) []time.Time {
	var out []time.Time
	for _, t := range began {
		if t.Sub(now) > mostSkew {
			t = now
		}
		if now.Sub(t) < counts {
			out = append(out, t)
		}
	}
	slices.SortFunc(out, time.Time.Compare)
	return out
}

// fail notes a failure: when it is tried again, and with which authority.
func (r *Record) fail(f Failure, s Settings, isTest bool) {
	r.Failures++
	r.Last = &f
	if !blames(f.Kind) && r.With+1 < len(s.authorities(isTest)) {
		r.With++
		r.Next = f.Time
		return
	}
	r.With = 0
	r.Next = f.Time.Add(pauseAfter(r.Failures, f.Kind, s.Pause))
}

// blames reports whether a problem is that of the name, so that no other authority would say
// something else.
func blames(kind string) bool {
	switch kind {
	case "connection", "dns", "tls", "unauthorized", "incorrectResponse", kindDNS, kindHTTP:
		return true
	case kindSlow: // here it is in work
		return true
	}
	return false
}

// The kinds of failures that are not the authority's own.
const (
	// kindAway: the authority did not answer. kindBus: the bus did not, so that nothing could
	// be written down.
	kindAway = "away"
	kindBus  = "bus"
	// kindDNS: the provider of DNS refused. kindHTTP: no replica could answer the question.
	kindDNS  = "dnsProvider"
	kindHTTP = "http"
	// kindSlow: the authority is at it for longer than it was waited for; the order goes on.
	kindSlow = "slow"
	// kindOdd: it was not what was expected. kindUnknown: a problem of no type that there is.
	kindOdd     = "odd"
	kindUnknown = "unknown"
)

// mostPause bounds the time between two tries.
const mostPause = 24 * time.Hour

// pauseAfter is how long to wait after a number of failures in a row: five in the first hour with
// the usual pause of a minute, which is what Let's Encrypt allows for one name, then ever fewer.
// To ask somebody who is away costs him nothing.
func pauseAfter(failures int, kind string, unit time.Duration) time.Duration {
	steps := []int{1, 5, 15, 30, 60, 120, 240, 480, 960, 1440}
	pause := unit * time.Duration(steps[min(failures, len(steps))-1])
	switch {
	case kind == kindAway || kind == kindSlow || kind == "serverInternal":
		pause = min(pause, 15*unit)
	case strings.EqualFold(kind, "rateLimited"):
		pause = max(pause, 60*unit)
	}
	return min(pause, mostPause)
}
