// Package owners says whose hosts, paths and ports are whose: it reads the operator's file
// and answers what it admits. Whose a thing is that the file does not name, because
// somebody had it first, is for package claims to remember. It is pure.
package owners

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// The modes of a file.
const (
	// Enforce gives to each owner what the file lists, and to others its default.
	Enforce = "enforce"
	// FirstCome leaves to whoever comes first what the file does not list.
	FirstCome = "first-come"
	// Off is as if there were no file.
	Off = "off"
)

// Stack stands in paths and hosts of the default for the name of each stack.
const Stack = "$stack"

// Any as a host is every name that the file does not list.
const Any = "*"

// Everywhere as an aclName orders routes before those of all owners.
const Everywhere = "global"

// Grant is what an owner may have.
type Grant struct {
	// Owner is the stack that this one counts as, so that both share all; its own name if
	// empty.
	Owner string
	// Hosts are names and wildcards; Any admits every other one, and routes without a host.
	Hosts []string
	// Paths admit routes without a host below them.
	Paths []string
	// Ports are those for connections, which are listed for whoever may share them.
	Ports []int
	// Groups are names of com.df.serviceGroup that are shared with other owners.
	Groups []string
	// WellKnown admits routes below /.well-known for the hosts of all.
	WellKnown bool
	// Default admits com.df.isDefaultBackend.
	Default bool
	// Everywhere says that com.df.aclName orders routes before those of all owners.
	Everywhere bool
	// Names and Networks are where com.df.outboundHostname may lead.
	Names    []string
	Networks []netip.Prefix
	// Raw admits com.df.backendExtra.
	Raw bool
}

// grant is Grant as it stands in the file, with the lines of what is checked.
type grant struct {
	Owner          string `yaml:"owner"`
	Hosts          []text `yaml:"hosts"`
	Paths          []text `yaml:"paths"`
	Ports          []text `yaml:"ports"`
	Groups         []text `yaml:"groups"`
	WellKnown      bool   `yaml:"wellKnown"`
	DefaultBackend bool   `yaml:"defaultBackend"`
	ACLName        text   `yaml:"aclName"`
	Outbound       []text `yaml:"outbound"`
	Raw            bool   `yaml:"raw"`
}

// text is a word of the file and where it stands.
type text struct {
	value string
	line  int
}

// UnmarshalYAML is for package yaml.
func (t *text) UnmarshalYAML(n *yaml.Node) error {
	t.line = n.Line
	return n.Decode(&t.value)
}

type document struct {
	Mode     text             `yaml:"mode"`
	Stacks   map[string]grant `yaml:"stacks"`
	Services map[string]grant `yaml:"services"`
	Default  *grant           `yaml:"default"`
}

// unknown is how package yaml names a key that there is none of.
var unknown = regexp.MustCompile(`field (\S+) not found in type \S+`)

// Parse reads the file, which is YAML. Without text, and with mode off, it returns nil. An
// error names the line, or the key, and what would be right.
func Parse(content string) (*Owners, error) {
	if strings.TrimSpace(content) == "" {
		return nil, nil
	}
	var doc document
	d := yaml.NewDecoder(strings.NewReader(content))
	d.KnownFields(true)
	if err := d.Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		said := unknown.ReplaceAllString(strings.TrimPrefix(err.Error(), "yaml: "), "there is no key $1")
		return nil, errors.New(strings.Join(strings.Fields(strings.TrimPrefix(said, "unmarshal errors:")), " "))
	}
	o := &Owners{firstCome: doc.Mode.value == FirstCome, grants: map[string]Grant{}, hosts: map[string]string{}, ports: map[int][]string{}}
	switch doc.Mode.value {
	case Off:
		return nil, nil
	case Enforce, FirstCome:
	case "":
		return nil, errors.New("mode: want enforce, first-come or off")
	default:
		return nil, fmt.Errorf("line %d: mode: %q: want enforce, first-come or off", doc.Mode.line, doc.Mode.value)
	}
	for _, part := range []struct {
		key    string
		grants map[string]grant
		name   func(string) string
	}{{"stacks", doc.Stacks, func(s string) string { return s }}, {"services", doc.Services, ofService}} {
		for name, g := range part.grants {
			parsed, err := g.parse(false)
			if err != nil {
				return nil, fmt.Errorf("%s.%s: %w", part.key, name, err)
			}
			o.grants[part.name(name)] = parsed
		}
	}
	if doc.Default != nil {
		parsed, err := doc.Default.parse(true)
		if err != nil {
			return nil, fmt.Errorf("default: %w", err)
		}
		if parsed.Owner != "" {
			return nil, errors.New("default: owner: it stands beside a stack alone")
		}
		o.rest = parsed
	}
	return o, o.index()
}

// parse checks what stands in the file. general is the default, in which $stack may stand.
func (g grant) parse(general bool) (Grant, error) {
	out := Grant{Owner: g.Owner, WellKnown: g.WellKnown, Default: g.DefaultBackend, Raw: g.Raw}
	wrong := func(key string, t text, want string) error {
		return fmt.Errorf("line %d: %s: %q: want %s", t.line, key, t.value, want)
	}
	// What is checked of a text with $stack is what it would be for one.
	example := func(t text) string {
		if general {
			return strings.ReplaceAll(t.value, Stack, "stack")
		}
		return t.value
	}
	for _, t := range g.Hosts {
		host := strings.ToLower(example(t))
		if host != Any && !route.ValidHost(strings.TrimPrefix(host, "*.")) {
			return out, wrong("hosts", t, "names such as acme.com or *.acme.com, or * for all that are not listed")
		}
		out.Hosts = append(out.Hosts, strings.ToLower(t.value))
	}
	for _, t := range g.Paths {
		if !route.ValidPath(example(t)) {
			return out, wrong("paths", t, "paths such as /shop")
		}
		out.Paths = append(out.Paths, t.value)
	}
	for _, t := range g.Ports {
		n, ok := number(t.value)
		if !ok {
			return out, wrong("ports", t, "a whole number from 1 to 65535")
		}
		out.Ports = append(out.Ports, n)
	}
	for _, t := range g.Groups {
		out.Groups = append(out.Groups, t.value)
	}
	switch g.ACLName.value {
	case "":
	case Everywhere:
		out.Everywhere = true
	default:
		return out, wrong("aclName", g.ACLName, Everywhere+", or nothing")
	}
	for _, t := range g.Outbound {
		word := strings.ToLower(t.value)
		if a, err := netip.ParseAddr(word); err == nil {
			out.Networks = append(out.Networks, netip.PrefixFrom(a, a.BitLen()))
		} else if p, err := netip.ParsePrefix(word); err == nil {
			out.Networks = append(out.Networks, p.Masked())
		} else if route.ValidHost(strings.TrimPrefix(word, "*.")) {
			out.Names = append(out.Names, word)
		} else {
			return out, wrong("outbound", t, "host names, addresses or networks such as 10.20.0.0/16")
		}
	}
	return out, nil
}

// number reads the number of a port.
func number(word string) (n int, ok bool) {
	if word == "" || len(word) > 5 {
		return 0, false
	}
	for _, r := range word {
		if r < '0' || r > '9' {
			return 0, false
		}
		n = 10*n + int(r-'0')
	}
	return n, n > 0 && n <= 65535
}
