package keep

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// editor collects edits of a text, by what its parser says of places.
type editor struct {
	text []byte
	// lines are where lines begin, as YAML counts them.
	lines []int
	edits []edit
}

// edit is a part of the text that another one replaces.
type edit struct {
	from, to int
	text     string
}

// breaks are what ends a line in YAML, a longer one before its beginning.
func breaks() []string { return []string{"\r\n", "\n", "\r", "\u0085", "\u2028", "\u2029"} }

// lineBreak returns what ends a line at the beginning of a text, empty if nothing does.
func lineBreak(text []byte) string {
	for _, b := range breaks() {
		if strings.HasPrefix(string(text[:min(len(text), len(b))]), b) {
			return b
		}
	}
	return ""
}

func lineStarts(text []byte) []int {
	starts := []int{0}
	for i := 0; i < len(text); {
		if b := lineBreak(text[i:]); b != "" {
			i += len(b)
			starts = append(starts, i)
			continue
		}
		i++
	}
	return starts
}

// offset is where a node, or what it is tagged or anchored by, begins; columns are counted
// in characters.
func (e *editor) offset(n *yaml.Node) int {
	if n.Line < 1 || n.Line > len(e.lines) {
		return len(e.text)
	}
	at := e.lines[n.Line-1]
	for range n.Column - 1 {
		_, size := utf8.DecodeRune(e.text[at:])
		at += size
	}
	return at
}

// apply returns the text with all edits.
func (e *editor) apply() []byte {
	slices.SortFunc(e.edits, func(a, b edit) int { return a.from - b.from })
	var out []byte
	at := 0
	for _, one := range e.edits {
		out = append(append(out, e.text[at:one.from]...), one.text...)
		at = one.to
	}
	return append(out, e.text[at:]...)
}

// place is how a mapping has a field.
type place int

const (
	// absent: it has none.
	absent place = iota
	// own: it has one itself.
	own
	// merged: it has one of another mapping that is merged into it.
	merged
	// unclear: it has both, and which one counts differs between versions of Docker.
	unclear
)

// field returns the key and the value of a field of a mapping's own, and how it has it.
func field(mapping *yaml.Node, name string) (key, value *yaml.Node, p place) {
	for i := 0; mapping.Kind == yaml.MappingNode && i < len(mapping.Content); i += 2 {
		k, v := mapping.Content[i], mapping.Content[i+1]
		switch {
		case k.Tag == "!!merge" && mergesIn(v, name, 0) && p == own:
			return key, value, unclear
		case k.Tag == "!!merge" && mergesIn(v, name, 0):
			p = merged
		case k.Kind == yaml.ScalarNode && k.Value == name && k.Tag != "!!merge":
			key, value, p = k, v, own
		}
	}
	return key, value, p
}

// deepest is how deep merges may lie in each other.
const deepest = 20

// mergesIn reports whether what is merged has a field.
func mergesIn(n *yaml.Node, name string, depth int) bool {
	if depth > deepest {
		return true
	}
	switch n.Kind {
	case yaml.AliasNode:
		return mergesIn(n.Alias, name, depth+1)
	case yaml.SequenceNode:
		return slices.ContainsFunc(n.Content, func(one *yaml.Node) bool { return mergesIn(one, name, depth+1) })
	case yaml.MappingNode:
		for i := 0; i < len(n.Content); i += 2 {
			if k := n.Content[i]; k.Value == name || k.Tag == "!!merge" && mergesIn(n.Content[i+1], name, depth+1) {
				return true
			}
		}
	}
	return false
}

// set adds the edit that gives a service its number, unless it has it. It returns what it
// changes, nil if nothing.
func (e *editor) set(root *yaml.Node, t target) (*Change, error) {
	mapping := root
	var key *yaml.Node
	what := ""
	for _, name := range []string{"services", t.name, "deploy"} {
		what = strings.TrimPrefix(what+"."+name, ".")
		var value *yaml.Node
		var p place
		key, value, p = field(mapping, name)
		switch {
		case p != own:
			return nil, shared(mapping, what, p, t)
		case value.Kind == yaml.AliasNode:
			return nil, shared(value, what, p, t)
		case value.Kind != yaml.MappingNode:
			return nil, &Refusal{value.Line, what, "is not a mapping"}
		}
		mapping = value
	}
	change := &Change{Service: t.full, To: t.number, Live: t.live, Fault: t.fault}
	number, value, p := field(mapping, "replicas")
	var err error
	switch p {
	case absent:
		err = e.insert(what, key, mapping, t.number)
	case own:
		change.From, err = e.replace(what+".replicas", number, value, t.number)
	default:
		err = shared(mapping, what+".replicas", p, t)
	}
	if err != nil || change.From == strconv.FormatUint(t.number, 10) || p == merged {
		return nil, err
	}
	return change, nil
}

