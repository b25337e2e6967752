package catalog

// Listing is what one full list of the swarm told.
type Listing struct {
	// Snapshot holds all services and nodes; it has no tasks and no revision.
	Snapshot Snapshot
	// Cluster is Swarm's ID of the cluster that was listed.
	Cluster string
	// Versions are Swarm's versions by key (ServiceKey, NodeKey). They are indexes of
	// one log, so they can be compared with each other, and grow for as long as
	// the swarm is not restored from a backup.
	Versions map[string]uint64
}
