// Package table compiles routes into the tables by which HAProxy finds the backend of a
// request, and streams into its ports. It is pure.
package table

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// compare is the total order of routes: the one that comes first gets a request
// that fits both.
//
//  1. Paths below /.well-known come first, whatever the host.
//  2. A route with an aclName comes before one without, by the bytes of the
//     names, unless its path is "/".
//  3. An exact host comes before a wildcard, a longer wildcard before a shorter, any host before none.
//  4. A longer path comes before a shorter.
//  5. More conditions come before fewer.
//  6. The older service comes first, then the smaller ID, then the smaller index.
//
// A default backend comes after all that.
func compare(a, b *leaf) int {
	// What decides nearly always comes by itself, because all arguments are evaluated.
	if n := cmp.Or(
		firstIf(!a.rest(), !b.rest()),
		firstIf(route.WellKnown(a.Path), route.WellKnown(b.Path)),
		firstIf(a.explicit() != "", b.explicit() != ""),
		cmp.Compare(a.explicit(), b.explicit()),
		cmp.Compare(hostRank(b), hostRank(a)),
		cmp.Compare(len(b.Path), len(a.Path)),
		cmp.Compare(b.conditions(), a.conditions()),
	); n != 0 {
		return n
	}
	return cmp.Or(
		firstIf(!a.last, !b.last),
		catalog.Older(a.route.Service, b.route.Service),
		cmp.Compare(a.route.Index, b.route.Index),
		cmp.Compare(a.Host, b.Host),
		cmp.Compare(a.Path, b.Path),
		cmp.Compare(a.Also, b.Also),
	)
}

