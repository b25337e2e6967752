package notify

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/wagglehq/waggle/pkg/catalog"
)

// The parameters that are not labels.
const (
	serviceName  = "serviceName"
	distribute   = "distribute"
	replicas     = "replicas"
	nodeInfo     = "nodeInfo"
	versionIndex = "versionIndex"
)

// scrapeNetwork is the label whose network nodeInfo is about.
const scrapeNetwork = catalog.Prefix + "scrapeNetwork"

// Standing says whether the present form of a name is to be told.
type Standing int

const (
	// Ready is told as it is.
	Ready Standing = iota
	// Early is told without nodeInfo, once, until its tasks run.
	Early
	// Held is not told yet; what was told of the name stands.
	Held
)

// Name is what there is to tell of one name.
type Name struct {
	// Create are the parameters of its create without nodeInfo, which is apart, and may be
	// empty. Remove are those of its remove.
	Create, Remove map[string]string
	NodeInfo       string
	Standing       Standing
	// Running says that as many tasks run as there should be.
	Running bool
	// base is the hash of Create, and full that with nodeInfo.
	base, full string
}

// Parameters are those of its create, with nodeInfo if there is any.
func (n Name) Parameters() map[string]string {
	if n.NodeInfo == "" {
		return n.Create
	}
	out := maps.Clone(n.Create)
	out[nodeInfo] = n.NodeInfo
	return out
}

// Rules say what is told of a service.
type Rules struct {
	// Label is the one by which services opt in, with its prefix.
	Label string
	// Prefix stands before each name, with "_" between, if it is not empty.
	Prefix string
	// NodeInfo tells of nodes and addresses of the tasks of services with scrapeNetwork, and
	// Addresses of the latter, too.
	NodeInfo, Addresses bool
	// Immediately tells of such a service before its tasks run, without nodeInfo.
	Immediately bool
	// Fresh reports whether the tasks that are known of a service are those of its present
	// form; nil: always.
	Fresh func(id string) bool
}

// OptedIn reports whether a service is told of.
func (r Rules) OptedIn(svc catalog.Service) bool {
	return strings.EqualFold(svc.Labels[r.Label], "true")
}

// Services returns what there is to tell of the services that opted in, by the name that
// is told. Of several services with one such name the oldest has it.
func (r Rules) Services(s catalog.Snapshot) map[string]Name {
	out := map[string]Name{}
	for _, svc := range s.Sorted() {
		name := r.nameOf(svc)
		if _, taken := out[name]; !taken && r.OptedIn(svc) {
			out[name] = r.service(name, svc, s)
		}
	}
	return out
}

// nameOf is what a service is called. A prefix stands before the full name, since
// shortName takes away what a name begins with, and that is the prefix then.
func (r Rules) nameOf(svc catalog.Service) string {
	if r.Prefix != "" {
		return r.Prefix + "_" + svc.Name
	}
	return svc.CalledName()
}

func (r Rules) service(name string, svc catalog.Service, s catalog.Snapshot) Name {
	remove := map[string]string{distribute: "true"}
	for label, text := range svc.Labels {
		if parameter, ok := strings.CutPrefix(label, catalog.Prefix); ok && label != r.Label {
			remove[parameter] = text
		}
	}
	remove[serviceName] = name
	create := maps.Clone(remove)
	delete(remove, replicas)
	if svc.Mode == catalog.Replicated || svc.Mode == catalog.ReplicatedJob {
		create[replicas] = strconv.FormatUint(svc.Replicas, 10)
	}
	tasks, listed := s.Tasks[svc.ID]
	network := svc.Labels[scrapeNetwork]
	waits := r.NodeInfo && network != ""
	if waits && r.Fresh != nil {
		listed = r.Fresh(svc.ID) && listed
	}
	n := Name{Create: create, Remove: remove, Running: listed && running(svc, tasks)}
	if waits {
		n.NodeInfo = r.nodeInfo(network, tasks, s.Nodes)
	}
	switch {
	case svc.Whole() != nil: // it is not known what would have to be told
		n.Standing = Held
	case waits && !n.Running && !(listed && ended(svc)):
		if n.Standing = Held; r.Immediately {
			n.Standing = Early
		}
	}
	return n.hashed()
}

// running reports whether as many tasks run as there should be. How many that are of a
// global service only Swarm knows, which makes a task for each node: all that there are.
func running(svc catalog.Service, tasks []catalog.Task) bool {
	var up uint64
	for _, t := range tasks {
		if t.Running() || t.State == "complete" {
			up++
		}
	}
	if svc.Mode == catalog.Global || svc.Mode == catalog.GlobalJob {
		return up > 0 && up == uint64(len(tasks))
	}
	return up >= svc.Replicas
}

// ended reports whether a rolling update ended before all tasks ran.
func ended(svc catalog.Service) bool {
	return slices.Contains([]string{"paused", "rollback_paused", "rollback_completed"}, svc.UpdateState) ||
		svc.Update != nil && svc.Update.State == "rollback_completed"
}

// nodeInfo is host name, address and node of each task that runs on the network, as JSON;
// empty if there is none.
func (r Rules) nodeInfo(network string, tasks []catalog.Task, nodes map[string]catalog.Node) string {
	var all [][3]string
	for _, t := range tasks {
		node, known := nodes[t.Node]
		if addresses := t.Addresses[network]; known && t.Running() && len(addresses) > 0 {
			one := [3]string{node.Hostname, addresses[0], t.Node}
			if !r.Addresses {
				one[1] = ""
			}
			all = append(all, one)
		}
	}
	if len(all) == 0 {
		return ""
	}
	slices.SortFunc(all, func(a, b [3]string) int {
		return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1]), cmp.Compare(a[2], b[2]))
	})
	text, err := json.Marshal(slices.Compact(all))
	if err != nil {
		return "" // texts can always be written
	}
	return string(text)
}

// Nodes returns what there is to tell of the nodes that are not down, by ID. version is
// Swarm's version of a node.
func Nodes(s catalog.Snapshot, version func(id string) uint64) map[string]Name {
	out := map[string]Name{}
	for id, node := range s.Nodes {
		if node.State != "down" {
			out[id] = Name{
				Create: NodeParameters(node, version(id)),
				Remove: map[string]string{"id": node.ID, "hostname": node.Hostname, "address": node.Address},
			}.hashed()
		}
	}
	return out
}

// NodeParameters are those of a node's create.
func NodeParameters(n catalog.Node, version uint64) map[string]string {
	out := map[string]string{}
	for label, text := range n.Labels {
		out[strings.TrimPrefix(label, catalog.Prefix)] = text
	}
	maps.Copy(out, map[string]string{
		"id": n.ID, "hostname": n.Hostname, "address": n.Address, "state": n.State, "role": n.Role,
		"availability": n.Availability, versionIndex: strconv.FormatUint(version, 10),
	})
	return out
}

// hashed is the name with its hashes. A node whose version alone changed is as it was.
func (n Name) hashed() Name {
	values := url.Values{}
	for name, text := range n.Create {
		if _, isNode := n.Create["id"]; name != versionIndex || !isNode || n.Create[serviceName] != "" {
			values.Set(name, text)
		}
	}
	hash := func() string {
		sum := sha256.Sum256([]byte(values.Encode()))
		return hex.EncodeToString(sum[:16])
	}
	n.base = hash()
	n.full = n.base
	if n.NodeInfo != "" {
		values.Set(nodeInfo, n.NodeInfo)
		n.full = hash()
	}
	return n
}
