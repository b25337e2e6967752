package dashboards

// All are the dashboards, in the order in which somebody would look.
func All() []Dashboard { return []Dashboard{cluster(), service(), proxy(), scaling(), waggle()} }

func cluster() Dashboard {
	return Dashboard{
		Name: "cluster", Title: "Waggle / Cluster",
		Panels: []Panel{
			stat("Nodes that are ready", "short", `sum(max by (node_id) (swarm_node_state{state="ready"}))`),
			stat("Nodes that are down", "short", `sum(max by (node_id) (swarm_node_state{state="down"})) or vector(0)`),
			stat("Services", "short", `count(max by (service) (swarm_service_info))`),
			stat("Tasks that are missing", "short", `sum(clamp_min(max by (service) (swarm_service_replicas_desired) - on (service) max by (service) (swarm_service_tasks{state="running"}), 0))`),
			table("Alerts", `ALERTS{alertstate="firing", severity!="none"}`),
			graph("Tasks by state", "short", `sum by (state) (max by (service, state) (swarm_service_tasks))`, "{{state}}"),
			graph("Tasks of nodes", "short", `max by (node) (swarm_node_tasks)`, "{{node}}"),
			graph("Tasks that find no node, by reason", "short", `sum by (reason) (max by (service, reason) (swarm_service_tasks_unplaced))`, "{{reason}}"),
			graph("Memory reserved", "percentunit", `max by (node) (swarm_node_reserved_memory_bytes) / (max by (node) (swarm_node_capacity_memory_bytes) > 0)`, "{{node}}"),
			graph("Processors reserved", "percentunit", `max by (node) (swarm_node_reserved_cpu_cores) / (max by (node) (swarm_node_capacity_cpu_cores) > 0)`, "{{node}}"),
			graph("Memory used, by node_exporter", "percentunit", `1 - sum by (node) (node_memory_MemAvailable_bytes) / sum by (node) (node_memory_MemTotal_bytes)`, "{{node}}"),
			graph("Processors used, by node_exporter", "percentunit", `1 - avg by (node) (rate(node_cpu_seconds_total{mode="idle"}[5m]))`, "{{node}}"),
			graph("Disks used, by node_exporter", "percentunit", `max by (node, device) (1 - node_filesystem_avail_bytes{fstype!~"tmpfs|overlay|ramfs|nsfs"} / node_filesystem_size_bytes{fstype!~"tmpfs|overlay|ramfs|nsfs"})`, "{{node}} {{device}}"),
			graph("Age of what is known of the swarm", "s", `time() - max(swarm_state_timestamp_seconds)`, "seconds"),
		},
	}
}

