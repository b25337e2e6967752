// Package catalog is the language of the house: what a swarm offers, as plain data.
//
// The listener writes it, everybody else reads it. Values are encoded as
// canonical JSON (see Encode), so equal state means equal bytes. The package
// knows neither Docker nor NATS and imports the standard library only.
package catalog

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Prefix starts every label that Waggle reads.
const Prefix = "com.df."

// Notify is the label by which a service opts in.
const Notify = Prefix + "notify"

// Mode says how Swarm runs a service.
type Mode string

// The modes of a Swarm service.
const (
	Replicated    Mode = "replicated"
	Global        Mode = "global"
	ReplicatedJob Mode = "replicated-job"
	GlobalJob     Mode = "global-job"
)

// Service is one Swarm service as published. It holds no version and no time of
// update: a deploy that changes nothing must not change its bytes.
type Service struct {
	// ID is Swarm's identifier; it changes when a service is removed and created again.
	ID string `json:"id"`
	// Name is the full name, with the stack before it ("shop_web").
	Name string `json:"name"`
	// Stack is the stack's name, empty for a service created by hand.
	Stack string `json:"stack,omitempty"`
	// Labels are the service labels under Prefix, with the prefix, verbatim.
	Labels map[string]string `json:"labels,omitempty"`
	// ContainerLabels are labels under Prefix that stand on the container
	// instead of the service, where they have no effect.
	ContainerLabels map[string]string `json:"containerLabels,omitempty"`
	Mode            Mode              `json:"mode"`
	// Replicas is the number asked for; 0 for a global service.
	Replicas uint64 `json:"replicas"`
	// Networks are the names of the overlay networks it is on, sorted.
	Networks []string `json:"networks,omitempty"`
	// EndpointMode is "vip" or "dnsrr".
	EndpointMode string `json:"endpointMode,omitempty"`
	// CreatedAt decides between two services that claim the same thing.
	CreatedAt time.Time `json:"createdAt"`
	// UpdateState is Swarm's word for a rolling update under way or ended badly
	// ("updating", "paused", "rollback_started", ...), empty otherwise.
	UpdateState string `json:"updateState,omitempty"`
	// Update tells more of that update, and of the last one that ended; nil if there was none.
	Update *Update `json:"update,omitempty"`
	// Image is the image of the tasks, as it stands in the specification.
	Image string `json:"image,omitempty"`
	// Spec is a hash of the specification without labels and number of replicas.
	Spec string `json:"spec,omitempty"`
	// Previous is what the specification was before the last change of any kind; nil
	// if there was none.
	Previous *Previous `json:"previous,omitempty"`
	// Ports are the published ports, sorted.
	Ports []Port `json:"ports,omitempty"`
	// Withheld are the labels whose texts only those may read who need them, each
	// with a mark that changes with the text. Readers who may read them find the
	// texts among Labels, and Withheld empty.
	Withheld map[string]string `json:"withheld,omitempty"`
	// Oversize is how many bytes the service's labels take, if they are more than it
	// may bring: they were left out, all but Notify.
	Oversize int `json:"oversize,omitempty"`
}

// Update is Swarm's rolling update of a service.
type Update struct {
	// State is Swarm's word ("updating", "completed", "rollback_started", ...).
	State string `json:"state"`
	// Started is when it began.
	Started time.Time `json:"started,omitzero"`
	// Failure is what Swarm does if it fails ("pause", "continue", "rollback").
	Failure string `json:"failure,omitempty"`
	// Message is Swarm's own text.
	Message string `json:"message,omitempty"`
}

// Previous is a specification that was replaced, as far as it tells a deploy from a
// change of the number of replicas.
type Previous struct {
	// Replicas is the number asked for; 0 for a global service.
	Replicas uint64 `json:"replicas"`
	// Spec is the hash of the rest, comparable with that of the service.
	Spec string `json:"spec"`
}

// Port is one published port.
type Port struct {
	Published uint32 `json:"published"`
	Target    uint32 `json:"target"`
	// Protocol is "tcp", "udp" or "sctp", Mode "ingress" or "host".
	Protocol string `json:"protocol"`
	Mode     string `json:"mode"`
}

// Published are the ports that a service publishes under numbers of its own, sorted, each once.
func Published(ports []Port) []Port {
	ports = slices.DeleteFunc(ports, func(p Port) bool { return p.Published == 0 }) // each node gives it one of its own
	slices.SortFunc(ports, func(a, b Port) int {
		return cmp.Or(cmp.Compare(a.Published, b.Published), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Target, b.Target), cmp.Compare(a.Mode, b.Mode))
	})
	return slices.Compact(ports)
}

// OptedIn reports whether the service wants Waggle's attention: com.df.notify is
// "true", in any case of letters.
func (s Service) OptedIn() bool { return strings.EqualFold(s.Labels[Notify], "true") }

