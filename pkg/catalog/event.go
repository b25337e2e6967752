package catalog

// Event says that something changed, in the stream of events: for a person to read, and
// nothing depends on it.
type Event struct {
	// Kind is "created", "changed" or "removed" of a service or node of the catalog, and
	// "reload" when a component made its neighbour read a configuration anew.
	Kind      string `json:"kind"`
	ServiceID string `json:"serviceId,omitempty"`
	Service   string `json:"service,omitempty"`
	NodeID    string `json:"nodeId,omitempty"`
	// Node is the node's hostname.
	Node string `json:"node,omitempty"`
	// Instance is the one that made the reload.
	Instance string `json:"instance,omitempty"`
	// Text says what changed of the service, or why there was a reload. It holds no text of a
	// label.
	Text string `json:"text,omitempty"`
	// Services are those because of which there was a reload.
	Services []string `json:"services,omitempty"`
}

// The kinds of events.
const (
	EventCreated = "created"
	EventChanged = "changed"
	EventRemoved = "removed"
	EventReload  = "reload"
)
