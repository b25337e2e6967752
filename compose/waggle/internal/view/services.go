package view

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/wagglehq/waggle/compose/waggle/internal/why"
	"github.com/wagglehq/waggle/pkg/catalog"
)

// Line is one service of the board. Two lines that say the same are equal.
type Line struct {
	Name, Stack, Path string
	State             why.State
	// Rung is that of which State is told, with what is wrong and what would mend it.
	Rung, Text, Fix string
	// More is how many further rungs are broken.
	More int
	// Ways is where requests come in, Tasks how many run of those that should.
	Ways, Tasks string
}

// Key is what the line is known by.
func (l Line) Key() string { return l.Name }

// board are the lines of all services, the worst first, then by name.
func board(j *why.Judged) []Line {
	p := j.Picture()
	out := make([]Line, 0, len(p.Services))
	for _, svc := range p.Services {
		out = append(out, line(j, svc))
	}
	order := map[why.State]int{}
	for i, s := range States() {
		order[s] = i
	}
	slices.SortStableFunc(out, func(a, b Line) int {
		return cmp.Or(cmp.Compare(order[a.State], order[b.State]), strings.Compare(a.Name, b.Name))
	})
	return out
}

func line(j *why.Judged, svc catalog.Service) Line {
	l := Line{Name: svc.Name, Stack: svc.Stack, Path: ServicePath(svc.Name), Tasks: running(j, svc), State: why.None}
	if j.IsForeign(svc) {
		return l
	}
	l.Ways = strings.Join(ways(j.Proxy(svc)), "\n")
	l.State, l.Rung, l.Text, l.Fix, l.More = worst(j.Service(svc))
	return l
}

// worst is the first of the worst rungs, and how many others are broken.
func worst(a why.Answer) (state why.State, rung, text, fix string, more int) {
	for _, s := range []why.State{why.Broken, why.Warn, why.Wait} {
		first := true
		for _, r := range a.Rungs {
			switch {
			case r.State != s:
			case first:
				first, state, rung, text, fix = false, s, r.Rung, r.Text, fixOf(r)
			case s == why.Broken:
				more++
			}
		}
		if !first {
			return state, rung, text, fix, more
		}
	}
	return why.OK, "", "", "", 0
}

// fixOf is what mends a rung, unless what is wrong says so already.
func fixOf(r why.Rung) string {
	if strings.Contains(r.Text, r.Fix) {
		return ""
	}
	return r.Fix
}

func running(j *why.Judged, svc catalog.Service) string {
	n := j.Running(svc)
	if svc.Mode == catalog.Global || svc.Mode == catalog.GlobalJob {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d of %d", n, svc.Replicas)
}

// Count is how many services are in a state.
type Count struct {
	State why.State
	N     int
}

// Counts are those of all states.
func (k *Known) Counts() []Count {
	n := map[why.State]int{}
	for _, l := range k.Board {
		n[l.State]++
	}
	var out []Count
	for _, s := range States() {
		out = append(out, Count{s, n[s]})
	}
	return out
}

// Summary says in a sentence how the services are.
func (k *Known) Summary() string {
	var words []string
	for _, c := range k.Counts() {
		if c.N > 0 {
			words = append(words, fmt.Sprintf("%d %s", c.N, Word(c.State)))
		}
	}
	if len(words) == 0 {
		return "no services"
	}
	return strings.Join(words, ", ")
}

// Services are the lines in a state, all states if it is empty.
func (k *Known) Services(state why.State) []Line {
	if state == "" {
		return k.Board
	}
	return slices.DeleteFunc(slices.Clone(k.Board), func(l Line) bool { return l.State != state })
}

// Alarm is something wrong with Waggle itself.
type Alarm struct {
	State     why.State
	Text, Fix string
}

// Key is what the alarm is known by.
func (a Alarm) Key() string { return a.Text }

// Alarms are what is wrong with Waggle itself.
func (k *Known) Alarms() []Alarm {
	var out []Alarm
	o := k.Overview()
	if o.Bus != "connected" {
		out = append(out, Alarm{why.Broken, "the bus (NATS) is away: what stands here is from before", "docker service ps of the listener or of NATS, and their logs"})
	}
	if o.Failure != "" {
		out = append(out, Alarm{why.Broken, o.Failure, "docker node ls: the listener needs a manager that answers"})
	}
	for _, c := range o.Components {
		if c.Trouble != "" {
			out = append(out, Alarm{why.Broken, c.Trouble, "docker service ps " + cmp.Or(k.Picture().Stack, "waggle") + "_" + c.Component})
		}
	}
	for _, w := range o.Warnings {
		out = append(out, Alarm{why.Warn, w, "remove one of the two"})
	}
	return out
}

// Found is what a search has found.
type Found struct {
	Services []Line
	Nodes    []Node
}

// Search finds services by name, image, way and labels, and nodes by name, address and labels.
// Texts of secret labels are not known here.
func (k *Known) Search(query string) Found {
	query = strings.ToLower(strings.TrimSpace(query))
	if query == "" {
		return Found{}
	}
	var out Found
	for _, l := range k.Board {
		svc, _ := k.Picture().ByName(l.Name)
		if has(query, l.Name, l.Ways, svc.Image) || slices.ContainsFunc(labelsOf(svc), func(one Label) bool { return has(query, one.Name+"="+one.Text) }) {
			out.Services = append(out.Services, l)
		}
	}
	for _, n := range k.Nodes() {
		if has(query, n.Name, n.Address, n.Labels) {
			out.Nodes = append(out.Nodes, n)
		}
	}
	return out
}
