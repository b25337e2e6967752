package state

import (
	"strings"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/docker"
)

// The phases of a wanted task.
const (
	pending  = "pending"
	starting = "starting"
	running  = "running"
)

func phases() []string { return []string{pending, starting, running} }

// phase is that of a task's state, for one that has not ended.
func phase(state string) string {
	switch state {
	case "new", "allocated", pending:
		return pending
	case running:
		return running
	}
	return starting
}

// ended reports whether a task in this state will never run again.
func ended(state string) bool {
	switch state {
	case "complete", "shutdown", "failed", "rejected", "remove", "orphaned":
		return true
	}
	return false
}

// givenUp reports whether Swarm wants a task no more.
func givenUp(t docker.TaskState) bool { return t.Desired == "shutdown" || t.Desired == "remove" }

// downOf returns the nodes that are down, by ID.
func downOf(nodes []docker.NodeState) map[string]bool {
	out := map[string]bool{}
	for _, n := range nodes {
		if n.State == "down" {
			out[n.ID] = true
		}
	}
	return out
}

// wanted returns the tasks that count: that Swarm has not given up, that have not ended, and
// whose nodes are not down.
func wanted(tasks []docker.TaskState, down map[string]bool) []docker.TaskState {
	var out []docker.TaskState
	for _, t := range tasks {
		if !givenUp(t) && !ended(t.State) && !down[t.Node] {
			out = append(out, t)
		}
	}
	return out
}

// desired is how many tasks of a service there should be.
func desired(s docker.ServiceState, tasks []docker.TaskState, down map[string]bool) uint64 {
	if s.Job != nil && s.Job.Completions > 0 {
		return leftOf(s, tasks)
	}
	if s.Job == nil && s.Mode != catalog.Global {
		return s.Replicas
	}
	// A task that has just ended is about to be replaced on its node, unless it was a job's.
	nodes := map[string]bool{}
	for _, t := range tasks {
		if !givenUp(t) && !down[t.Node] && (s.Job == nil || !ended(t.State)) {
			nodes[t.Node] = true
		}
	}
	return uint64(len(nodes))
}

// leftOf is how many tasks of a job may run now, of those that are not yet done. Of a job
// without any task Swarm wants nothing, or nothing yet.
func leftOf(s docker.ServiceState, tasks []docker.TaskState) uint64 {
	var done uint64
	for _, t := range tasks {
		if t.State == "complete" && (t.Run == 0 || t.Run == s.Job.Run) {
			done++
		}
	}
	if len(tasks) == 0 || done >= s.Job.Completions {
		return 0
	}
	return min(s.Job.Completions-done, s.Replicas)
}

// other is the reason whose words are not known.
const other = "other"

// words are how Swarm says why a task has no node.
func words() []struct{ reason, text string } {
	return []struct{ reason, text string }{
		{"resources", "insufficient resources"},
		{"constraints", "scheduling constraints not satisfied"},
		{"ports", "host-mode port already in use"},
		{"max_replicas", "max replicas per node limit exceed"},
		{"platform", "unsupported platform"},
		{"plugin", "missing plugin"},
		{"volumes", "volume mounts"},
		{"unavailable", "not available for new tasks"},
	}
}

func reasons() []string {
	var out []string
	for _, w := range words() {
		out = append(out, w.reason)
	}
	return append(out, other)
}

// unplaced counts pending tasks by the reasons that Swarm names.
func unplaced(tasks []docker.TaskState) map[string]int {
	out := map[string]int{}
	for _, t := range tasks {
		if phase(t.State) != pending || t.Error == "" {
			continue
		}
		known := false
		for _, w := range words() {
			if strings.Contains(t.Error, w.text) {
				out[w.reason]++
				known = true
			}
		}
		if !known {
			out[other]++
		}
	}
	return out
}
