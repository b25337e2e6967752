// Package state makes the metrics of the swarm's state out of what Docker lists. Names, labels
// and meaning are a public contract. It is pure; the caller brings the time.
package state

import "github.com/wagglehq/waggle/pkg/catalog"

// ID is one of the metrics.
type ID int

// The metrics, in the order of Metrics.
const (
	serviceInfo ID = iota
	serviceCreated
	replicasDesired
	serviceTasks
	tasksUnplaced
	newestTask
	taskFailures
	updateState
	updateStarted
	serviceReservedCPU
	serviceReservedMemory
	nodeInfo
	nodeState
	nodeAvailability
	nodeLeader
	nodeReachable
	nodeCapacityCPU
	nodeCapacityMemory
	nodeReservedCPU
	nodeReservedMemory
	nodeTasks
	timestamp
)

// Metric says what a metric is.
type Metric struct {
	Name, Help string
	// Labels are the names of the labels. Of is which texts the last of them has, if they are
	// known beforehand.
	Labels []string
	Of     []string
	// Counter tells a counter from a gauge.
	Counter bool
}

// Metrics returns all metrics; an ID is an index of it.
func Metrics() []Metric {
	service, node := []string{"service"}, []string{"node", "node_id"}
	of := func(labels []string, name string) []string { return append(labels[:len(labels):len(labels)], name) }
	return []Metric{
		serviceInfo: {
			Name: "swarm_service_info", Labels: []string{"service", "service_id", "stack", "image", "mode"}, Of: modes(),
			Help: "1 for each service; the image is without its digest, and the stack empty for none.",
		},
		serviceCreated:  {Name: "swarm_service_created_timestamp_seconds", Labels: service, Help: "Unix time at which the service was made."},
		replicasDesired: {Name: "swarm_service_replicas_desired", Labels: service, Help: "How many tasks there should be: of a replicated service as asked for, of a global one the nodes on which Swarm wants a task, of a job the tasks that are not yet done, at most those that may run at once."},
		serviceTasks:    {Name: "swarm_service_tasks", Labels: of(service, "state"), Of: phases(), Help: "Wanted tasks: pending (without a node yet), starting (from assigned to ready), running. A task is wanted unless Swarm has given it up, it has ended, or its node is down."},
		tasksUnplaced:   {Name: "swarm_service_tasks_unplaced", Labels: of(service, "reason"), Of: reasons(), Help: "Pending tasks for which Swarm names this reason; a task may stand under several, and there is a series only where there is a task."},
		newestTask:      {Name: "swarm_service_newest_task_timestamp_seconds", Labels: service, Help: "Unix time at which the newest wanted task was made; absent without one."},
		taskFailures:    {Name: "swarm_service_task_failures_total", Labels: of(service, "reason"), Of: endings(), Counter: true, Help: "Tasks that ended as failed or rejected since the listener started. That a node was lost is no failure of a service."},
		updateState:     {Name: "swarm_service_update_state", Labels: of(service, "state"), Of: updateStates(), Help: "1 for the state of the last update, 0 for the others; absent if the service was never updated."},
		updateStarted:   {Name: "swarm_service_update_started_timestamp_seconds", Labels: service, Help: "Unix time at which that update began."},

		serviceReservedCPU:    {Name: "swarm_service_reserved_cpu_cores", Labels: service, Help: "What each task reserves of processors; 0 for nothing."},
		serviceReservedMemory: {Name: "swarm_service_reserved_memory_bytes", Labels: service, Help: "What each task reserves of memory; 0 for nothing."},

		nodeInfo:         {Name: "swarm_node_info", Labels: append(node[:2:2], "engine_version", "os", "arch", "role"), Of: []string{"manager", "worker"}, Help: "1 for each node."},
		nodeState:        {Name: "swarm_node_state", Labels: of(node, "state"), Of: nodeStates(), Help: "1 for the state of the node, 0 for the others."},
		nodeAvailability: {Name: "swarm_node_availability", Labels: of(node, "availability"), Of: availabilities(), Help: "1 for the availability of the node, 0 for the others."},
		nodeLeader:       {Name: "swarm_node_leader", Labels: node, Help: "1 for the leader of the managers, 0 for the other managers."},
		nodeReachable:    {Name: "swarm_node_reachable", Labels: node, Help: "1 for a manager that the others reach, 0 for one that they do not."},

		nodeCapacityCPU:    {Name: "swarm_node_capacity_cpu_cores", Labels: node, Help: "Processors of the node."},
		nodeCapacityMemory: {Name: "swarm_node_capacity_memory_bytes", Labels: node, Help: "Memory of the node."},
		nodeReservedCPU:    {Name: "swarm_node_reserved_cpu_cores", Labels: node, Help: "What the wanted tasks of the node reserve of its processors; 0 while it is down."},
		nodeReservedMemory: {Name: "swarm_node_reserved_memory_bytes", Labels: node, Help: "What the wanted tasks of the node reserve of its memory; 0 while it is down."},
		nodeTasks:          {Name: "swarm_node_tasks", Labels: node, Help: "Wanted tasks of the node."},

		timestamp: {Name: "swarm_state_timestamp_seconds", Help: "Unix time of the oldest of the lists that all these numbers come from. It stands still while the swarm has no leader, and they stay as they are."},
	}
}

// The texts of labels that are known beforehand.

func modes() []string {
	return []string{string(catalog.Replicated), string(catalog.Global), string(catalog.ReplicatedJob), string(catalog.GlobalJob)}
}

func endings() []string { return []string{"failed", "rejected"} }

func updateStates() []string {
	return []string{"updating", "paused", "completed", "rollback_started", "rollback_paused", "rollback_completed"}
}

func nodeStates() []string { return []string{"ready", "down", "unknown", "disconnected"} }

func availabilities() []string { return []string{"active", "pause", "drain"} }