// shared refuses to change what others may share, unless it is right as it is.
func shared(n *yaml.Node, what string, p place, t target) error {
	if p != unclear && t.has == t.value() {
		return nil
	}
	return &Refusal{n.Line, what, "comes from an anchor, which others may share: write it out here, below what is merged"}
}

// replace adds the edit that puts a number in place of a value, and returns what stood there.
func (e *editor) replace(what string, key, value *yaml.Node, number uint64) (string, error) {
	text := strconv.FormatUint(number, 10)
	if value.Kind == yaml.ScalarNode && value.Value == "" && value.Tag == "!!null" && value.Anchor == "" {
		return "", e.fill(what, key, text)
	}
	from, ok := e.behindAnchor(e.offset(value))
	if !ok {
		return "", &Refusal{value.Line, what, "has a tag, or an anchor on a line of its own: write the number alone"}
	}
	length := e.length(value, from)
	if length <= 0 {
		return "", &Refusal{value.Line, what, "is more than a number on one line: write the number alone"}
	}
	e.edits = append(e.edits, edit{from, from + length, text})
	return string(e.text[from : from+length]), nil
}

// fill adds the edit that gives a key without a value one.
func (e *editor) fill(what string, key *yaml.Node, text string) error {
	at := e.offset(key)
	if length := e.length(key, at); length > 0 {
		at += length
	}
	at += len(e.text[at:]) - len(bytes.TrimLeft(e.text[at:], " \t"))
	if at >= len(e.text) || e.text[at] != ':' {
		return &Refusal{key.Line, what, "has no value behind a colon: write one"}
	}
	e.edits = append(e.edits, edit{at + 1, at + 1, " " + text})
	return nil
}

// behindAnchor returns where the value of what begins at an offset is, if that is on the
// same line and has no tag.
func (e *editor) behindAnchor(at int) (int, bool) {
	if at < len(e.text) && e.text[at] == '&' {
		length := bytes.IndexAny(e.text[at:], " \t\r\n")
		if length < 0 {
			return at, false
		}
		at += length
		at += len(e.text[at:]) - len(bytes.TrimLeft(e.text[at:], " \t"))
	}
	return at, at < len(e.text) && e.text[at] != '!' && lineBreak(e.text[at:]) == ""
}

// length is that of the text of a scalar or an alias on one line, 0 if it is not such a one.
func (e *editor) length(value *yaml.Node, at int) int {
	line := e.text[at:]
	for i := range line {
		if lineBreak(line[i:]) != "" {
			line = line[:i]
			break
		}
	}
	switch {
	case value.Kind == yaml.AliasNode:
		return whole(line, "*"+value.Value)
	case value.Kind != yaml.ScalarNode || len(line) == 0:
		return 0
	case line[0] == '\'':
		for i := 1; i < len(line); i++ {
			switch {
			case line[i] != '\'':
			case i+1 < len(line) && line[i+1] == '\'':
				i++
			default:
				return i + 1
			}
		}
		return 0
	case line[0] == '"':
		for i := 1; i < len(line); i++ {
			switch line[i] {
			case '\\':
				i++
			case '"':
				return i + 1
			}
		}
		return 0
	case line[0] == '|' || line[0] == '>':
		return 0
	}
	return whole(line, value.Value)
}

// whole is the length of a text if a line begins with it.
func whole(line []byte, text string) int {
	if !bytes.HasPrefix(line, []byte(text)) {
		return 0
	}
	return len(text)
}

// insert adds the edit that gives a mapping, the value of a key, a number as its first field.
func (e *editor) insert(what string, key, mapping *yaml.Node, number uint64) error {
	if len(mapping.Content) == 0 {
		return &Refusal{mapping.Line, what, "is empty"}
	}
	first := mapping.Content[0]
	at := e.offset(first)
	if mapping.Style&yaml.FlowStyle != 0 {
		name := "replicas"
		if first.Style == yaml.DoubleQuotedStyle {
			name = strconv.Quote(name)
		}
		e.edits = append(e.edits, edit{at, at, fmt.Sprintf("%s: %d, ", name, number)})
		return nil
	}
	indent := e.text[e.lines[first.Line-1]:at]
	if first.Line <= key.Line || len(bytes.TrimLeft(indent, " ")) > 0 {
		return &Refusal{key.Line, what, "does not begin on a line of its own: write a number into it"}
	}
	below := e.lines[key.Line] // where the line of the key ends
	ending := ""
	for _, b := range breaks() {
		if bytes.HasSuffix(e.text[:below], []byte(b)) {
			ending = b
			break
		}
	}
	e.edits = append(e.edits, edit{below, below, fmt.Sprintf("%sreplicas: %d%s", indent, number, ending)})
	return nil
}
