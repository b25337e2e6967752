// Package static makes services of environment variables, as Docker Flow Proxy
// does: DFP_SERVICE_1_SERVICE_NAME and so on. It is pure.
package static

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
)

// prefix starts every variable.
const prefix = "DFP_SERVICE_"

// IDPrefix starts the ID of every service made here; Swarm's hold no dash.
const IDPrefix = "static-"

// Is reports whether a service's ID is one of this package.
func Is(id string) bool { return strings.HasPrefix(id, IDPrefix) }

// Options are the operator's settings that variables are read with.
type Options struct {
	// Separator is that of lists in labels; "," if empty.
	Separator string
	// Networks are those of the proxy, on which these services count as being.
	Networks []string
	// Protocol is the reqMode of services that do not choose.
	Protocol string
}

// Service is one service as the catalog would have it. Its labels are those of the
// variables, it opted in, and it is older than everything in the catalog.
type Service struct {
	catalog.Service
	// Err is why it cannot be routed at all, apart from what its labels say.
	Err error
	// Unknown are variables of it that mean nothing, sorted.
	Unknown []string
}

// Services reads variables ("NAME=text"). The result is sorted by ID.
func Services(environ []string, o Options) []Service {
	if o.Separator == "" {
		o.Separator = ","
	}
	names := variables()
	found := map[string]*Service{}
	called := map[string]string{}
	for _, entry := range environ {
		variable, text, _ := strings.Cut(entry, "=")
		rest, ok := strings.CutPrefix(variable, prefix)
		if !ok {
			continue
		}
		group := ""
		if n, tail, ok := strings.Cut(rest, "_"); ok && number(n) {
			group, rest = n, tail
		}
		s := found[group]
		if s == nil {
			s = &Service{Service: catalog.Service{
				ID: strings.TrimSuffix(IDPrefix+group, "-"), Name: strings.TrimSuffix(prefix+group, "_"),
				Labels: map[string]string{catalog.Notify: "true"}, Networks: o.Networks,
				// Nobody scales it, so its name should always have an answer.
				Mode: catalog.Global,
			}}
			if group == "" {
				s.ID = IDPrefix + "0"
			}
			found[group] = s
		}
		if rest == "SERVICE_NAME" {
			called[group] = strings.TrimSpace(text)
			continue
		}
		name, ok := labelOf(rest, names)
		if !ok {
			s.Unknown = append(s.Unknown, variable)
			continue
		}
		if base, _ := label.SplitIndex(name); strings.HasSuffix(base, "Header") {
			// Lists of headers are always separated by commas.
			text = strings.ReplaceAll(text, ",", o.Separator)
		}
		s.Labels[catalog.Prefix+name] = text
	}
	out := make([]Service, 0, len(found))
	for _, group := range slices.Sorted(maps.Keys(found)) {
		out = append(out, finish(*found[group], called[group], o))
	}
	slices.SortFunc(out, func(a, b Service) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// finish gives a service its name and its own place to the destination without an index.
func finish(s Service, name string, o Options) Service {
	if !validName(name) {
		s.Err = label.Faults{{Label: s.Name + "_SERVICE_NAME", Text: label.Show(name, false), Want: "the name of the service: letters, digits, dots, dashes and underscores"}}
	} else {
		s.Name = name
	}
	if _, ok := s.Labels[catalog.Prefix+"reqMode"]; !ok && o.Protocol != "" && o.Protocol != "http" {
		s.Labels[catalog.Prefix+"reqMode"] = o.Protocol
	}
	slices.Sort(s.Unknown)
	s.Labels = separate(s.Labels)
	return s
}

// separate gives the destination without an index one of its own, if there are others
// beside it: among labels it would only be what the others inherit, but among
// variables it is a destination like them, of which they inherit the host name alone.
func separate(texts map[string]string) map[string]string {
	has := func(name string) bool { _, ok := texts[catalog.Prefix+name]; return ok }
	last := 0
	for key := range texts {
		if _, i := label.SplitIndex(key); i > last {
			last = i
		}
	}
	if last == 0 || !has("servicePath") && !has("serviceDomain") || !has("port") && !has("httpsPort") {
		return texts
	}
	out := maps.Clone(texts)
	for _, spec := range labels.Table() {
		key := catalog.Prefix + spec.Name
		if text, ok := texts[key]; ok && spec.PerDestination {
			out[key+"."+strconv.Itoa(last+1)] = text
			delete(out, key)
		}
	}
	return out
}

// variables are the labels by the names of their variables.
func variables() map[string]string {
	out := map[string]string{"DISCOVERYTYPE": "discoveryType"}
	for _, spec := range slices.Concat(labels.Table(), labels.Unsupported()) {
		out[snake(spec.Name)] = spec.Name
	}
	return out
}

// snake writes servicePath as SERVICE_PATH.
func snake(name string) string {
	var b strings.Builder
	for _, r := range name {
		if unicode.IsUpper(r) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToUpper(r))
	}
	return b.String()
}

// labelOf finds the label of a variable without its prefix: PORT_2 is port.2.
func labelOf(rest string, names map[string]string) (string, bool) {
	if name, ok := names[rest]; ok {
		return name, true
	}
	at := strings.LastIndexByte(rest, '_')
	if at < 0 || !number(rest[at+1:]) {
		return "", false
	}
	name, ok := names[rest[:at]]
	return name + "." + rest[at+1:], ok
}

// number reports whether a text is a positive number of few digits.
func number(text string) bool {
	n, err := strconv.Atoi(text)
	return err == nil && n > 0 && len(text) <= 4 && text[0] != '0' && text[0] != '+'
}

// validName reports whether Swarm could have a service of this name.
func validName(name string) bool {
	return name != "" && len(name) <= 63 && !strings.ContainsFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.')
	})
}

// NameError says that a service with routes has the name already: one of the swarm,
// which comes before all variables, or of other variables.
type NameError struct{ Name string }

// Error names the name.
func (e *NameError) Error() string {
	return fmt.Sprintf("another service is called %s, and comes before these variables", e.Name)
}
