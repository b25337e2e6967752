// Package label reads the labels of one service as typed values.
//
// Every fault is collected with the label's name, its text and what would have
// been right, so that a user sees all of them at once. The same reader serves at
// start-up and at run time.
package label

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Spec describes one label for readers, documentation and the warning of
// unknown labels. A component's table of Specs is the truth about its labels.
type Spec struct {
	// Name is the label without its prefix ("servicePath").
	Name string
	// Kind says in words what the text must be ("list of paths").
	Kind string
	// Default is what holds when the label is absent, in words.
	Default string
	// Doc is one or two sentences for the reference page.
	Doc string
	// Task is what the label is used for, by which the reference page groups labels.
	Task string
	// Example is labels without their prefix, one NAME=TEXT on each line: this one, and those
	// that it needs beside it. Beside a route (or a scrape, or bounds) of a service they are
	// accepted, which a test sees.
	Example string
	// Indexed labels may end in ".1", ".2", ...
	Indexed bool
	// Secret texts are never shown in a fault, status or log.
	Secret bool
	// Guarding labels keep somebody out, or keep something from being read. Without its
	// label a service would be open, so such a label must never be passed over in silence.
	Guarding bool
	// Strict labels decide who gets in, or bound what may be done. Others that are empty, as an unset variable of a
	// stack file leaves them, are absent; an empty Strict label is a fault, and so is one at
	// an index that leads nowhere, or whose name is nearly that of one.
	Strict bool
	// HTTPOnly labels mean nothing where only connections are seen, not requests.
	HTTPOnly bool
	// Own labels may differ between services that share a group: they say which requests
	// are a member's, or where its tasks are. What the others say, all members must say.
	Own bool
	// PerDestination labels belong to one destination, also without an index, where a
	// service is described by variables of the environment.
	PerDestination bool
}

// Fault is what is wrong with one label.
type Fault struct {
	// Label is the full name, with prefix and index.
	Label string
	// Text is what the label says, redacted if it is secret and shortened if it is long.
	Text string
	// Want says what would be right.
	Want string
}

// Error names the label, its text and what would be right.
func (f *Fault) Error() string {
	return fmt.Sprintf("%s=%q: want %s", f.Label, f.Text, f.Want)
}

// Faults are all faults of one service, as one error.
type Faults []*Fault

// mostTold is how many faults are told at once: labels have room for thousands, and who mends
// the first ones mends them all.
const mostTold = 20

// Error joins the first faults with "; ".
func (f Faults) Error() string {
	texts := make([]string, 0, mostTold+1)
	for _, fault := range f[:min(len(f), mostTold)] {
		texts = append(texts, fault.Error())
	}
	if more := len(f) - len(texts); more > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(texts, "; ")
}

// First returns the first fault in an error made by a Reader, nil if there is none.
func First(err error) *Fault {
	var all Faults
	if errors.As(err, &all) && len(all) > 0 {
		return all[0]
	}
	var one *Fault
	if errors.As(err, &one) {
		return one
	}
	return nil
}

// maxShown is how much of a faulty text is repeated, in bytes.
const maxShown = 120

// Show makes a label's text fit for a message: shortened, and hidden if secret.
func Show(text string, secret bool) string {
	if secret {
		return "(hidden)"
	}
	if len(text) > maxShown {
		return strings.ToValidUTF8(text[:maxShown], "") + fmt.Sprintf("... (%d bytes)", len(text))
	}
	return text
}

// Reader reads the labels of one service. It belongs to one goroutine.
type Reader struct {
	prefix    string
	separator string
	labels    map[string]string
	table     []Spec
	faults    Faults
	seen      map[string]bool
}

// NewReader reads labels that start with prefix, as table describes them. Lists
// are split at separator, "," if empty.
func NewReader(prefix string, labels map[string]string, table []Spec, separator string) *Reader {
	if separator == "" {
		separator = ","
	}
	return &Reader{prefix: prefix, separator: separator, labels: labels, table: table}
}