func firstIf(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// leaf is one claim of one route, and what the compiler found out about it: whether a
// request reaches it, or who takes its requests.
type leaf struct {
	route.Claim
	route   *route.Route
	reached bool
	blocked string
	// common says that it is among those of several owners, who do not order theirs before
	// those of others.
	common bool
	// last says that it comes behind all others.
	last bool
}

func (l *leaf) explicit() string {
	if l.Path == "/" || l.common {
		return ""
	}
	return l.route.Order
}

// rest reports whether it is for the requests that nobody claims.
func (l *leaf) rest() bool { return l.Kind == route.ClaimRest }

// simple reports whether the look-ups alone decide about it.
func (l *leaf) simple() bool { return l.Also == "" }

// conditions is how many things besides host and path must hold; a path or host
// that is matched in another way than usual is one. What is only redirected comes last.
func (l *leaf) conditions() int {
	if l.rest() {
		return 0
	}
	if l.route.Redirected {
		return -1
	}
	n := len(l.route.Conditions)
	if !l.route.PathType.Prefix() {
		n++
	}
	if l.route.HostMatch != "" {
		n++
	}
	return n
}

// steps are the conditions that remain when a look-up has found a path below node.
func (l *leaf) steps() []route.Condition { return l.route.Steps(l.Claim) }

// node is the shortest prefix of the paths that it may fit.
func (l *leaf) node() string {
	if l.rest() {
		return "/"
	}
	if l.route.PathType.Prefix() {
		return l.Path
	}
	if kind, _ := l.route.PathType.Kind(); kind.Filed {
		return l.Path
	}
	return "/"
}

// hostRank is greater for the more specific host.
func hostRank(l *leaf) int {
	switch {
	case l.Host == "" || l.rest():
		return 0
	case l.route.HostMatch != "" || strings.HasPrefix(l.Host, "*."):
		return len(l.Host)
	}
	return 1 << 20
}

// pattern is the host by which a leaf is filed: one whose host the tables cannot
// look up is filed under none and tried for every class.
func (l *leaf) pattern() string {
	if l.route.HostMatch != "" || l.rest() {
		return ""
	}
	return l.Host
}

// class is the key under which the paths of a host pattern stand: "*.acme.com" is ".acme.com".
func class(host string) string { return strings.TrimPrefix(host, "*") }

// CompileWithin makes the tables of routes, whose claims are all different but within a
// group. With walls, requests for a host are looked for among the routes of its owner alone.
// The second result tells whose requests go to whom.
//
// It gives up when it has done more work than most, in claims looked at and steps written;
// 0 is any. Then work says, by service ID, whose claims that were, as far as it came; else
// it is nil.
func CompileWithin(routes []*route.Route, walls *Walls, most int) (t route.Tables, passed *Passed, work map[string]int) {
	all := meter{most: most}
	if t, passed = compile(routes, walls, &all); !all.full() {
		return t, passed, nil
	}
	again := meter{most: most, work: map[string]int{}}
	compile(routes, walls, &again)
	return route.Tables{}, newPassed(), again.work
}

func compile(routes []*route.Route, walls *Walls, m *meter) (route.Tables, *Passed) {
	t, passed := &tables{meter: m, chains: map[string]route.Chain{}}, newPassed()
	if walls == nil {
		c := newCompiler(routes, t, passed)
		c.all()
	} else {
		walls.compile(routes, t, passed)
	}
	if m.full() {
		return route.Tables{}, passed
	}
	t.Chains = slices.SortedFunc(maps.Values(t.chains), func(a, b route.Chain) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(t.Hosts, byKey)
	slices.SortFunc(t.Paths, byKey)
	slices.SortFunc(t.Wildcards, func(a, b route.Entry) int {
		return cmp.Or(cmp.Compare(len(b.Key), len(a.Key)), byKey(a, b))
	})
	t.RawPaths = rawPaths(t.Tables, routes)
	return t.Tables, passed
}

// tables are those that come about.
type tables struct {
	route.Tables
	*meter
	chains map[string]route.Chain
}

// meter counts work: done is that so far, of most, and work whose it was; nil if nobody
// wants to know.
type meter struct {
	done, most int
	work       map[string]int
}

// full reports whether more has been done than may be.
func (m *meter) full() bool { return m.most > 0 && m.done > m.most }

// charge counts n units of work for each of some leaves.
func (m *meter) charge(n int, leaves ...*leaf) {
	m.done += n * len(leaves)
	if m.work == nil {
		return
	}
	for _, l := range leaves {
		if l.route.Service.ID != "" {
			m.work[l.route.Service.ID] += n
		}
	}
}

// host adds the entry of a host pattern.
func (t *tables) host(pattern string) {
	if strings.HasPrefix(pattern, "*") {
		t.Wildcards = append(t.Wildcards, route.Entry{Key: class(pattern), Value: class(pattern)})
	} else {
		t.Hosts = append(t.Hosts, route.Entry{Key: pattern, Value: pattern})
	}
}

// newCompiler files the leaves of routes.
func newCompiler(routes []*route.Route, t *tables, passed *Passed) *compiler {
	c := &compiler{byHost: make(map[string][]*leaf, len(routes)), wildcards: map[string][]*leaf{}, t: t, passed: passed}
	common := firstMembers(routes)
	total := 0
	for _, r := range routes {
		total += len(r.Claims)
	}
	// There are thousands of leaves, and most hosts have one.
	leaves, single := make([]leaf, total), make([]*leaf, total)
	for _, r := range routes {
		for _, cl := range r.Claims {
			l := &leaves[0]
			leaves = leaves[1:]
			l.Claim, l.route = cl, r
			if r.Group != "" && common[cl] != r {
				continue
			}
			pattern := l.pattern()
			of, ok := c.byHost[pattern]
			if !ok {
				of, single = single[:0:1], single[1:]
			}
			c.byHost[pattern] = append(of, l)
		}
	}
	t.Paths = slices.Grow(t.Paths, total)
	for host, leaves := range c.byHost {
		slices.SortFunc(leaves, compare)
		if strings.HasPrefix(host, "*") {
			c.wildcards[class(host)] = leaves
		}
	}
	for _, l := range c.byHost[""] {
		if l.route.HostMatch != "" && !l.rest() {
			c.compared = append(c.compared, l)
		}
	}
	return c
}

// all adds the entries of all classes. That of no host comes first: others lead on to it.
func (c *compiler) all() {
	none := c.class("", nil)
	for _, host := range slices.Sorted(maps.Keys(c.byHost)) {
		if host == "" {
			continue
		}
		c.t.host(host)
		if c.class(host, none); c.t.full() {
			return
		}
	}
	c.passed.shadows(c.byHost)
}

// rawPaths are the values of paths that lead to nothing but backends that take paths as they
// come.
func rawPaths(t route.Tables, routes []*route.Route) []string {
	raw := map[string]bool{}
	for _, r := range routes {
		if r.RawPath {
			raw[r.Backend] = true
		}
	}
	if len(raw) == 0 {
		return nil
	}
	chains := make(map[string]bool, len(t.Chains))
	for _, c := range t.Chains {
		chains[c.Name] = !slices.ContainsFunc(c.Steps, func(s route.Step) bool { return !raw[s.Backend] })
	}
	var out []string
	for _, e := range t.Paths {
		name, last, chain := strings.Cut(e.Value, route.ChainEnd)
		if raw[e.Value] || chain && chains[name] && (last == "" || raw[last]) {
			out = append(out, e.Value)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

type compiler struct {
	// byHost are the leaves by their patterns, each list in its order.
	byHost map[string][]*leaf
	// wildcards are those of them with a wildcard, by their classes.
	wildcards map[string][]*leaf
	// one is the level of one class after the other.
	one level
	// compared are those of no host whose host is a condition.
	compared []*leaf
	t        *tables
	passed   *Passed
}

// level is what requests of one class find.
type level struct {
	// taken are the leaves that the look-up alone finds, by their paths, where
	// no other such leaf comes before.
	taken map[string]*leaf
	// conditional are the others, in their order.
	conditional []*leaf
	// nodes are the paths at which something is found.
	nodes map[string]bool
	// candidates are all leaves that a request of the class may find.
	candidates []*leaf
}

// clear makes a level fit for another class.
func (lv *level) clear() {
	if lv.taken == nil {
		lv.taken, lv.nodes = map[string]*leaf{}, map[string]bool{}
	}
	clear(lv.taken)
	clear(lv.nodes)
	lv.conditional, lv.candidates = lv.conditional[:0], lv.candidates[:0]
}

// class adds the entries of one host pattern. none is the level of no host, to
// which a request comes that finds nothing here.
func (c *compiler) class(host string, none *level) *level {
	name := class(host)
	lv := &c.one
	if none == nil {
		lv = &level{}
	}
	lv.clear()
	candidates := append(lv.candidates, c.byHost[host]...)
	for i, letter := range name {
		if letter == '.' && (i > 0 || !strings.HasPrefix(host, "*")) {
			candidates = append(candidates, c.wildcards[name[i:]]...)
		}
	}
	if host != "" {
		candidates = append(candidates, c.before(candidates)...)
	}
	return c.fill(host, lv, none, candidates)
}

// fill adds the entries of a host pattern, of which requests may find the candidates.
func (c *compiler) fill(host string, lv, none *level, candidates []*leaf) *level {
	name := class(host)
	c.t.charge(1, candidates...)
	slices.SortFunc(candidates, compare)
	lv.candidates = candidates
	c.passed.overtaken(candidates)
	for _, l := range candidates {
		if winner, ok := taker(lv.taken, l.node()); ok {
			if l.pattern() == host && (l.route.Group == "" || l.route.Backend != winner.route.Backend) {
				l.blocked = winner.route.Service.Name
			}
			continue
		}
		lv.nodes[l.node()] = true
		if l.simple() {
			lv.taken[l.Path] = l
		} else {
			lv.conditional = append(lv.conditional, l)
		}
	}
	if none != nil && len(lv.conditional) > 0 {
		// A chain that fails here leads on to what the path alone would have found.
		for node := range none.nodes {
			if c.t.charge(1, lv.conditional...); c.t.full() {
				return lv
			}
			if leaves := lv.at(node); len(leaves) > 0 && !leaves[len(leaves)-1].simple() {
				lv.nodes[node] = true
			}
		}
	}
	for node := range lv.nodes { // the table is sorted at the end
		if len(lv.conditional) == 0 {
			l, _ := taker(lv.taken, node)
			l.reached = true
			c.t.Paths = append(c.t.Paths, route.Entry{Key: name + node, Value: l.route.Backend})
			continue
		}
		if c.t.charge(1, lv.conditional...); c.t.full() {
			return lv
		}
		if value := c.value(lv.at(node), none, node); value != "" {
			c.t.Paths = append(c.t.Paths, route.Entry{Key: name + node, Value: value})
		}
	}
	return lv
}

// before returns the leaves without a host that must be found by the first
// look-up of a class, because they come before one with a host, or because their
// host is a condition.
func (c *compiler) before(candidates []*leaf) []*leaf {
	worst := slices.MaxFunc(candidates, compare)
	var out []*leaf
	for _, l := range c.byHost[""] {
		if compare(l, worst) > 0 {
			break // so are those behind it
		}
		out = append(out, l)
	}
	for _, l := range c.compared {
		if compare(l, worst) > 0 {
			out = append(out, l)
		}
	}
	return out
}

// at returns what is tried for the paths that a look-up finds at a node, in
// order: conditional leaves, and at the end the one that needs no condition.
func (lv *level) at(node string) []*leaf {
	last, ok := taker(lv.taken, node)
	var out []*leaf
	for _, l := range lv.conditional {
		if ok && compare(last, l) < 0 {
			break
		}
		if strings.HasPrefix(node, l.node()) {
			out = append(out, l)
		}
	}
	if ok {
		out = append(out, last)
	}
	return out
}

// value is the entry of a node: a backend, or the chain of what is tried.
func (c *compiler) value(leaves []*leaf, none *level, node string) string {
	if none != nil && len(leaves) > 0 && !leaves[len(leaves)-1].simple() {
		// What is tried for every class comes once.
		leaves = append(leaves, none.at(node)...)
		slices.SortFunc(leaves, compare)
		leaves = slices.Compact(leaves)
		c.t.charge(1, leaves...)
	}
	if len(leaves) == 0 {
		return ""
	}
	for _, l := range leaves {
		l.reached = true
	}
	if leaves[0].simple() {
		return leaves[0].route.Backend
	}
	last := ""
	chain := route.Chain{}
	h := sha256.New()
	for _, l := range leaves {
		if l.simple() {
			last = l.route.Backend
			break
		}
		step := route.Step{If: l.steps(), Backend: l.route.Backend}
		c.t.charge(weight(step), l)
		chain.Steps = append(chain.Steps, step)
		for _, cond := range step.If {
			_, _ = h.Write([]byte(cond.String() + "\x00"))
		}
		_, _ = h.Write([]byte(step.Backend + "\x01"))
	}
	// So long that nobody can search for conditions whose chain has the name of another's.
	chain.Name = route.ChainMark + hex.EncodeToString(h.Sum(nil)[:12])
	c.t.chains[chain.Name] = chain
	return chain.Name + route.ChainEnd + last
}

func byKey(a, b route.Entry) int { return strings.Compare(a.Key, b.Key) }

// taker returns the leaf that takes all requests of a path already: the one with
// the longest path that is a prefix of it.
func taker(taken map[string]*leaf, path string) (*leaf, bool) {
	for n := len(path); n > 0; n-- {
		if l, ok := taken[path[:n]]; ok {
			return l, true
		}
	}
	return nil, false
}

// RedirectTable is the look-up of hosts that are redirected.
func RedirectTable(services []route.Service) []route.Entry {
	var out []route.Entry
	for _, s := range services {
		for _, r := range s.Redirects {
			out = append(out, route.Entry{Key: r.From, Value: r.To}) // those of a group are alike
		}
	}
	slices.SortFunc(out, byKey)
	return slices.Compact(out)
}

// firstMembers are the routes of groups that stand for what several members claim in
// common: those that come first.
func firstMembers(routes []*route.Route) map[route.Claim]*route.Route {
	out := map[route.Claim]*route.Route{}
	for _, r := range routes {
		if r.Group == "" {
			continue
		}
		for _, c := range r.Claims {
			if first, ok := out[c]; !ok || compare(&leaf{Claim: c, route: r}, &leaf{Claim: c, route: first}) < 0 {
				out[c] = r
			}
		}
	}
	return out
}

// weight is what a step costs, by its texts.
func weight(s route.Step) int {
	n := 1
	for _, cond := range s.If {
		for _, v := range cond.Values {
			n += 1 + len(v)/64
		}
	}
	return n
}
