package addresses

import (
	"cmp"
	"hash/crc32"
	"net/netip"
	"slices"
	"time"
)

// How long and how often. Docker answers names of the overlay itself in well
// under a millisecond; a name without tasks it forwards to the node's resolver,
// which stalls for seconds above some 50 of them per second.
const (
	// Docker itself answers late if a busy engine starts many containers, and then
	// patience is the only way to an answer. A name without tasks is forwarded, so that
	// its answer is not worth as much.
	patient   = 500 * time.Millisecond
	forwarded = 250 * time.Millisecond
	// So many look-ups may be under way, and so many of one name: a pending one is
	// asked again while those that were forwarded hang, for it may have come up.
	maxFlying    = 32
	maxOfOneName = 3
	maxOfPending = 12
	// hedgeAfter: a query of an answered name that has no answer for this long is sent
	// once more, beside the first.
	hedgeAfter = 100 * time.Millisecond

	fast      = 3 * time.Second // how long a change is followed closely
	pending   = 20 * time.Millisecond
	upcoming  = 50 * time.Millisecond // a pending name whose tasks the catalog shows to run
	closely   = 25 * time.Millisecond
	inMotion  = 250 * time.Millisecond
	quiet     = 3 * time.Second
	unwanted  = 30 * time.Second // a name that has no answer and needs none
	hold      = 10 * time.Second
	holdMost  = time.Minute          // what the catalog calls running, which may not be current
	perMoving = 4 * time.Millisecond // at most 250 look-ups per second for all in motion
	perHeld   = 5 * time.Millisecond // and 200 for all that are held on to

	// Quiet names are asked together, for waking Docker and ourselves costs more than
	// the look-up itself. Up to 55 per second cost Docker less than one percent of a
	// core; more than that they are only where quietMost would be exceeded.
	grid      = 500 * time.Millisecond
	perQuiet  = 18 * time.Millisecond
	quietMost = 10 * time.Second

	// Look-ups that stayed without an answer: never above rate+burst = 40 in any
	// second. The last tokens are for names that are asked for the first time, and
	// for those whose tasks run: that one is answered any moment, while of many that
	// are only to be started hardly any is.
	rate     = 34
	burst    = 6
	reserved = 2
)

// lookup is one look-up to start.
type lookup struct {
	entry *entry // the state's own: look reads nothing of it
	name  string
	// number orders the look-ups of all names.
	number uint64
	// paid says that it took a token, which an answer gives back.
	paid bool
	// deadline is how long its answer is awaited.
	deadline time.Duration
}

// result is how a look-up ended: addresses, none, or an error.
type result struct {
	lookup
	addrs []netip.Addr
	err   error
}

// entry is what is known of one target.
type entry struct {
	key    string
	target Target
	addrs  []netip.Addr
	known  bool
	// answer is what DNS last said, refused what of it is not used. named are those
	// of it that the catalog gives to the service or gave to it since DNS has them, and
	// sights is what is remembered of those that it gives to nobody.
	answer, named []netip.Addr
	refused       []Refused
	sights        map[netip.Addr]sight
	// answered says that the last look-up brought addresses that may be used.
	answered bool
	// changed is when the target last changed, failing when look-ups began to
	// stay without an answer (zero when the last brought one).
	changed, failing time.Time
	// disputed are addresses taken away because another name's answer had them.
	disputed map[netip.Addr]struct{}
	// fresh says that the target has not been asked since it changed.
	fresh bool
	// watchman says that it is asked often on behalf of all that share its nodes.
	watchman bool
	// place is where its turn is among quiet names.
	place   uint32
	flying  int
	applied uint64
	began   time.Time
	next    time.Time
	every   time.Duration
}

// waits says that an answer is due and missing.
func (e *entry) waits() bool { return e.target.Expected && !e.answered }

// runs says that the catalog shows running tasks of a name without an answer: DNS has
// not heard of them yet, or has no time.
func (e *entry) runs() bool { return e.waits() && len(e.target.Tasks) > 0 }

// running says that the catalog calls an address running, and gone that it does not.
func (e *entry) running(a netip.Addr) bool { return slices.Contains(e.target.Tasks, a) }
func (e *entry) gone(a netip.Addr) bool    { return !e.running(a) }

// holds says that the last answer is held on to, and the catalog calls some of it
// running, so that it is Docker who does not get round to answering.
func (e *entry) holds() bool {
	return e.runs() && slices.ContainsFunc(e.addrs, e.running)
}

