package view

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/wagglehq/waggle/compose/waggle/internal/why"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/picture"
)

// Node is one of the swarm.
type Node struct {
	Name, Role, Availability, Condition, Address, Labels string
	State                                                why.State
	Running                                              int
}

// Key is what the node is known by.
func (n Node) Key() string { return n.Name }

// Nodes are all, by name.
func (k *Known) Nodes() []Node {
	p := k.Picture()
	running := map[string]int{}
	for _, tasks := range p.Tasks {
		for _, t := range tasks {
			if t.Running() {
				running[t.Node]++
			}
		}
	}
	var out []Node
	for _, n := range p.Nodes {
		one := Node{Name: n.Hostname, Role: n.Role, Availability: n.Availability, Condition: n.State, Address: n.Address, State: why.OK, Running: running[n.ID]}
		switch {
		case n.State != "ready":
			one.State = why.Broken
		case n.Availability != "" && n.Availability != "active":
			one.State = why.Warn
		}
		var labels []string
		for _, name := range slices.Sorted(maps.Keys(n.Labels)) {
			labels = append(labels, name+"="+n.Labels[name])
		}
		one.Labels = strings.Join(labels, ", ")
		out = append(out, one)
	}
	slices.SortFunc(out, func(a, b Node) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// Task is one of a service.
type Task struct {
	ID, Service, ServicePath, Name, Node, Condition, Addresses, Error string
	State                                                             why.State
}

// Key is what the task is known by.
func (t Task) Key() string { return t.ID }

// Tasks are those of all services that do not run as they should and, if a node is named, all
// of that node.
func (k *Known) Tasks(node string) []Task {
	p := k.Picture()
	var out []Task
	for _, svc := range p.Services {
		for _, t := range k.tasksOf(svc) {
			if t.Node == node || node == "" && t.State != why.OK {
				out = append(out, t)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Task) int {
		return cmp.Compare(slices.Index(States(), a.State), slices.Index(States(), b.State))
	})
	return out
}

func (k *Known) tasksOf(svc catalog.Service) []Task {
	p := k.Picture()
	var out []Task
	for _, t := range p.Tasks[svc.ID] {
		one := Task{
			ID: t.ID, Service: svc.Name, ServicePath: ServicePath(svc.Name), Name: svc.Name, Node: hostname(p, t.Node), Condition: condition(t),
			Addresses: addresses(t.Task), Error: t.Error, State: why.Wait,
		}
		if t.Slot > 0 {
			one.Name = fmt.Sprintf("%s.%d", svc.Name, t.Slot)
		}
		switch {
		case t.Error != "" || t.State == "failed" || t.State == "rejected" || t.State == "orphaned":
			one.State = why.Broken
		case t.Running():
			one.State = why.OK
			if i := slices.IndexFunc(p.Nodes, func(n catalog.Node) bool { return n.ID == t.Node }); i >= 0 && p.Nodes[i].State != "ready" {
				one.State, one.Error = why.Broken, "its node is "+p.Nodes[i].State
			}
		case t.Desired != "running":
			one.State = why.None
		}
		out = append(out, one)
	}
	slices.SortStableFunc(out, func(a, b Task) int {
		return cmp.Compare(slices.Index(States(), a.State), slices.Index(States(), b.State))
	})
	return out
}

// condition is Swarm's word, with what is wanted if that is another one.
func condition(t picture.Task) string {
	if t.State == t.Desired {
		return t.State
	}
	return t.State + ", to be " + t.Desired
}

// Replica is one instance of a component of Waggle.
type Replica struct {
	Component, Name, Version, Revision, Hash, Heard string
	// Agreement says whether those of the component have applied the same.
	Agreement string
	State     why.State
}

// Key is what the replica is known by.
func (r Replica) Key() string { return r.Component + " " + r.Name }

// Replicas are all instances of Waggle's components, and whether they agree.
func (k *Known) Replicas() []Replica {
	p := k.Picture()
	var out []Replica
	for _, component := range []string{"listener", "proxy", "monitor", "scaler"} {
		all := p.Of(component)
		if len(all) == 0 {
			out = append(out, Replica{Component: component, Agreement: "nothing has been heard of it", State: why.Broken})
			continue
		}
		slices.SortFunc(all, func(a, b picture.Instance) int { return cmp.Compare(a.Instance.Instance, b.Instance.Instance) })
		agreement, state := agree(all)
		for _, i := range all {
			r := Replica{
				Component: component, Name: i.Instance.Instance, Version: i.Version, Hash: i.Hash[:min(len(i.Hash), 12)], Agreement: agreement, State: state,
				Heard: Clock(p.Time.Add(-seconds(i.Heard)), p.Time), Revision: fmt.Sprint(i.Revision.Sequence),
			}
			switch {
			case i.Heard > catalog.AwayAfter.Seconds():
				r.State, r.Agreement = why.Broken, fmt.Sprintf("away: nothing was heard of it for %.0f s", i.Heard)
			case i.Behind > behind:
				r.State, r.Agreement = why.Broken, fmt.Sprintf("behind: for %.0f s it has not taken up the newest catalog", i.Behind)
			}
			out = append(out, r)
		}
	}
	return out
}

// behind is for how many seconds an instance may not have taken up the newest catalog.
const behind = 15

// agree tells whether the instances that are heard of have applied the same.
func agree(all []picture.Instance) (text string, state why.State) {
	hashes := map[string]bool{}
	n := 0
	for _, i := range all {
		if i.Heard <= catalog.AwayAfter.Seconds() {
			n++
			hashes[i.Hash] = true
		}
	}
	switch {
	case n == 1:
		return "it is the only one", why.OK
	case len(hashes) <= 1:
		return fmt.Sprintf("all %d agree", n), why.OK
	}
	return fmt.Sprintf("%d instances have applied %d different things", n, len(hashes)), why.Warn
}
