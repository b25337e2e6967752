// Package picture is what the listener answers to the question how all is: the swarm, what
// the components say of it, and how they are. What cannot be known now is absent.
package picture

import (
	"encoding/hex"
	"maps"
	"slices"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
)

// Picture is the world at one moment. Texts of secret labels are never in it: the labels are
// named by Withheld of the service.
type Picture struct {
	Time time.Time `json:"time"`
	// Bus is "connected" or "away".
	Bus string `json:"bus"`
	// Failure says why the swarm cannot be listed, empty if it can.
	Failure string `json:"failure,omitempty"`
	// Stack is that of Waggle itself, empty if it is not known.
	Stack    string           `json:"stack,omitempty"`
	Revision catalog.Revision `json:"revision"`
	// Services are sorted by name, the others by ID; tasks are keyed by their service.
	Services  []catalog.Service `json:"services"`
	Nodes     []catalog.Node    `json:"nodes,omitempty"`
	Tasks     map[string][]Task `json:"tasks,omitempty"`
	Statuses  []Status          `json:"statuses,omitempty"`
	Instances []Instance        `json:"instances,omitempty"`
	// Accepted are the label sets in force, by component and ID of the service.
	Accepted map[string]map[string]catalog.Service `json:"accepted,omitempty"`
	// Certificates are those that the proxy serves, by name, with their hosts; nil if that is
	// not known. So are Secrets, the files of the proxy's folder of secrets.
	Certificates map[string][]string `json:"certificates"`
	Secrets      []string            `json:"secrets"`
	// Probes tell what a connection from the proxy meets, by full name of the service and
	// port ("8080", "vip:8080"); what is missing is not known.
	Probes map[string]map[string]Probe `json:"probes,omitempty"`
	// CertificateEnds are until when certificates are valid, by name.
	CertificateEnds map[string]time.Time `json:"certificateEnds,omitempty"`
	// Alerts fire; nil if that is not known.
	Alerts []Alert `json:"alerts"`
	// Unscraped are the targets that Prometheus does not reach, by address with port, with its
	// words, which are empty before it has tried; nil if that is not known.
	Unscraped map[string]string `json:"unscraped"`
	// Decisions are the last ones of the scaler, by full name of the service.
	Decisions map[string]Decision `json:"decisions,omitempty"`
}

// Connected is the word for a bus that is there.
const Connected = "connected"

// Task is a task with what Docker says of it.
type Task struct {
	catalog.Task
	// Error is Docker's own text, Exit the code with which the container ended.
	Error string `json:"error,omitempty"`
	Exit  int    `json:"exit,omitempty"`
}

// Status is what an instance said of a service.
type Status struct {
	catalog.Status
	// Earlier says that it is about labels that have changed since.
	Earlier bool `json:"earlier,omitempty"`
}

// Instance is one instance of a component.
type Instance struct {
	catalog.Instance
	// Heard is how many seconds ago it was heard of, Behind for how many it has not taken
	// up the newest catalog.
	Heard  float64 `json:"heard_s"`
	Behind float64 `json:"behind_s"`
}

// Probe is what a connection to a port meets.
type Probe string

// What a connection can meet.
const (
	// Answers: what the labels ask for.
	Answers Probe = "answers"
	HTTP    Probe = "http"
	TLS     Probe = "tls"
	Refused Probe = "refused"
	Timeout Probe = "timeout"
)

// Alert is one that fires.
type Alert struct {
	Name    string            `json:"name"`
	Service string            `json:"service"`
	Labels  map[string]string `json:"labels,omitempty"`
}

// Decision is what the scaler decided.
type Decision struct {
	Time      time.Time `json:"time"`
	Direction string    `json:"direction"`
	Action    string    `json:"action"`
	// Code says why in a word that stays the same, Want what asked; empty if that is not told.
	Code   string `json:"code,omitempty"`
	Want   string `json:"want,omitempty"`
	From   uint64 `json:"from"`
	To     uint64 `json:"to"`
	Reason string `json:"reason"`
}

// ByName returns the service of a full name.
func (p Picture) ByName(name string) (catalog.Service, bool) {
	i := slices.IndexFunc(p.Services, func(s catalog.Service) bool { return s.Name == name })
	if i < 0 {
		return catalog.Service{}, false
	}
	return p.Services[i], true
}

// Snapshot is the swarm for judges: labels whose texts are withheld are left out, because
// what they say is judged by the components alone.
func (p Picture) Snapshot() catalog.Snapshot {
	s := catalog.Snapshot{
		Revision: p.Revision, Services: make(map[string]catalog.Service, len(p.Services)), Nodes: make(map[string]catalog.Node, len(p.Nodes)),
		Tasks: make(map[string][]catalog.Task, len(p.Tasks)),
	}
	for _, svc := range p.Services {
		s.Services[svc.ID] = Plain(svc)
	}
	for _, n := range p.Nodes {
		s.Nodes[n.ID] = n
	}
	for id, tasks := range p.Tasks {
		for _, t := range tasks {
			if t.Desired == "running" {
				s.Tasks[id] = append(s.Tasks[id], t.Task)
			}
		}
	}
	return s
}

// serviceHeader is the one label whose secret text decides which requests are whose.
const serviceHeader = catalog.Prefix + "serviceHeader"

// Plain is a service for judges, who would wait for texts that are withheld: those labels are
// left out, but for serviceHeader, for which a text stands that no request has and that is the
// same where the mark is.
func Plain(svc catalog.Service) catalog.Service {
	withheld := svc.Withheld
	isCopy := false
	for full, mark := range withheld {
		if name, _ := label.SplitIndex(full); name != serviceHeader {
			continue
		}
		if !isCopy {
			svc.Labels, isCopy = maps.Clone(svc.Labels), true
		}
		if mark == "" {
			mark = svc.ID + full
		}
		svc.Labels[full] = "X-Withheld:" + hex.EncodeToString([]byte(mark))
	}
	svc.Withheld = nil
	return svc
}

// AcceptedBy are the label sets that a component has accepted, for judges.
func (p Picture) AcceptedBy(component string) map[string]catalog.Service {
	out := maps.Clone(p.Accepted[component])
	for id, svc := range out {
		out[id] = Plain(svc)
	}
	return out
}

// Of returns the instances of a component.
func (p Picture) Of(component string) []Instance {
	var out []Instance
	for _, i := range p.Instances {
		if i.Component == component {
			out = append(out, i)
		}
	}
	return out
}