// waited is how long an answer has been missing, as far as it matters: a name that
// changed is as good as new.
func (e *entry) waited(now time.Time) time.Duration {
	age := now.Sub(e.changed)
	if !e.failing.IsZero() {
		age = min(age, now.Sub(e.failing))
	}
	return age
}

// most is how many look-ups of it may be under way.
func (e *entry) most() int {
	if e.waits() {
		return maxOfPending
	}
	return maxOfOneName
}

// agrees says that DNS answers what the catalog shows, so that nothing is known to come.
func (e *entry) agrees() bool {
	return len(e.addrs) == cmp.Or(e.target.Count, len(e.target.Tasks)) && !slices.ContainsFunc(e.addrs, e.gone)
}

// moves says that the answer may change any moment.
func (e *entry) moves() bool { return e.target.Moving || len(e.target.Tasks) > 0 && !e.agrees() }

// state is all targets; it belongs to the goroutine of Run.
type state struct {
	entries map[string]*entry
	known   Known
	touched map[string]struct{}
	tokens  bucket
	number  uint64
	flying  int
	// moving is how many were in motion when last counted, holding how many hold on to
	// what Docker does not answer.
	moving, holding int
	// watching is how many watchmen there are.
	watching int
	// begin is where the grid begins, surprised when a change last came unawaited.
	begin, surprised time.Time
}

func newState(now time.Time) *state {
	return &state{begin: now, entries: map[string]*entry{}, touched: map[string]struct{}{}, tokens: bucket{level: burst}}
}

// replace takes a new set of targets in, and judges anew what is known of them.
func (s *state) replace(w wanted, now time.Time) {
	targets, news := w.targets, w.known.Version != s.known.Version || w.known.Current != s.known.Current
	s.known = w.known
	defer func() {
		for _, e := range s.entries {
			if news || e.changed.Equal(now) {
				s.judgeAgain(e, now)
			}
		}
	}()
	moved := false // whether other nodes are to be watched, or by others
	for key, e := range s.entries {
		if _, ok := targets[key]; !ok {
			delete(s.entries, key)
			s.touched[key] = struct{}{}
			moved = moved || e.watchman
		}
	}
	for key, t := range targets {
		e, ok := s.entries[key]
		switch {
		case ok && e.target.equal(t):
			continue
		case !ok || e.target.Name != t.Name:
			// Another name is another target: what the old one had is not its.
			e = &entry{key: key, place: crc32.ChecksumIEEE([]byte(key)), disputed: map[netip.Addr]struct{}{}}
			s.entries[key] = e
			s.touched[key] = struct{}{}
		}
		moved = moved || !slices.Equal(e.target.Nodes, t.Nodes)
		e.target, e.fresh, e.changed, e.next = t, true, now, now
		e.every = s.interval(e, now)
	}
	if moved {
		s.watchmen()
	}
}

// take applies the end of a look-up.
func (s *state) take(r result, now time.Time) {
	s.flying--
	answered := r.err == nil && len(r.addrs) > 0 // by DNS, which is what Docker minds
	e := r.entry
	switch {
	case r.paid && answered:
		s.tokens.give(now)
	case !r.paid && !answered && !e.holds():
		s.tokens.charge(now)
	}
	e.flying--
	if s.entries[e.key] != e || r.number <= e.applied {
		return // the target has gone, or a younger look-up has overtaken this one
	}
	e.applied = r.number
	e.answer = r.addrs
	own := s.judge(e, now)
	if r.err == nil && !answered {
		s.refuse(e, nil)
	}
	s.letGo(e, now)
	e.answered = len(own) > 0
	switch {
	case e.answered:
		e.failing = time.Time{}
		s.surprise(e, own, now)
		s.assign(e, own, now)
	case r.err == nil && !e.target.Expected:
		e.failing = time.Time{}
		s.assign(e, nil, now)
	case e.failing.IsZero():
		e.failing = now
		if r.err != nil {
			break
		}
		s.surprise(e, nil, now)
		if !e.known {
			s.assign(e, nil, now) // there is nothing to hold on to
		}
	}
	e.every = s.interval(e, now)
	if next := e.began.Add(e.every); next.Before(e.next) {
		e.next = next
	}
}

// judge returns what of a target's answer it may use. Without an answer all that is known
// of the last one stays, for it may come back.
func (s *state) judge(e *entry, now time.Time) []netip.Addr {
	if len(e.answer) == 0 {
		return nil
	}
	own, refused := e.whose(e.answer, s.known, now)
	s.refuse(e, refused)
	return own
}

func (s *state) refuse(e *entry, refused []Refused) {
	if !slices.Equal(e.refused, refused) {
		e.refused = refused
		s.touched[e.key] = struct{}{}
	}
}