// Err returns all faults found so far as Faults, or nil.
func (r *Reader) Err() error {
	if len(r.faults) == 0 {
		return nil
	}
	return r.faults
}

// Service returns the group of the labels without an index.
func (r *Reader) Service() Group { return Group{r: r} }

// At returns the group of one index, or of the labels without an index if it is 0.
func (r *Reader) At(index int) Group { return Group{r: r, Index: index} }

// Groups returns the groups whose index appears on one of names, in ascending
// order; without any, the group without an index. Indexes are any positive
// numbers, gaps are allowed.
func (r *Reader) Groups(names ...string) []Group {
	indexes := map[int]bool{}
	for key := range r.labels {
		name, ok := strings.CutPrefix(key, r.prefix)
		if !ok {
			continue
		}
		base, index := SplitIndex(name)
		if index > 0 && slices.Contains(names, base) && !r.empty(base, r.labels[key]) {
			indexes[index] = true
		}
	}
	if len(indexes) == 0 {
		return []Group{{r: r}}
	}
	groups := make([]Group, 0, len(indexes))
	for _, i := range slices.Sorted(maps.Keys(indexes)) {
		groups = append(groups, Group{r: r, Index: i})
	}
	return groups
}

// SplitIndex takes "port.2" apart into "port" and 2. A name without a positive
// number behind its last dot has index 0.
func SplitIndex(name string) (string, int) {
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 {
		return name, 0
	}
	digits := name[dot+1:]
	if digits == "" || digits[0] < '1' || digits[0] > '9' || len(digits) > 4 {
		return name, 0
	}
	n, err := strconv.Atoi(digits)
	if err != nil {
		return name, 0
	}
	return name[:dot], n
}

// Group reads the labels of one index; what is absent there is inherited from
// the labels without an index.
type Group struct {
	r *Reader
	// Index is 0 for the labels without an index.
	Index int
}

// find returns the full label that applies, if one does, and its text. An inherited label is
// one label, so its fault is reported once. An empty one is none, unless it is Strict.
func (g Group) find(name string) (full, text string, ok bool) {
	text, own, ok := g.lookUp(name)
	if ok {
		full = g.full(name, own)
	}
	return full, text, ok
}

// lookUp returns the text of the label that applies, and whether it is the index's own. Nearly
// all labels are absent, so no full name is made only to see that.
func (g Group) lookUp(name string) (text string, own, ok bool) {
	var room [64]byte
	full := append(append(room[:0], g.r.prefix...), name...)
	if g.Index > 0 {
		indexed := strconv.AppendInt(append(full, '.'), int64(g.Index), 10)
		if text, ok = g.r.labels[string(indexed)]; ok && !g.r.empty(name, text) {
			return text, true, true
		}
	}
	text, ok = g.r.labels[string(full)]
	return text, false, ok && !g.r.empty(name, text)
}

// full is the full name of a label, at the index or inherited.
func (g Group) full(name string, own bool) string {
	if own && g.Index > 0 {
		return g.r.prefix + name + "." + strconv.Itoa(g.Index)
	}
	return g.r.prefix + name
}

// empty reports whether a label with this text is absent.
func (r *Reader) empty(name, text string) bool {
	return strings.Trim(text, " \t\r\n") == "" && !slices.ContainsFunc(r.table, func(s Spec) bool { return s.Strict && s.Name == name })
}

// Own reports whether the label stands at this very index, not inherited.
func (g Group) Own(name string) bool {
	_, own, ok := g.lookUp(name)
	return ok && (g.Index == 0 || own)
}

// Has reports whether the label stands at this index or is inherited.
func (g Group) Has(name string) bool {
	_, _, ok := g.lookUp(name)
	return ok
}

// Blank reports whether the label is there and holds nothing but separators and
// white space, so that it is a list without elements.
func (g Group) Blank(name string) bool {
	text, _, ok := g.lookUp(name)
	return ok && strings.Trim(text, g.r.separator+" \t\r\n") == ""
}

