package budget

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// The limits of one regular expression.
const (
	// mostRegexp is its length in bytes, mostStates how long it is with its counted
	// repetitions written out, and mostNested how deep its groups are.
	mostRegexp = 512
	mostStates = 2048
	mostNested = 16
	// mostOpen is how many repetitions may compete for the same text. HAProxy's library goes
	// back to each of them, so that the time grows with that power of the text's length.
	mostOpen = 3
	// fewTimes is how often something may be repeated without counting as a repetition that
	// competes.
	fewTimes = 8
)

// Regexp returns what would be right instead of a regular expression that may take too long,
// empty if nothing is wrong. It reads Perl's language as far as it must, and takes time in
// proportion to the length. Whether the text is a regular expression at all, others say.
func Regexp(text string) string {
	if len(text) > mostRegexp {
		return fmt.Sprintf("a regular expression of at most %d bytes, and this one has %d", mostRegexp, len(text))
	}
	p := &regexpParser{text: text}
	n := p.alternatives(0)
	switch {
	case p.deep:
		return fmt.Sprintf("groups within groups at most %d deep", mostNested)
	case p.at < len(text):
		return "a regular expression whose brackets are closed"
	case n.states > mostStates:
		return fmt.Sprintf("a regular expression with at most %d characters when its counted repetitions are written out", mostStates)
	case n.nested:
		return "no repetition within a repetition, such as (a+)+, unless each round begins or ends with a character that the rest of it has not, such as (/[a-z]+)+"
	}
	var open []opened
	if !n.anchored {
		open = append(open, opened{everything(), 1}) // it is tried at each place of the text
	}
	if deepest(n, &open) > mostOpen {
		return fmt.Sprintf("at most %d repetitions that can take the same text, such as .*, counting the beginning unless it is ^", mostOpen)
	}
	return ""
}

// set is a set of bytes.
type set [4]uint64

func everything() set { return set{^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)} }

func (s *set) add(c byte) { s[c>>6] |= 1 << (c & 63) }

func (s *set) addRange(from, to byte) {
	for c := int(from); c <= int(to); c++ {
		s.add(byte(c))
	}
}

func (s *set) join(o set) {
	for i := range s {
		s[i] |= o[i]
	}
}

func (s set) meets(o set) bool {
	for i := range s {
		if s[i]&o[i] != 0 {
			return true
		}
	}
	return false
}

func (s set) not() set {
	for i := range s {
		s[i] = ^s[i]
	}
	return s
}

func (s set) empty() bool { return s == set{} }

