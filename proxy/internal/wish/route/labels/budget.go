package labels

import (
	"slices"
	"strings"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/proxy/internal/wish/budget"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// tally counts what the labels of one service ask for, destination by destination, before
// anything is multiplied.
type tally struct {
	bill budget.Bill
	// regexps and ports are those seen, each of which counts once.
	regexps map[string]bool
	ports   map[int]bool
	// hosts are those that are looked up, with how many of their claims there are; wide and
	// anywhere the claims tried for all of them, always or where conditions fail.
	hosts          map[string]int
	conditional    map[string]bool
	wide, anywhere int
}

// texts counts the labels themselves: what stands without an index is read once for each.
func (t *tally) texts(svc catalog.Service, groups []label.Group) {
	longest, all := "", 0
	for full, text := range svc.Labels {
		name, ours := strings.CutPrefix(full, catalog.Prefix)
		if !ours || name == CertificateLabel {
			continue
		}
		n := len(full) + len(text)
		if _, index := label.SplitIndex(name); index == 0 {
			n = budget.Times(n, len(groups))
		}
		all += n
		if most := len(svc.Labels[longest]); longest == "" || len(text) > most || len(text) == most && full < longest {
			longest = full
		}
	}
	t.bill.Add(budget.Text, all, longest)
	last := groups[min(len(groups)-1, budget.Limits()[budget.Indexes].Service)]
	t.bill.Add(budget.Indexes, len(groups), last.Label(indexedBy(last)))
}

// indexedBy is the label that makes an index.
func indexedBy(g label.Group) string {
	for _, name := range destinationLabels() {
		if g.Own(name) {
			return name
		}
	}
	return "port"
}

// destination counts what one of them asks for, and refuses regular expressions that are
// too dear by themselves.
func (t *tally) destination(g label.Group, d *route.Service) {
	for i := range d.Routes {
		t.route(g, &d.Routes[i])
	}
	t.bill.Add(budget.Claims, len(d.Redirects), g.Label("redirectFromDomain"))
	for i := range d.Backends {
		h := &d.Backends[i].Handling
		for _, r := range h.Rewrites {
			t.regexp(g, rewriteLabel(g), r.Search)
		}
		if h.Access.Limit != nil {
			t.bill.Add(budget.Tables, 1, g.Label("rateLimit"))
		}
		t.users(g, h.Access.Users)
	}
	for i := range d.Streams {
		t.stream(g, &d.Streams[i])
	}
}

func rewriteLabel(g label.Group) string {
	if g.Has("reqPathSearchReplace") {
		return "reqPathSearchReplace"
	}
	return "reqPathSearch"
}

func (t *tally) route(g label.Group, r *route.Route) {
	name := pathsLabel(g)
	claims := budget.Times(max(1, len(r.Hosts)), len(r.Paths))
	t.bill.Add(budget.Claims, claims, g.Label(name))
	steps, simple := 1, len(r.Conditions) == 0
	if !r.PathType.Prefix() {
		steps, simple = len(r.Paths), false
	}
	switch {
	case r.HostMatch != "":
		name, simple = "serviceDomain", false
		steps = budget.Times(steps, len(r.Hosts))
		t.wide += claims
		t.bill.Add(budget.Wide, claims, g.Label(name))
	case len(r.Hosts) == 0:
		t.anywhere += len(r.Paths)
		for _, p := range r.Paths {
			if route.WellKnown(p) || r.Order != "" && p != "/" {
				t.wide++
				t.bill.Add(budget.Wide, 1, g.Label(name))
			}
		}
	default:
		for _, h := range r.Hosts {
			t.hosts[h] += len(r.Paths)
			if !simple {
				t.conditional[h] = true
			}
		}
	}
	if !simple {
		t.bill.Add(budget.Steps, steps, g.Label(name))
	}
	t.regexpsOf(g, r)
}

// pathsLabel is the label that has most of a destination's claims.
func pathsLabel(g label.Group) string {
	if len(g.List("serviceDomain")) > len(g.List("servicePath")) {
		return "serviceDomain"
	}
	return "servicePath"
}

func (t *tally) regexpsOf(g label.Group, r *route.Route) {
	if r.HostMatch == route.MatchRegexp {
		t.regexp(g, "serviceDomain", r.Hosts...)
	}
	if kind, ok := r.PathType.Kind(); ok && kind.Match == route.MatchRegexp {
		t.regexp(g, "servicePath", r.Paths...)
	}
	for _, c := range r.Conditions {
		if c.Match == route.MatchRegexp && c.Fetch == route.FetchPath {
			t.regexp(g, "servicePathExclude", c.Values...)
		}
	}
}

func (t *tally) regexp(g label.Group, name string, texts ...string) {
	for _, text := range texts {
		if t.regexps[text] {
			continue
		}
		t.regexps[text] = true
		t.bill.Add(budget.Regexps, 1, g.Label(name))
		if want := budget.Regexp(text); want != "" {
			g.RejectText(name, text, want)
		}
	}
}

func (t *tally) users(g label.Group, u *route.Users) {
	if u == nil || u.Entries == "" {
		return
	}
	t.bill.Add(budget.Users, 1+strings.Count(u.Entries, "\n"), g.Label("users"))
	if !u.Encrypted {
		return
	}
	for entry := range strings.SplitSeq(u.Entries, "\n") {
		if _, hash, has := strings.Cut(entry, ":"); has {
			micros, _ := budget.HashCost(hash)
			if micros > budget.MostHash {
				continue // that is a fault by itself
			}
			t.bill.Add(budget.Hashing, micros, g.Label("users"))
		}
	}
}

func (t *tally) stream(g label.Group, s *route.Stream) {
	if !t.ports[s.Port] {
		t.ports[s.Port] = true
		t.bill.Add(budget.Ports, 1, g.Label("srcPort"))
	}
	name := pathsLabel(g)
	t.bill.Add(budget.Claims, max(1, len(s.Names)), g.Label(name))
	t.bill.Add(budget.Steps, len(s.Names), g.Label(name))
	for _, n := range s.Names {
		if n.Match == route.MatchRegexp {
			t.regexp(g, name, n.Value)
		}
	}
}

// crossings counts the claims that are entered once more for hosts of the same service:
// those that are tried for every host, those of a wildcard for each host below it, and
// those without a host where conditions may fail.
func (t *tally) crossings(g label.Group) {
	n := budget.Times(len(t.hosts), t.wide)
	n += budget.Times(len(t.conditional), t.anywhere)
	for h := range t.hosts {
		name := strings.TrimPrefix(h, "*.")
		for at := strings.IndexByte(name, '.'); at >= 0; {
			n += t.hosts["*"+name[at:]]
			next := strings.IndexByte(name[at+1:], '.')
			if next < 0 {
				break
			}
			at += 1 + next
		}
	}
	t.bill.Add(budget.Crossings, n, g.Label(pathsLabel(g)))
}

// exceeded is the fault of a service that asks for more than one may have, nil if it does not.
func (rd *Reader) exceeded(svc catalog.Service, bill *budget.Bill) error {
	l, over := bill.Exceeded()
	if !over {
		return nil
	}
	ask := bill[l.Kind]
	name, _ := label.SplitIndex(strings.TrimPrefix(ask.Label, catalog.Prefix))
	secret := slices.ContainsFunc(rd.table, func(s label.Spec) bool { return s.Name == name && s.Secret })
	return label.Faults{{Label: ask.Label, Text: label.Show(svc.Labels[ask.Label], secret), Want: l.Want(ask.N)}}
}

func newTally() *tally {
	return &tally{regexps: map[string]bool{}, ports: map[int]bool{}, hosts: map[string]int{}, conditional: map[string]bool{}}
}