func service() Dashboard {
	const of = `service=~"$service"`
	return Dashboard{
		Name: "service", Title: "Waggle / Service",
		Variables: []Variable{{"service", "swarm_service_info", "service"}},
		Panels: []Panel{
			stat("Requests per second", "reqps", `sum(rate(waggle_proxy_service_responses_total{`+of+`}[5m]))`),
			stat("Errors", "percentunit", `sum(rate(waggle_proxy_service_responses_total{`+of+`, code="5xx"}[5m])) / (sum(rate(waggle_proxy_service_responses_total{`+of+`}[5m])) > 0)`),
			stat("95 of 100 wait less than", "s", `histogram_quantile(0.95, sum by (le) (rate(waggle_proxy_service_latency_seconds_bucket{`+of+`}[5m])))`),
			stat("Under way", "short", `sum(waggle_proxy_service_open_requests{`+of+`})`),
			graph("Requests per second, by service", "reqps", `sum by (service) (rate(waggle_proxy_service_responses_total{`+of+`}[5m]))`, "{{service}}"),
			graph("Answers by status", "reqps", `sum by (code) (rate(waggle_proxy_service_responses_total{`+of+`}[5m]))`, "{{code}}"),
			graph("Time to the head of an answer", "s",
				`histogram_quantile(0.5, sum by (le) (rate(waggle_proxy_service_latency_seconds_bucket{`+of+`}[5m])))`, "50 %",
				`histogram_quantile(0.95, sum by (le) (rate(waggle_proxy_service_latency_seconds_bucket{`+of+`}[5m])))`, "95 %",
				`histogram_quantile(0.99, sum by (le) (rate(waggle_proxy_service_latency_seconds_bucket{`+of+`}[5m])))`, "99 %"),
			graph("Under way and waiting", "short", `sum(waggle_proxy_service_open_requests{`+of+`})`, "under way", `sum(waggle_proxy_service_queued_requests{`+of+`})`, "waiting for a task"),
			graph("Tasks wanted and running", "short",
				`max by (service) (swarm_service_replicas_desired{`+of+`})`, "{{service}} wanted", `max by (service) (swarm_service_tasks{`+of+`, state="running"})`, "{{service}} running"),
			graph("Tasks that failed", "short", `max by (service) (sum without (reason) (increase(swarm_service_task_failures_total{`+of+`}[10m])))`, "{{service}}"),
			graph("What went wrong with tasks", "short", `sum by (kind) (rate(waggle_proxy_service_failures_total{`+of+`}[5m]))`, "{{kind}}"),
			graph("Bytes", "Bps", `sum by (direction) (rate(waggle_proxy_service_bytes_total{`+of+`}[5m]))`, "{{direction}}"),
			graph("Memory, by cAdvisor", "bytes", `sum by (container_label_com_docker_swarm_service_name) (container_memory_working_set_bytes{container_label_com_docker_swarm_service_name=~"$service"})`, "{{container_label_com_docker_swarm_service_name}}"),
			graph("Processors, by cAdvisor", "short", `sum by (container_label_com_docker_swarm_service_name) (rate(container_cpu_usage_seconds_total{container_label_com_docker_swarm_service_name=~"$service"}[5m]))`, "{{container_label_com_docker_swarm_service_name}}"),
		},
	}
}

func proxy() Dashboard {
	return Dashboard{
		Name: "proxy", Title: "Waggle / Proxy",
		Variables: []Variable{{"instance", "waggle_proxy_haproxy_up", "instance"}},
		Panels: []Panel{
			stat("Proxies whose HAProxy answers", "short", `sum(waggle_proxy_haproxy_up)`),
			stat("Requests per second", "reqps", `sum(rate(waggle_proxy_responses_total{instance=~"$instance"}[5m]))`),
			stat("Connections of clients", "short", `sum(waggle_proxy_haproxy_connections{instance=~"$instance"})`),
			stat("Days until a certificate ends", "short", `(min(waggle_proxy_certificate_expiry_timestamp_seconds) - time()) / 86400`),
			graph("Answers by status", "reqps", `sum by (code) (rate(waggle_proxy_responses_total{instance=~"$instance"}[5m]))`, "{{code}}"),
			graph("Requests per second, by proxy", "reqps", `sum by (instance) (rate(waggle_proxy_responses_total{instance=~"$instance"}[5m]))`, "{{instance}}"),
			graph("Ten services that are asked most", "reqps", `topk(10, sum by (service) (rate(waggle_proxy_service_responses_total{instance=~"$instance"}[5m])))`, "{{service}}"),
			graph("Ten services with most errors", "reqps", `topk(10, sum by (service) (rate(waggle_proxy_service_responses_total{instance=~"$instance", code="5xx"}[5m])))`, "{{service}}"),
			graph("Connections, of those that there may be", "percentunit", `waggle_proxy_haproxy_connections{instance=~"$instance"} / (waggle_proxy_haproxy_connections_limit{instance=~"$instance"} > 0)`, "{{instance}}"),
			graph("New connections", "cps", `sum by (instance) (rate(waggle_proxy_connections_total{instance=~"$instance"}[5m]))`, "{{instance}}"),
			graph("HAProxy has nothing to do", "percentunit", `waggle_proxy_haproxy_idle_ratio{instance=~"$instance"}`, "{{instance}}"),
			graph("Reloads by reason", "short", `sum by (reason) (increase(waggle_proxy_reloads_total{instance=~"$instance"}[10m]))`, "{{reason}}"),
			graph("Changes without a reload", "short", `sum by (instance) (increase(waggle_proxy_runtime_changes_total{instance=~"$instance"}[10m]))`, "{{instance}}"),
			graph("Old workers", "short", `waggle_proxy_old_workers{instance=~"$instance"}`, "{{instance}}"),
			graph("Lines of the log that were lost", "short", `sum by (instance) (rate(waggle_proxy_haproxy_lost_log_lines_total{instance=~"$instance"}[5m]))`, "{{instance}}"),
			graph("Proxies that disagree", "short", `waggle_proxy_replicas_disagreeing{instance=~"$instance"}`, "{{instance}}"),
		},
	}
}