// Label returns the full name of the label that applies, or would apply.
func (g Group) Label(name string) string {
	_, own, _ := g.lookUp(name)
	return g.full(name, own)
}

// Reject records a fault of the label that applies, for rules that only the caller knows.
func (g Group) Reject(name, want string) {
	text, own, _ := g.lookUp(name)
	g.r.reject(name, g.full(name, own), text, want)
}

// RejectText is Reject for a part of the text, such as one element of a list.
func (g Group) RejectText(name, part, want string) {
	g.r.reject(name, g.Label(name), part, want)
}

func (r *Reader) reject(name, full, text, want string) {
	id := full + "\x00" + text + "\x00" + want
	if r.seen[id] {
		return
	}
	if r.seen == nil {
		r.seen = map[string]bool{}
	}
	r.seen[id] = true
	secret := slices.ContainsFunc(r.table, func(s Spec) bool { return s.Secret && s.Name == name })
	r.faults = append(r.faults, &Fault{Label: full, Text: Show(text, secret), Want: want})
}

// Text returns the label's text, which must be on one line and free of control
// characters. The result is def when the label is absent or at fault.
func (g Group) Text(name, def string) string {
	full, text, ok := g.find(name)
	if !ok {
		return def
	}
	if i := strings.IndexFunc(text, unicode.IsControl); i >= 0 {
		g.r.reject(name, full, text, "text on one line, without control characters")
		return def
	}
	return text
}

// Word is Text that may not be empty or hold white space.
func (g Group) Word(name, def string) string {
	text := strings.TrimSpace(g.Text(name, def))
	if g.Has(name) && (text == "" || strings.ContainsFunc(text, unicode.IsSpace)) {
		g.Reject(name, "one word")
		return def
	}
	return text
}

// Int returns a whole number from least to most.
func (g Group) Int(name string, def, least, most int) int {
	full, text, ok := g.find(name)
	if !ok {
		return def
	}
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || n < least || n > most {
		g.r.reject(name, full, text, fmt.Sprintf("a whole number from %d to %d", least, most))
		return def
	}
	return n
}

// Bool returns true or false; 1, t, T, TRUE, 0, f, F and the like are understood too.
func (g Group) Bool(name string, def bool) bool {
	full, text, ok := g.find(name)
	if !ok {
		return def
	}
	b, err := strconv.ParseBool(strings.TrimSpace(text))
	if err != nil {
		g.r.reject(name, full, text, "true or false")
		return def
	}
	return b
}

// Seconds returns a duration given as a number of seconds ("20") or with a
// unit ("1m30s"), from least to most.
func (g Group) Seconds(name string, def, least, most time.Duration) time.Duration {
	full, text, ok := g.find(name)
	if !ok {
		return def
	}
	text = strings.TrimSpace(text)
	d, err := time.ParseDuration(text)
	if n, numErr := strconv.Atoi(text); numErr == nil && n >= 0 && n <= int(maxSeconds) {
		d, err = time.Duration(n)*time.Second, nil
	}
	if err != nil || d < least || d > most {
		g.r.reject(name, full, text, fmt.Sprintf("seconds, or a time such as 1m30s, from %s to %s", least, most))
		return def
	}
	return d
}

// maxSeconds keeps a number of seconds within time.Duration.
const maxSeconds = int64(1<<63-1) / int64(time.Second)

// List returns the elements of a list, without white space around them and
// without empty ones. It is nil when the label is absent or at fault.
func (g Group) List(name string) []string {
	if !g.Has(name) {
		return nil
	}
	var out []string
	for part := range strings.SplitSeq(g.Text(name, ""), g.r.separator) {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

// OneOf returns the element of allowed that equals the text, in any case of letters.
func (g Group) OneOf(name, def string, allowed ...string) string {
	full, text, ok := g.find(name)
	if !ok {
		return def
	}
	for _, a := range allowed {
		if strings.EqualFold(strings.TrimSpace(text), a) {
			return a
		}
	}
	g.r.reject(name, full, text, "one of "+strings.Join(allowed, ", "))
	return def
}
