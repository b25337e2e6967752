package signal

import "time"

// Move is the wish that the tasks of a service be spread evenly over the nodes. It stands
// until they are, or until moving them does not help.
type Move struct {
	ServiceID string    `json:"serviceId"`
	Service   string    `json:"service"`
	Since     time.Time `json:"since"`
	// Revision is that of the wish in the store.
	Revision uint64 `json:"-"`
}