// judgeAgain judges what a target has after the catalog has changed: the last answer
// anew, and of what is held on to, it loses what has become another's.
func (s *state) judgeAgain(e *entry, now time.Time) {
	if !e.known {
		return
	}
	own := s.judge(e, now)
	if len(own) > 0 {
		e.answered, e.failing = true, time.Time{}
		s.assign(e, own, now)
		return
	}
	s.letGo(e, now)
}

// letGo takes from a target what it may not even hold on to.
func (s *state) letGo(e *entry, now time.Time) {
	isOthers := func(a netip.Addr) bool { return s.isOthers(e, a) }
	if slices.ContainsFunc(e.addrs, isOthers) {
		s.assign(e, slices.DeleteFunc(slices.Clone(e.addrs), isOthers), now)
	}
}

// isOthers reports whether a target may not use an address that it has.
func (s *state) isOthers(e *entry, a netip.Addr) bool {
	if slices.ContainsFunc(e.refused, func(r Refused) bool { return r.Addr == a }) {
		return true
	}
	if e.target.Outbound != "" {
		return s.known.Outside != nil && s.known.Outside(e.target.Outbound, a) != ""
	}
	owners := s.known.Owners[a]
	return e.target.Whose.Service != "" && len(owners) > 0 && !slices.Contains(owners, e.target.Whose.Service)
}

// assign gives a target its answer. An address that another target held until
// now is taken from that one at once, for it may be another tenant's by now, and
// the other name is asked again; if its answer still has the address, the two
// share it (as outbound hosts may) and both keep it.
func (s *state) assign(e *entry, addrs []netip.Addr, now time.Time) {
	for a := range e.disputed {
		if !slices.Contains(addrs, a) {
			delete(e.disputed, a)
		}
	}
	for _, a := range addrs {
		if _, shared := e.disputed[a]; shared || slices.Contains(e.addrs, a) {
			continue
		}
		for _, other := range s.entries {
			i := slices.Index(other.addrs, a)
			if i < 0 || other == e || other.target.Name == e.target.Name {
				continue
			}
			if _, shared := other.disputed[a]; shared && other.failing.IsZero() {
				continue
			}
			other.addrs = slices.Delete(slices.Clone(other.addrs), i, i+1)
			other.disputed[a] = struct{}{}
			other.next = now
			// What is under way was asked before and settles nothing.
			other.applied = s.number
			s.touched[other.key] = struct{}{}
		}
	}
	if e.known && slices.Equal(e.addrs, addrs) {
		return
	}
	e.addrs, e.known = addrs, true
	s.touched[e.key] = struct{}{}
}

// surprise has all quiet names asked soon after one has changed of which nobody knew
// that it moves: whatever stopped its tasks may have stopped others. As that is likely the
// death of a node, those with tasks on its nodes are asked at once.
func (s *state) surprise(e *entry, addrs []netip.Addr, now time.Time) {
	if len(e.addrs) == 0 || slices.Equal(e.addrs, addrs) || e.target.Moving || now.Sub(e.changed) < fast || now.Sub(s.surprised) < grid {
		return
	}
	s.surprised = now
	soon := s.tick(now)
	for _, other := range s.entries {
		switch {
		case !other.answered:
		case shareNodes(e.target.Nodes, other.target.Nodes):
			other.next = now
		default:
			other.next = earlier(other.next, soon)
		}
	}
}

// turn is when a quiet name is asked next: at its own place in the round of all that are
// asked as often, so that every point of the grid has its share.
func (s *state) turn(e *entry, now time.Time) time.Time {
	round := max(1, int64(e.every/grid))
	first := int64(s.tick(now).Sub(s.begin) / grid)
	wait := (int64(e.place)%round - first%round + round) % round
	return s.begin.Add(time.Duration(first+wait) * grid)
}

// tick is the first point of the grid after that time.
func (s *state) tick(t time.Time) time.Time { return s.round(grid, t) }

// round is the first point after that time of those that are so far apart. All watchmen are asked
// at such points, and with them the quiet names whose turn it is: one wake-up is for all.
func (s *state) round(apart time.Duration, t time.Time) time.Time {
	return s.begin.Add(t.Sub(s.begin).Truncate(apart) + apart)
}

// expire lets go of addresses that were held without an answer for long enough. Those
// that the catalog still calls running are held for longer: a swarm whose engines are too
// busy for DNS, or for one another, has its tasks all the same. But the catalog may be
// out of date, and an address another tenant's some day.
func (s *state) expire(now time.Time) {
	for _, e := range s.entries {
		if len(e.addrs) == 0 || e.failing.IsZero() || now.Sub(e.failing) < hold {
			continue
		}
		var kept []netip.Addr
		if now.Sub(e.failing) < holdMost {
			kept = slices.DeleteFunc(slices.Clone(e.addrs), e.gone)
		}
		if len(kept) < len(e.addrs) {
			s.assign(e, kept, now)
		}
	}
}