func scaling() Dashboard {
	return Dashboard{
		Name: "scaling", Title: "Waggle / Scaling",
		Variables: []Variable{{"service", "swarm_service_info", "service"}},
		Panels: []Panel{
			stat("Scaled within an hour", "short", `sum(increase(waggle_scaler_decisions_total{action="scaled"}[1h]))`),
			stat("Refused within an hour", "short", `sum(increase(waggle_scaler_decisions_total{action="refused"}[1h]))`),
			stat("Services that an alert wants to grow", "short", `max(waggle_scaler_signals{direction="up"})`),
			stat("Blind", "short", `max(waggle_scaler_blind)`),
			graph("Tasks wanted", "short", `max by (service) (swarm_service_replicas_desired{service=~"$service"})`, "{{service}}"),
			graph("Tasks running", "short", `max by (service) (swarm_service_tasks{service=~"$service", state="running"})`, "{{service}}"),
			graph("Decisions", "short", `sum by (action, direction) (increase(waggle_scaler_decisions_total[10m]))`, "{{action}} {{direction}}"),
			graph("What alerts ask for", "short", `max by (direction) (waggle_scaler_signals)`, "{{direction}}"),
			table("Alerts that scale", `ALERTS{alertstate="firing", scale=~"up|down"}`),
			graph("Messages about decisions", "short", `sum by (result) (increase(waggle_scaler_notifications_total[10m]))`, "{{result}}"),
		},
	}
}

func waggle() Dashboard {
	const jobs = `job=~"waggle_(listener|proxy|monitor|scaler)"`
	return Dashboard{
		Name: "waggle", Title: "Waggle / Waggle itself",
		Panels: []Panel{
			stat("Components that are scraped", "short", `sum(up{`+jobs+`})`),
			stat("Listeners that lead", "short", `sum(waggle_listener_leads)`),
			stat("Services rejected", "short", `sum(max by (job) ({__name__=~"waggle_(proxy|monitor|scaler)_rejected_services"}))`),
			stat("Age of the catalog", "s", `max(waggle_monitor_catalog_age_seconds)`),
			graph("Since the last success of a loop", "s", `time() - {__name__=~"waggle_[a-z]+_last_success_timestamp_seconds", `+jobs+`}`, "{{job}} {{loop}} {{instance}}"),
			graph("Passes that failed", "short", `sum by (job, loop) (rate({__name__=~"waggle_[a-z]+_passes_total", result="failed", `+jobs+`}[5m]))`, "{{job}} {{loop}}"),
			graph("Calls of Docker", "reqps", `sum by (call, result) (rate({__name__=~"waggle_(listener|scaler)_docker_calls_total"}[5m]))`, "{{call}} {{result}}"),
			graph("Changes of the catalog", "short", `sum by (kind) (rate(waggle_listener_catalog_changes_total[5m]))`, "{{kind}}"),
			graph("Processors", "short", `rate(process_cpu_seconds_total{`+jobs+`}[5m])`, "{{job}} {{instance}}"),
			graph("Memory", "bytes", `process_resident_memory_bytes{`+jobs+`}`, "{{job}} {{instance}}"),
			graph("Series in Prometheus", "short", `prometheus_tsdb_head_series`, "series"),
			graph("Samples per second", "short", `rate(prometheus_tsdb_head_samples_appended_total[5m])`, "{{type}}"),
			graph("Messages by Alertmanager", "short", `sum by (integration) (rate(alertmanager_notifications_total[5m]))`, "{{integration}}", `sum by (integration) (rate(alertmanager_notifications_failed_total[5m]))`, "{{integration}} failed"),
			graph("Reloads of Prometheus", "short", `sum by (result) (increase(waggle_monitor_reloads_total[10m]))`, "{{result}}"),
		},
	}
}
