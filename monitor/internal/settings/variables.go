// Package settings turns what an operator sets into flags and configuration of Prometheus:
// variables with the names of Docker Flow Monitor, a configuration of the operator's own, and
// files with scrape jobs. It is pure but for Read... functions.
//
// What stands in one place wins as a whole over another in this order: variable, base file,
// monitor's own. Lists are joined, maps merged. Two settings for one thing are an error that
// names both.
package settings

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// Tree is a piece of Prometheus' configuration.
type Tree map[string]any

// Global is a single value of the part global; empty if it is not there.
func (t Tree) Global(key string) string {
	global, _ := t["global"].(Tree)
	if v, ok := global[key]; ok {
		return fmt.Sprint(v)
	}
	return ""
}

// roots are the parts of the configuration that variables reach, by how their names begin.
// Those of which there are several have a number behind it.
var roots = []struct { //nolint:gochecknoglobals // a constant that Go cannot have
	prefix, key string
	several     bool
}{
	{"SCRAPE_CONFIGS", "scrape_configs", true}, {"REMOTE_WRITE", "remote_write", true}, {"REMOTE_READ", "remote_read", true},
	{"ALERTING", "alerting", false}, {"GLOBAL", "global", false},
}

// IsVariable reports whether a name is one of the variables that have no flag, of which there are
// any number: flags and options of Prometheus, and targets outside of the swarm.
func IsVariable(name string) bool {
	for _, prefix := range []string{hostPrefix, portPrefix} {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			n, err := strconv.Atoi(rest)
			return err == nil && n > 0
		}
	}
	return ours(name) || strings.HasPrefix(name, argPrefix)
}

// ours reports whether the name of a variable begins as those do that lead into the configuration.
func ours(name string) bool {
	for _, r := range roots {
		if strings.HasPrefix(name, r.prefix+"_") {
			return true
		}
	}
	return false
}

// maps of texts, whose variables have the value key=text.
var pairs = map[string]bool{"external_labels": true, "labels": true, "params": true, "required_matchers": true, "headers": true} //nolint:gochecknoglobals // a constant that Go cannot have

var numberBehind = regexp.MustCompile(`^(.*)_([1-9][0-9]{0,3})$`)

// step is one part of the path of a variable: a key, and a position if it is in a list.
type step struct {
	key   string
	index int
}

// setting is a variable with where it leads.
type setting struct {
	variable, text string
	path           []step
	// legacy is how Docker Flow wrote it before it had two underscores.
	legacy bool
}

// Set is what variables say of the configuration.
type Set struct {
	Tree Tree
	// Texts are those of the variables, by name.
	Texts map[string]string
	// by is the variable that set each place.
	by map[string]string
}

// By is the variable that set a single value below a top key; empty if none did.
func (s Set) By(top, key string) string { return s.by["/"+top+".0/"+key+".0"] }

// Blame names the variables because of which Prometheus does not take a configuration, by
// what it says, or by what it takes without one of them; if neither tells, all.
func (s Set) Blame(said string, takes func(without string) bool) []string {
	names := slices.Sorted(maps.Keys(s.Texts))
	var out []string
	for _, name := range names {
		at, _ := leads(name, s.Texts[name])
		key := at.path[len(at.path)-1].key
		if mentions(said, key) || strings.Contains(said, strconv.Quote(s.Texts[name])) {
			out = append(out, name)
		}
	}
	for _, name := range names {
		if len(out) == 0 && takes(name) {
			return []string{name}
		}
	}
	if len(out) == 0 {
		return names
	}
	return out
}

// mentions reports whether a word stands in a text.
func mentions(text, word string) bool {
	return slices.Contains(strings.FieldsFunc(text, func(c rune) bool { return c != '_' && (c < 'a' || c > 'z') && (c < '0' || c > '9') }), word)
}

// Without is the environment without one variable.
func Without(environ []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(entry string) bool { return strings.HasPrefix(entry, name+"=") })
}

// Variables reads the parts of the configuration that stand in variables, given as NAME=text.
func Variables(environ []string) (Set, error) {
	out := Set{Texts: map[string]string{}}
	var all []setting
	var errs []error
	for _, entry := range slices.Sorted(slices.Values(environ)) {
		name, text, _ := strings.Cut(entry, "=")
		if s, ok := leads(name, text); ok {
			all = append(all, s)
			out.Texts[name] = text
		} else if ours(name) {
			errs = append(errs, fmt.Errorf("%s: want a name that leads somewhere, such as SCRAPE_CONFIGS_1__JOB_NAME or GLOBAL__SCRAPE_INTERVAL", name))
		}
	}
	// Lists are in the order of their numbers, not of how these are written.
	slices.SortStableFunc(all, func(a, b setting) int { return comparePaths(a.path, b.path) })
	b := builder{by: map[string]string{}}
	root := &branch{}
	for _, s := range all {
		if err := b.put(root, s); err != nil {
			errs = append(errs, err)
		}
	}
	out.Tree, _ = root.value().(Tree)
	out.by = b.by
	return out, errors.Join(errs...)
}