// interval is how often a target is asked in its present state.
func (s *state) interval(e *entry, now time.Time) time.Duration {
	age := now.Sub(e.changed)
	switch {
	case e.holds():
		return max(min(max(inMotion, e.waited(now)/30), quiet), time.Duration(s.holding)*perHeld)
	case e.runs():
		return min(max(upcoming, e.waited(now)/30), quiet)
	case e.waits() && e.waited(now) < fast:
		return pending
	case e.waits():
		// 100 ms after 3 s, a second after half a minute.
		return min(e.waited(now)/30, quiet)
	case !e.answered && len(e.addrs) > 0:
		return inMotion // an error, while addresses are still held
	case !e.answered:
		return unwanted
	case age < fast && !e.agrees():
		return min(max(closely, time.Duration(s.moving)*perMoving), inMotion)
	case e.moves():
		return max(inMotion, time.Duration(s.moving)*perMoving)
	}
	return s.rest(e)
}

// due returns the look-ups to start now and how long to wait if nothing else
// happens.
func (s *state) due(now time.Time) ([]lookup, time.Duration) {
	var ready []*entry
	wake := now.Add(quiet)
	moving, holding := 0, 0
	for _, e := range s.entries {
		if e.holds() {
			holding++
		}
		if e.answered && (e.moves() || now.Sub(e.changed) < fast) {
			moving++
		}
		if len(e.addrs) > 0 && !e.failing.IsZero() {
			for _, end := range []time.Duration{hold, holdMost} {
				if at := e.failing.Add(end); at.After(now) {
					wake = earlier(wake, at)
				}
			}
		}
		next := e.next
		if e.flying > 0 && !e.waits() {
			next = later(next, e.began.Add(hedgeAfter))
		}
		switch {
		case e.flying >= e.most():
			// Its end wakes.
		case next.After(now):
			wake = earlier(wake, next)
		default:
			ready = append(ready, e)
		}
	}
	s.moving, s.holding = moving, holding
	slices.SortFunc(ready, byLateness(now))
	var start []lookup
	for _, e := range ready {
		if s.flying >= maxFlying {
			break // the end of any one wakes
		}
		paid := !e.answered && !e.holds()
		leave := reserved
		if e.fresh || e.runs() {
			leave = 0
		}
		if paid && !s.tokens.take(now, leave) {
			wake = earlier(wake, s.tokens.next(now, leave))
			continue
		}
		s.number++
		s.flying++
		e.flying++
		e.fresh = false
		e.began = now
		e.every = s.interval(e, now)
		e.next = now.Add(e.every)
		switch {
		case e.every >= quiet:
			e.next = s.turn(e, now)
		case e.watchman && e.every == s.rest(e):
			e.next = s.round(e.every, now)
		}
		if e.flying < e.most() {
			wake = earlier(wake, e.next)
		}
		l := lookup{entry: e, name: e.target.Name, number: s.number, paid: paid, deadline: forwarded}
		if e.answered || len(e.target.Tasks) > 0 {
			l.deadline = patient
		}
		start = append(start, l)
	}
	return start, max(wake.Sub(now), 0)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// bucket limits look-ups without an answer.
type bucket struct {
	level float64
	at    time.Time
}

func (b *bucket) fill(now time.Time) {
	if !b.at.IsZero() {
		b.level = min(burst, b.level+rate*now.Sub(b.at).Seconds())
	}
	b.at = now
}

// take takes a token if it leaves that many.
func (b *bucket) take(now time.Time, leave int) bool {
	b.fill(now)
	if b.level < float64(1+leave) {
		return false
	}
	b.level--
	return true
}

// give returns a token that was not needed.
func (b *bucket) give(now time.Time) {
	b.fill(now)
	b.level = min(burst, b.level+1)
}

// charge takes a token afterwards, from a name that was thought to be answered.
func (b *bucket) charge(now time.Time) {
	b.fill(now)
	b.level = max(-burst, b.level-1)
}

// next is when take will succeed.
func (b *bucket) next(now time.Time, leave int) time.Time {
	b.fill(now)
	// A microsecond more, so that rounding does not wake too early.
	return now.Add(time.Duration((float64(1+leave)-b.level)/rate*float64(time.Second)) + time.Microsecond)
}
