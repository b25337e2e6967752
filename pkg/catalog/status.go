package catalog

import "time"

// State is what became of a service in one component.
type State string

// The states of a service.
const (
	// StateAccepted: the labels are right; applying them is under way.
	StateAccepted State = "accepted"
	// StateApplied: in force, and verified.
	StateApplied State = "applied"
	// StateDegraded: in force, but something is missing, such as a running task.
	StateDegraded State = "degraded"
	// StateRejected: the present labels are not in force; the last accepted ones may be.
	StateRejected State = "rejected"
	// StateIgnored: the service did not ask for anything.
	StateIgnored State = "ignored"
)

// Status says what became of one service in one instance of a component, and why.
type Status struct {
	Component string `json:"component"`
	// Instance names the replica that says so.
	Instance  string `json:"instance,omitempty"`
	ServiceID string `json:"serviceId"`
	Service   string `json:"service"`
	State     State  `json:"state"`
	// Reason is for a person to read; it is empty when all is well.
	Reason string `json:"reason,omitempty"`
	// Label is the full name of the label at fault, if one is.
	Label string `json:"label,omitempty"`
	// Hint says what to do.
	Hint string `json:"hint,omitempty"`
	// Warnings are faults that did no harm, such as unknown labels.
	Warnings []string `json:"warnings,omitempty"`
	// Revision is that of the service's entry in the catalog that was judged. The
	// verdict is about older labels if the entry has another one by now.
	Revision Revision `json:"revision,omitzero"`
	// Since is when the instance first said this; a new revision of the service
	// with the same verdict does not change it.
	Since time.Time `json:"since,omitzero"`
}

// Instance is what one replica of a component says of itself.
type Instance struct {
	Component string `json:"component"`
	Instance  string `json:"instance"`
	// Revision is that of the last complete catalog that it has taken up.
	Revision Revision `json:"revision"`
	// Hash is that of what it has applied; equal on all replicas that agree.
	Hash    string    `json:"hash"`
	Version string    `json:"version"`
	Time    time.Time `json:"time"`
	// Settings are those by which it judges services, by the names of their flags,
	// secrets left out.
	Settings map[string]string `json:"settings,omitempty"`
	// Connections are the client connections that are open, for a proxy.
	Connections int `json:"connections,omitempty"`
	// Seen is what it alone sees, nil if it does not say.
	Seen *Seen `json:"seen,omitempty"`
}

// AwayAfter is how long nothing is heard of an instance before it counts as away.
const AwayAfter = 30 * time.Second
