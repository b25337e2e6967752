package controller

import (
	"cmp"
	"net/netip"
	"reflect"
	"slices"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/addresses"
	"github.com/wagglehq/waggle/proxy/internal/wish/outbound"
)

// Surroundings is what the proxy finds where it runs.
type Surroundings struct {
	// Own are its addresses, Gateways those of the node that it sees.
	Own, Gateways []netip.Addr
	// Shared are the networks of its container but that of the node: overlays.
	Shared []netip.Prefix
	// Control is the name of the network on which Waggle's services talk to each other.
	Control string
}

// neighbours tells whose addresses are and where no host outside may be, by the catalog. It
// makes that anew only if something it is made of has changed.
type neighbours struct {
	surroundings Surroundings
	// networks are those shared with services; empty means all.
	networks []string
	outbound outbound.Rules

	// made is of what the rest was made, kept so that no other map can have its place in
	// memory; unnamed says that a service was missing of which there are tasks.
	made    catalog.Snapshot
	unnamed bool
	known   addresses.Known
	// forbidden are the networks in which nobody may be whom a label has asked about requests.
	forbidden []netip.Prefix
}

// of returns what is known by a snapshot. current says that the listener is heard of.
func (n *neighbours) of(snapshot catalog.Snapshot, current bool) addresses.Known {
	if n.known.Version == 0 || n.unnamed || !sameMap(snapshot.Tasks, n.made.Tasks) || !sameMap(snapshot.Nodes, n.made.Nodes) {
		n.make(snapshot)
	}
	n.known.Current = current
	return n.known
}

func sameMap[T any](a, b map[string]T) bool {
	return reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer()
}

func (n *neighbours) make(snapshot catalog.Snapshot) {
	n.made, n.unnamed = snapshot, false
	owners, inside := addresses.Owners{}, n.fixed(snapshot)
	var control []netip.Addr
	for id, tasks := range snapshot.Tasks {
		svc, ok := snapshot.Services[id]
		n.unnamed = n.unnamed || !ok
		name := cmp.Or(svc.Name, id)
		ours := n.surroundings.Control != "" && slices.Contains(svc.Networks, n.surroundings.Control)
		for _, t := range tasks {
			for network, texts := range t.Addresses {
				for _, text := range texts {
					a, err := netip.ParseAddr(text)
					if err != nil {
						continue
					}
					if len(n.networks) == 0 || slices.Contains(n.networks, network) {
						owners[a] = append(owners[a], name)
					}
					if ours {
						inside = append(inside, outbound.Single(a, name+", which is on the control network"))
					}
					if network == n.surroundings.Control {
						control = append(control, a)
					}
				}
			}
		}
	}
	var unknown []outbound.Range
	for _, p := range n.surroundings.Shared {
		switch {
		case slices.ContainsFunc(control, p.Contains):
			inside = append(inside, outbound.Range{Net: p, What: "on the control network"})
		case snapshot.Tasks == nil:
			unknown = append(unknown, outbound.Range{Net: p, What: "on a network of the proxy, of which nothing is known without the catalog"})
		}
	}
	for _, names := range owners {
		slices.Sort(names)
	}
	// Services that are asked about requests stand on those networks, and go on to be asked when
	// a proxy starts without a bus.
	n.forbidden = n.outbound.Forbidden(inside)
	inside = append(inside, unknown...)
	n.known.Owners, n.known.Version = owners, n.known.Version+1
	n.known.Outside = func(host string, a netip.Addr) string { return n.outbound.Address(host, a, inside) }
}

// fixed are the addresses of the proxy and of nodes.
func (n *neighbours) fixed(snapshot catalog.Snapshot) []outbound.Range {
	var out []outbound.Range
	for _, a := range n.surroundings.Own {
		out = append(out, outbound.Single(a, "the proxy itself"))
	}
	for _, a := range n.surroundings.Gateways {
		out = append(out, outbound.Single(a, "the node of the proxy"))
	}
	for _, node := range snapshot.Nodes {
		if a, err := netip.ParseAddr(node.Address); err == nil && !a.IsUnspecified() {
			out = append(out, outbound.Single(a.Unmap(), "the node "+node.Hostname))
		}
	}
	return out
}

// whose is what the catalog knows of a service. virtual says that it is looked up by its
// virtual IP, which the catalog does not know: it is one address, and no task's.
func (t *targets) whose(svc catalog.Service, snapshot catalog.Snapshot, tasks []catalog.Task, virtual bool) addresses.Whose {
	w := addresses.Whose{Service: svc.Name, Wanted: int(svc.Replicas)} //nolint:gosec // Swarm runs fewer tasks
	_, cut := snapshot.Cut[svc.ID]
	for _, task := range tasks {
		if !task.Running() && hasAddress(task, t.networks) {
			w.Coming++
		}
	}
	_, w.Listed = snapshot.Tasks[svc.ID]
	switch {
	case svc.Mode == catalog.Global && w.Listed:
		w.Wanted = len(tasks)
	case svc.Mode == catalog.Global:
		w.Wanted = len(snapshot.Nodes)
	}
	switch {
	case isOperators(svc.ID):
		return addresses.Whose{} // the operator says what is meant
	case virtual:
		return addresses.Whose{Service: svc.Name, Wanted: 1}
	case cut || !fromSwarm(svc.ID):
		w.Open = true
	}
	return w
}

// hasAddress reports whether a task has an address on some networks, on any if none is named.
func hasAddress(task catalog.Task, networks []string) bool {
	for network, texts := range task.Addresses {
		if len(texts) > 0 && (len(networks) == 0 || slices.Contains(networks, network)) {
			return true
		}
	}
	return false
}
