package ready

import "github.com/wagglehq/waggle/monitor/internal/alert"

// state selects series of the swarm's state; more are further matchers.
func (s stack) state(metric, more string) string {
	return metric + "{" + s.of("listener") + more + "}"
}

// aboutServices are the alerts about all services of the swarm, opted in or not. A service
// that misses tasks is told after three minutes: Swarm needs less than half a minute to move
// them from a node that has died.
func (s stack) aboutServices() []alert.Rule {
	wanted := "max by (service) (" + s.state("swarm_service_replicas_desired", "") + ")"
	running := "max by (service) (" + s.state("swarm_service_tasks", `, state="running"`) + ")"
	state := func(which string) string {
		return "max by (service, state) (" + s.state("swarm_service_update_state", `, state=~"`+which+`"`) + ") == 1"
	}
	answers := func(more string) string {
		return "sum by (service) (rate(waggle_proxy_service_responses_total{" + s.of("proxy") + more + "}[5m]))"
	}
	return []alert.Rule{
		s.rule("ServiceDown", wanted+" > 0 and on (service) "+running+" == 0", "3m", critical,
			"nothing of the service {{ $labels.service }} runs, and {{ $value }} tasks should"),
		s.rule("ServiceReplicasMissing", "("+wanted+" - on (service) "+running+") > 0 and on (service) "+running+" > 0", "3m", warning,
			"{{ $value }} tasks of the service {{ $labels.service }} are missing"),
		s.rule("ServiceTasksUnplaced", "max by (service, reason) ("+s.state("swarm_service_tasks_unplaced", "")+") > 0", "2m", warning,
			"{{ $value }} tasks of the service {{ $labels.service }} find no node: {{ $labels.reason }}"),
		s.rule("ServiceTasksFail", "max by (service) (sum without (reason) (increase("+s.state("swarm_service_task_failures_total", "")+"[10m]))) > 3", "", warning,
			"{{ $value | humanize }} tasks of the service {{ $labels.service }} have failed within ten minutes"),
		s.rule("ServiceUpdateStuck", state("paused|rollback_paused"), "1m", critical,
			"the update of the service {{ $labels.service }} stands still: {{ $labels.state }}"),
		s.rule("ServiceRolledBack", state("rollback_started|rollback_completed")+
			" and on (service) time() - max by (service) ("+s.state("swarm_service_update_started_timestamp_seconds", "")+") < 3600", "", warning,
			"the update of the service {{ $labels.service }} has failed and was rolled back"),
		s.rule("ServiceErrors", answers(`, code="5xx"`)+" / ("+answers("")+" > 0.1) > 0.05", "5m", warning,
			"{{ $value | humanizePercentage }} of the answers of the service {{ $labels.service }} are errors"),
	}
}

// aboutNodes are the alerts about nodes and about what is known of the swarm at all.
func (s stack) aboutNodes() []alert.Rule {
	node := func(metric, more string) string { return "max by (node, node_id) (" + s.state(metric, more) + ")" }
	full := func(what string) string {
		return node("swarm_node_reserved_"+what, "") + " / (" + node("swarm_node_capacity_"+what, "") + " > 0) > 0.9"
	}
	return []alert.Rule{
		s.rule("NodeDown", node("swarm_node_state", `, state="down"`)+" == 1", "1m", critical,
			"the node {{ $labels.node }} is down; Swarm moves its tasks elsewhere"),
		s.rule("ManagerUnreachable", node("swarm_node_reachable", "")+" == 0", "1m", critical,
			"the managers do not reach the manager {{ $labels.node }}"),
		s.rule("NodeMemoryReserved", full("memory_bytes"), "10m", warning,
			"{{ $value | humanizePercentage }} of the memory of the node {{ $labels.node }} is reserved: further tasks may find no room"),
		s.rule("NodeCPUReserved", full("cpu_cores"), "10m", warning,
			"{{ $value | humanizePercentage }} of the processors of the node {{ $labels.node }} are reserved: further tasks may find no room"),
		s.rule("SwarmStateStale", "time() - max("+s.state("swarm_state_timestamp_seconds", "")+") > 60", "30s", critical,
			"the state of the swarm has not been read for {{ $value | humanizeDuration }}: there may be no leader"),
	}
}