func (s set) size() int {
	n := 0
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

// node is a part of a regular expression.
type node struct {
	// subs are the parts of a sequence, or of alternatives.
	subs         []*node
	alternatives bool
	// repeated says that it is repeated so often that it competes with others for text,
	// counted that it comes a few times, but not always as often. look says that it takes no
	// text, although its parts are compared.
	repeated, counted, look bool
	// all are the characters that it may take, first those that it may begin with.
	all, first set
	// optional: it may take nothing. varies: not always as many characters.
	optional, varies bool
	// single: it takes exactly one character.
	single bool
	// anchored: it begins with ^ or takes anything from there on.
	anchored bool
	// nested: somewhere a repetition is ambiguous by what it repeats.
	nested bool
	states int
}

type regexpParser struct {
	text string
	at   int
	deep bool
	// anyCase is not undone at the end of a group, which makes sets too great at worst.
	anyCase bool
}

func (p *regexpParser) more() bool { return p.at < len(p.text) && !p.deep }

func (p *regexpParser) take(prefix string) bool {
	if strings.HasPrefix(p.text[p.at:], prefix) {
		p.at += len(prefix)
		return true
	}
	return false
}

// alternatives reads up to a closing bracket or the end.
func (p *regexpParser) alternatives(depth int) *node {
	if depth > mostNested {
		p.deep = true
		return &node{optional: true}
	}
	out := &node{alternatives: true, anchored: true}
	for {
		s := p.sequence(depth)
		out.single = (out.single || len(out.subs) == 0) && s.single && !out.first.meets(s.first)
		out.subs = append(out.subs, s)
		out.all.join(s.all)
		out.first.join(s.first)
		out.optional = out.optional || s.optional
		out.varies = out.varies || s.varies || len(out.subs) > 1
		out.anchored = out.anchored && s.anchored
		out.nested = out.nested || s.nested
		out.states += s.states
		if !p.more() || !p.take("|") {
			break
		}
	}
	if len(out.subs) == 1 {
		return out.subs[0]
	}
	out.varies = out.varies && !out.single
	return out
}

func (p *regexpParser) sequence(depth int) *node {
	out := &node{optional: true}
	for p.more() && p.text[p.at] != '|' && p.text[p.at] != ')' {
		if n := p.repetition(depth); n != nil {
			if len(out.subs) == 0 {
				out.anchored = n.anchored
			}
			out.subs = append(out.subs, n)
			if out.optional {
				out.first.join(n.first)
			}
			out.all.join(n.all)
			out.optional = out.optional && n.optional
			out.varies = out.varies || n.varies
			out.nested = out.nested || n.nested
			out.states += n.states
		}
	}
	out.single = len(out.subs) == 1 && out.subs[0].single
	return out
}

// repetition reads one part with the signs behind it that say how often it comes.
func (p *regexpParser) repetition(depth int) *node {
	n := p.part(depth)
	for p.more() {
		least, greatest, ok := p.times()
		if !ok {
			return n
		}
		n = repeat(n, least, greatest)
		if !p.take("?") {
			p.take("+")
		}
	}
	return n
}

// times reads a sign of how often something comes; greatest is -1 for any number.
func (p *regexpParser) times() (least, greatest int, ok bool) {
	switch {
	case p.take("*"):
		return 0, -1, true
	case p.take("+"):
		return 1, -1, true
	case p.take("?"):
		return 0, 1, true
	case !strings.HasPrefix(p.text[p.at:], "{"):
		return 0, 0, false
	}
	end := strings.IndexByte(p.text[p.at:], '}')
	if end < 0 {
		return 0, 0, false
	}
	from, to, isRange := strings.Cut(p.text[p.at+1:p.at+end], ",")
	least, errFrom := strconv.Atoi(from)
	greatest = least
	var errTo error
	if isRange && to == "" {
		greatest = -1
	} else if isRange {
		greatest, errTo = strconv.Atoi(to)
	}
	if from == "" && isRange {
		least, errFrom = 0, nil
	}
	if errFrom != nil || errTo != nil || least < 0 || least > mostStates || greatest > mostStates {
		if errFrom != nil || errTo != nil {
			return 0, 0, false // it is text
		}
		least, greatest = mostStates+1, mostStates+1
	}
	p.at += end + 1
	return least, greatest, true
}

func repeat(n *node, least, greatest int) *node {
	out := *n
	out.states = Times(max(1, least, greatest), n.states) + 1
	out.optional = n.optional || least == 0
	out.varies = n.varies || least != greatest
	out.single = n.single && least == 1 && greatest == 1
	out.counted = n.counted || greatest > 1 && least != greatest
	out.anchored = n.anchored && least > 0
	if greatest == 0 || greatest == 1 {
		return &out
	}
	out.nested = n.nested || ambiguous(n)
	if greatest < 0 || greatest > fewTimes && least != greatest {
		out = node{subs: []*node{n}, repeated: true, all: n.all, first: n.first, optional: out.optional, varies: true, nested: out.nested, states: out.states}
		out.anchored = n.single && n.all.size() >= 250 // HAProxy's library takes .* at the beginning for ^
	}
	return &out
}

// ambiguous reports whether several rounds of something can divide the same text in more
// than one way.
func ambiguous(n *node) bool {
	if n.single || n.all.empty() && !n.optional {
		return false
	}
	if n.optional || n.repeated || n.counted {
		return true
	}
	if n.alternatives {
		var seen set
		for _, s := range n.subs {
			if seen.meets(s.first) || ambiguous(s) {
				return true
			}
			seen.join(s.first)
		}
		return false
	}
	if !n.varies {
		return false
	}
	if len(n.subs) == 1 {
		return ambiguous(n.subs[0])
	}
	return len(n.subs) == 0 || !apart(n.subs, 0) && !apart(n.subs, len(n.subs)-1)
}

// apart reports whether one part of a sequence is one character that no other part takes.
func apart(subs []*node, at int) bool {
	if !subs[at].single {
		return false
	}
	for i, s := range subs {
		if i != at && s.all.meets(subs[at].all) {
			return false
		}
	}
	return true
}

// opened is a repetition that may still give back text to what follows: the characters
// that it takes, and how many repetitions compete with it for them, itself included.
type opened struct {
	all   set
	depth int
}

// deepest follows the text from left to right and returns the greatest number of repetitions
// that compete.
func deepest(n *node, open *[]opened) int {
	worst := 0
	switch {
	case n.repeated:
		one := opened{n.all, 1}
		for _, o := range *open {
			if o.all.meets(n.all) {
				one.depth = max(one.depth, o.depth+1)
			}
		}
		*open = append(*open, one)
		return one.depth
	case n.look:
		within := append([]opened(nil), *open...)
		worst = deepest(n.subs[0], &within)
	case n.alternatives:
		before := *open
		var after []opened
		for _, s := range n.subs {
			branch := append([]opened(nil), before...)
			worst = max(worst, deepest(s, &branch))
			after = union(after, branch)
		}
		*open = after
	case len(n.subs) > 0:
		for _, s := range n.subs {
			worst = max(worst, deepest(s, open))
		}
	case n.single && !n.optional:
		// What cannot take this character has ended before it.
		kept := (*open)[:0:0]
		for _, o := range *open {
			if o.all.meets(n.all) {
				kept = append(kept, o)
			}
		}
		*open = kept
	}
	return worst
}

// union joins what is open after alternatives; of equal sets the deepest stands for all.
func union(a, b []opened) []opened {
	for _, o := range b {
		known := false
		for i := range a {
			if a[i].all == o.all {
				a[i].depth, known = max(a[i].depth, o.depth), true
			}
		}
		if !known {
			a = append(a, o)
		}
	}
	return a
}

// part reads a character, a class, a group or an assertion.
func (p *regexpParser) part(depth int) *node {
	c := p.text[p.at]
	p.at++
	switch c {
	case '^':
		return &node{optional: true, anchored: true, states: 1}
	case '$':
		return &node{optional: true, states: 1}
	case '.':
		return one(everything())
	case '[':
		return one(p.class())
	case '(':
		return p.group(depth)
	case '\\':
		return p.escaped()
	}
	return p.character(c)
}

func one(s set) *node { return &node{all: s, first: s, single: true, states: 1} }

func (p *regexpParser) character(c byte) *node {
	var s set
	s.add(c)
	if p.anyCase {
		s.add(c ^ 0x20)
	}
	return one(s)
}

func (p *regexpParser) group(depth int) *node {
	look := false
	if p.take("?") {
		switch {
		case p.take("="), p.take("!"), p.take("<="), p.take("<!"):
			look = true
		default:
			p.options()
		}
	}
	n := p.alternatives(depth + 1)
	p.take(")")
	if !look {
		return n
	}
	// It takes nothing, but what stands in it is tried.
	return &node{optional: true, look: true, nested: n.nested, states: n.states, subs: []*node{n}}
}

// options reads what may stand behind "(?": flags, or a name.
func (p *regexpParser) options() {
	if p.take("P<") || p.take("<") || p.take("'") {
		if end := strings.IndexAny(p.text[p.at:], ">'"); end >= 0 {
			p.at += end + 1
		}
		return
	}
	for p.more() && p.text[p.at] != ':' && p.text[p.at] != ')' && p.text[p.at] != '>' {
		p.anyCase = p.anyCase || p.text[p.at] == 'i'
		p.at++
	}
	if p.more() && p.text[p.at] != ')' {
		p.at++
	}
}

// escaped reads what stands behind a backslash.
func (p *regexpParser) escaped() *node {
	if !p.more() {
		return &node{optional: true, states: 1}
	}
	c := p.text[p.at]
	p.at++
	if c == 'Q' {
		return p.quoted()
	}
	if strings.IndexByte("bBAzZGK", c) >= 0 {
		return &node{optional: true, anchored: c == 'A', states: 1}
	}
	if c >= '1' && c <= '9' || strings.IndexByte("gkXRC", c) >= 0 {
		// What a group took comes again: like a repetition of anything.
		return repeat(one(everything()), 0, -1)
	}
	return one(p.escape(c))
}

// quoted reads text up to \E, in which nothing has a meaning.
func (p *regexpParser) quoted() *node {
	out := &node{optional: true}
	for p.more() && !p.take(`\E`) {
		n := p.character(p.text[p.at])
		p.at++
		out.all.join(n.all)
		if out.optional {
			out.first, out.optional = n.first, false
		}
		out.subs = append(out.subs, n)
		out.states++
	}
	return out
}

// escape is the set of one escaped character.
func (p *regexpParser) escape(c byte) (s set) {
	switch c {
	case 'd', 'D':
		s.addRange('0', '9')
	case 'w', 'W':
		s.addRange('0', '9')
		s.addRange('a', 'z')
		s.addRange('A', 'Z')
		s.add('_')
	case 's', 'S', 'h', 'H', 'v', 'V':
		s.addRange(9, 13)
		s.add(' ')
	case 'n', 'r', 't', 'f', 'a', 'e':
		s.addRange(7, 27)
	case 'x', 'o', '0', 'p', 'P', 'N', 'c', 'u':
		// A number, a property or the like: taken for anything, with what tells it.
		if p.take("{") {
			if end := strings.IndexByte(p.text[p.at:], '}'); end >= 0 {
				p.at += end + 1
			}
		}
		return everything()
	default:
		s.add(c)
		if p.anyCase {
			s.add(c ^ 0x20)
		}
		return s
	}
	if c >= 'A' && c <= 'Z' {
		return s.not()
	}
	return s
}

// class reads what stands between square brackets.
func (p *regexpParser) class() (s set) {
	not := p.take("^")
	for first := true; p.more() && (first || p.text[p.at] != ']'); first = false {
		if end := strings.Index(p.text[p.at:], ":]"); strings.HasPrefix(p.text[p.at:], "[:") && end >= 0 {
			p.at += end + 2
			s.join(everything())
			continue
		}
		from, isOne := p.classItem()
		if isOne && p.at+1 < len(p.text) && p.text[p.at] == '-' && p.text[p.at+1] != ']' {
			p.at++
			to, _ := p.classItem()
			s.addRange(lowest(from), highest(to))
			continue
		}
		s.join(from)
	}
	p.take("]")
	if p.anyCase {
		for c := byte('a'); c <= 'z'; c++ {
			if both := pair(c, c^0x20); s.meets(both) {
				s.join(both)
			}
		}
	}
	if not && s != everything() { // all is what was not understood
		return s.not()
	}
	return s
}

func pair(a, b byte) (s set) {
	s.add(a)
	s.add(b)
	return s
}

// classItem reads one character of a class, or an escape for several.
func (p *regexpParser) classItem() (s set, one bool) {
	c := p.text[p.at]
	p.at++
	if c == '\\' && p.more() {
		c = p.text[p.at]
		p.at++
		s = p.escape(c)
		return s, s.size() == 1
	}
	s.add(c)
	return s, true
}

func lowest(s set) byte {
	for i, w := range s {
		if w != 0 {
			return byte(64*i + bits.TrailingZeros64(w)) //nolint:gosec // below 256
		}
	}
	return 0
}

func highest(s set) byte {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] != 0 {
			return byte(64*i + 63 - bits.LeadingZeros64(s[i])) //nolint:gosec // below 256
		}
	}
	return 0
}