// CalledName is what the service is called in jobs, alerts and routes: its name, or
// the name without its stack when com.df.shortName is "true". It is never used
// to look the service up.
func (s Service) CalledName() string {
	if s.Stack != "" && strings.EqualFold(s.Labels[Prefix+"shortName"], "true") {
		return strings.TrimPrefix(s.Name, s.Stack+"_")
	}
	return s.Name
}

// Equal reports whether two services are published as the same bytes, without encoding
// them.
func (s Service) Equal(o Service) bool {
	return s.ID == o.ID && s.Name == o.Name && s.Stack == o.Stack && s.Mode == o.Mode && s.Replicas == o.Replicas &&
		s.EndpointMode == o.EndpointMode && s.UpdateState == o.UpdateState && s.CreatedAt.Equal(o.CreatedAt) &&
		s.Image == o.Image && s.Spec == o.Spec && s.Oversize == o.Oversize && same(s.Update, o.Update) && same(s.Previous, o.Previous) &&
		slices.Equal(s.Ports, o.Ports) && maps.Equal(s.Withheld, o.Withheld) &&
		SameLabels(s.Labels, o.Labels) && SameLabels(s.ContainerLabels, o.ContainerLabels) && slices.Equal(s.Networks, o.Networks)
}

// same compares what two pointers lead to.
func same[T comparable](a, b *T) bool { return a == b || a != nil && b != nil && *a == *b }

// SameLabels is maps.Equal, and at once if both are the same map, as they are in most
// comparisons of what was with what is: labels are shared and never changed.
func SameLabels(a, b map[string]string) bool {
	return reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer() || maps.Equal(a, b)
}

// ManualPrefix starts the ID of a service that came over HTTP instead of from the swarm, whose
// own hold no dash.
const ManualPrefix = "manual-"

// IsManual reports whether an ID is one of those.
func IsManual(id string) bool { return strings.HasPrefix(id, ManualPrefix) }

// Older orders services by age, then by ID: the order in which claims are settled.
func Older(a, b Service) int {
	return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
}

// Task is one running or starting task of a service.
type Task struct {
	ID   string `json:"id"`
	Slot int    `json:"slot,omitempty"`
	Node string `json:"node,omitempty"`
	// State and Desired are Swarm's words ("running", "shutdown", ...).
	State   string `json:"state"`
	Desired string `json:"desired"`
	// Addresses are the task's IPv4 addresses by network name, without mask.
	Addresses map[string][]string `json:"addresses,omitempty"`
}

// Running reports whether the task runs and is meant to.
func (t Task) Running() bool { return t.State == "running" && t.Desired == "running" }

// Unplaced reports whether the task waits for a node with room for it.
func (t Task) Unplaced() bool {
	return t.Desired == "running" && (t.State == "new" || t.State == "pending")
}

// Equal reports whether two tasks are published as the same bytes, without encoding them.
func (t Task) Equal(o Task) bool {
	return t.ID == o.ID && t.Slot == o.Slot && t.Node == o.Node && t.State == o.State && t.Desired == o.Desired &&
		maps.EqualFunc(t.Addresses, o.Addresses, slices.Equal[[]string])
}

// Node is one node of the swarm.
type Node struct {
	ID           string `json:"id"`
	Hostname     string `json:"hostname"`
	Address      string `json:"address,omitempty"`
	Role         string `json:"role"`
	Availability string `json:"availability"`
	State        string `json:"state"`
	// Labels are the com.df.* labels of engine and node, the node's winning,
	// with the prefix.
	Labels map[string]string `json:"labels,omitempty"`
}

// Revision names a state of the catalog. Revisions of different epochs cannot be
// compared: another epoch starts anew and never means older.
type Revision struct {
	Epoch    string `json:"epoch"`
	Sequence uint64 `json:"sequence"`
}

// Snapshot is the catalog at one moment. It is shared between goroutines and must not be changed.
type Snapshot struct {
	Revision Revision
	// Services and Nodes are keyed by ID, Tasks by the service's ID.
	Services map[string]Service
	Nodes    map[string]Node
	Tasks    map[string][]Task
	// Revisions are those of the services' entries, by ID.
	Revisions map[string]uint64
	// Cut tells how many tasks there are of each service that has more than are listed
	// here, by ID.
	Cut map[string]int
}

// Sorted returns the services, oldest first.
func (s Snapshot) Sorted() []Service {
	// A service is large, so it is not they that change places.
	type age struct {
		created time.Time
		id      string
	}
	ages := make([]age, 0, len(s.Services))
	for id, svc := range s.Services {
		ages = append(ages, age{svc.CreatedAt, id})
	}
	slices.SortFunc(ages, func(a, b age) int { return cmp.Or(a.created.Compare(b.created), cmp.Compare(a.id, b.id)) })
	out := make([]Service, len(ages))
	for i, a := range ages {
		out[i] = s.Services[a.id]
	}
	return out
}

// ByName finds a service by its full name.
func (s Snapshot) ByName(name string) (Service, bool) {
	for _, svc := range s.Services {
		if svc.Name == name {
			return svc, true
		}
	}
	return Service{}, false
}