func comparePaths(a, b []step) int {
	for i := range min(len(a), len(b)) {
		if c := cmp.Or(cmp.Compare(a[i].key, b[i].key), cmp.Compare(a[i].index, b[i].index)); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}

// leads takes the name of a variable apart. It is false for one that is none of these.
func leads(name, text string) (setting, bool) {
	for _, r := range roots {
		rest, ok := strings.CutPrefix(name, r.prefix+"_")
		if !ok {
			continue
		}
		s := setting{variable: name, text: text}
		first := step{key: r.key}
		if head, deeper, ok := strings.Cut(name, "__"); ok {
			if m := numberBehind.FindStringSubmatch(head); r.several && m != nil && m[1] == r.prefix {
				first.index, _ = strconv.Atoi(m[2]) // digits
			} else if head != r.prefix {
				return setting{}, false
			}
			if r.several && first.index == 0 {
				first.index = 1
			}
			s.path = []step{first}
			for part := range strings.SplitSeq(deeper, "__") {
				s.path = append(s.path, positioned(strings.ToLower(part)))
			}
			return s, true
		}
		if r.several {
			first.index = 1
		}
		key, label, isMap := strings.Cut(strings.ToLower(rest), "-")
		if isMap {
			s.text = label + "=" + text
		}
		s.path, s.legacy = []step{first, positioned(key)}, true
		return s, true
	}
	return setting{}, false
}

func positioned(key string) step {
	if m := numberBehind.FindStringSubmatch(key); m != nil {
		n, _ := strconv.Atoi(m[2]) // digits
		return step{m[1], n}
	}
	return step{key: key}
}

// branch is a part of the tree that is being built: a leaf, or further branches by key, each
// with its elements by number.
type branch struct {
	leaf any
	keys map[string]map[int]*branch
}

func (b *branch) child(s step) *branch {
	if b.keys == nil {
		b.keys = map[string]map[int]*branch{}
	}
	if b.keys[s.key] == nil {
		b.keys[s.key] = map[int]*branch{}
	}
	if b.keys[s.key][s.index] == nil {
		b.keys[s.key][s.index] = &branch{}
	}
	return b.keys[s.key][s.index]
}

func (b *branch) value() any {
	if b.keys == nil {
		if b.leaf == nil {
			return Tree{}
		}
		return b.leaf
	}
	out := Tree{}
	for key, elements := range b.keys {
		if one, ok := elements[0]; ok {
			out[key] = one.value()
			continue
		}
		list := []any{}
		for _, i := range slices.Sorted(maps.Keys(elements)) {
			list = append(list, elements[i].value())
		}
		out[key] = list
	}
	return out
}

// builder puts settings into a tree and remembers by which variable each place was set.
type builder struct{ by map[string]string }

func (b *builder) put(root *branch, s setting) error {
	at, where := root, ""
	for i, st := range s.path {
		last := i == len(s.path)-1
		if last && pairs[st.key] {
			return b.pair(at, where, st, s)
		}
		where = fmt.Sprintf("%s/%s.%d", where, st.key, st.index)
		if other, taken := b.by[where]; taken {
			return clash(other, s.variable)
		}
		if other, taken := at.keys[st.key]; taken && (st.index == 0) != (other[0] != nil) {
			return fmt.Errorf("%s: %s is a list in some variables and none in others", s.variable, st.key)
		}
		at = at.child(st)
		if last {
			if at.keys != nil {
				return fmt.Errorf("%s: other variables set parts of it", s.variable)
			}
			at.leaf = scalar(s.text)
			b.by[where] = s.variable
		}
	}
	return nil
}

// pair reads key=text into a map.
func (b *builder) pair(at *branch, where string, st step, s setting) error {
	key, text, ok := strings.Cut(s.text, "=")
	if key = strings.TrimSpace(key); !ok || key == "" {
		// The text may be a header with a password.
		return fmt.Errorf("%s: want name=text", s.variable)
	}
	inner := step{key: key}
	if st.key == "params" {
		// Each parameter is a list of texts.
		if inner = positioned(key); inner.index == 0 {
			inner.index = 1
		}
	}
	where = fmt.Sprintf("%s/%s/%s.%d", where, st.key, inner.key, inner.index)
	if other, taken := b.by[where]; taken {
		return clash(other, s.variable)
	}
	b.by[where] = s.variable
	at.child(step{key: st.key}).child(inner).leaf = text
	return nil
}

func clash(a, b string) error { return fmt.Errorf("%s and %s set the same: one is enough", a, b) }

// scalar is a text as Prometheus' configuration has it: numbers and truth as such, everything
// else as text.
func scalar(text string) any {
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		return text
	}
	switch v := v.(type) {
	case int, float64, bool:
		// What would be written otherwise, such as 1e3 or 007, is meant as it stands.
		if fmt.Sprint(v) == text {
			return v
		}
		if _, truth := v.(bool); truth {
			// Who reads it takes it for truth or, where a password stands, for its letters.
			return &yaml.Node{Kind: yaml.ScalarNode, Value: text}
		}
	}
	return text
}

// Merge joins two pieces of configuration: lists are joined, maps merged key by key, and of
// single values that of the second stays.
func Merge(one, other Tree) Tree {
	out := maps.Clone(one)
	if out == nil {
		out = Tree{}
	}
	for key, value := range other {
		switch value := value.(type) {
		case Tree:
			if own, ok := out[key].(Tree); ok {
				out[key] = Merge(own, value)
				continue
			}
		case []any:
			if own, ok := out[key].([]any); ok {
				out[key] = slices.Concat(own, value)
				continue
			}
		}
		out[key] = value
	}
	return out
}

// Jobs are the names of the scrape jobs in a piece of configuration.
func Jobs(t Tree) []string {
	var out []string
	list, _ := t["scrape_configs"].([]any)
	for _, one := range list {
		job, _ := one.(Tree)
		if name, ok := job["job_name"].(string); ok {
			out = append(out, name)
		}
	}
	return out
}
