// Package migrate makes labels of Waggle of those that other proxies read, and says what has no
// counterpart. It is pure: texts with variables of a stack file stay as they are.
package migrate

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/wagglehq/waggle/pkg/catalog"
)

// Result is what becomes of one service.
type Result struct {
	Service string `json:"service"`
	// Labels are those for deploy.labels, with their prefix.
	Labels map[string]string `json:"labels"`
	// Lost is what has no counterpart, or not quite: a label, and what to know of it.
	Lost []string `json:"lost"`
	// Closed is what kept somebody out and could not be put over: a label, and what to do. Its
	// routes refuse everybody, or are left out, until that is done.
	Closed []string `json:"closed"`
}

// Translator makes labels of Waggle of those of another proxy; false if it finds none. shared are
// the labels of all services of the file, for what one defines and another uses.
type Translator func(service string, labels, shared map[string]string) (Result, bool)

// Translators are the proxies that are known, by name.
func Translators() map[string]Translator {
	return map[string]Translator{"traefik": traefik, "caddy": caddy}
}

// File translates all services of a stack or compose file, sorted by name.
func File(text []byte, translate Translator) ([]Result, error) {
	var file struct {
		Services map[string]struct {
			Labels anyLabels
			Deploy struct{ Labels anyLabels }
		}
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		return nil, err
	}
	if len(file.Services) == 0 {
		return nil, fmt.Errorf("it has no services")
	}
	labels, shared := map[string]map[string]string{}, map[string]string{}
	names := slices.Sorted(maps.Keys(file.Services))
	for _, name := range names {
		labels[name] = map[string]string{}
		maps.Copy(labels[name], file.Services[name].Labels)
		maps.Copy(labels[name], file.Services[name].Deploy.Labels)
		maps.Copy(shared, labels[name])
	}
	var out []Result
	for _, name := range names {
		if r, ok := translate(name, labels[name], shared); ok {
			r.Lost, r.Closed = once(r.Lost), once(r.Closed)
			out = append(out, r)
		}
	}
	return out, nil
}

// once is a list without repetitions, sorted, and never nil.
func once(list []string) []string {
	slices.Sort(list)
	return append([]string{}, slices.Compact(list)...)
}

// anyLabels are labels as a map or as a list.
type anyLabels map[string]string

// UnmarshalYAML reads either.
func (l *anyLabels) UnmarshalYAML(node *yaml.Node) error {
	*l = anyLabels{}
	if node.Kind == yaml.SequenceNode {
		var list []string
		if err := node.Decode(&list); err != nil {
			return err
		}
		for _, one := range list {
			name, text, _ := strings.Cut(one, "=")
			(*l)[name] = text
		}
		return nil
	}
	var all map[string]any
	if err := node.Decode(&all); err != nil {
		return err
	}
	for name, value := range all {
		if value == nil {
			value = ""
		}
		(*l)[name] = fmt.Sprint(value)
	}
	return nil
}

// draft gathers the labels of one service.
type draft struct {
	service string
	// routes are labels without prefix and index, one set for each way into the service.
	routes []map[string]string
	// whole are those of the service as a whole.
	whole        map[string]string
	lost, closed []string
}

func (d *draft) lose(label, why string) { d.lost = append(d.lost, label+": "+why) }

// Refuse is the label by which a route refuses everybody, and everybody are all addresses.
const (
	Refuse    = "deniedAddresses"
	everybody = "0.0.0.0/0,::/0"
)

// Refuses reports whether a route of a service refuses everybody.
func Refuses(r Result) bool {
	for _, text := range r.Labels {
		if strings.HasPrefix(text, everybody) {
			return true
		}
	}
	return false
}

// shut closes a route for want of a guard that the label was, and says what would take its place:
// without the guard it would be open to whom it kept out.
func (d *draft) shut(label string, route map[string]string, instead string) {
	route[Refuse] = everybody
	d.closed = append(d.closed, label+": "+instead)
}

// guard sets a label that keeps somebody out. Where it is set already, by another guard, both
// would have to agree, and no label says so.
func (d *draft) guard(label string, route map[string]string, name, text string) {
	if old, ok := route[name]; ok && old != text {
		d.shut(label, route, "it must hold beside another one, and there is one com.df."+name)
		return
	}
	route[name] = text
}

// speakTLS has a route reach its tasks over TLS. Their certificates are for an address that
// nobody knows beforehand, so that they are not verified, and that is said.
func (d *draft) speakTLS(label string, route map[string]string) {
	route["sslVerifyNone"] = "true"
	d.lose(label, "certificates of tasks are not verified by com.df.sslVerifyNone; com.df.sslCa or com.df.sslServerName in its place verifies them")
}

// result numbers the routes if there are several.
func (d *draft) result() Result {
	out := Result{Service: d.service, Labels: map[string]string{catalog.Notify: "true"}, Lost: d.lost, Closed: d.closed}
	for i, route := range d.routes {
		end := ""
		if len(d.routes) > 1 {
			end = "." + strconv.Itoa(i+1)
		}
		for name, text := range route {
			out.Labels[catalog.Prefix+name+end] = text
		}
	}
	for name, text := range d.whole {
		out.Labels[catalog.Prefix+name] = text
	}
	return out
}

// add joins a text to a label that is a list.
func add(route map[string]string, name, text string) {
	if old := route[name]; old != "" {
		text = old + "," + text
	}
	route[name] = text
}

// escaped is a text as one entry of a list, in which commas part entries.
func escaped(text string) string { return strings.ReplaceAll(text, ",", `\,`) }
