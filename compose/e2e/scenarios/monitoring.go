package scenarios

// monitoring are the scenarios of scraping and alerts.
func monitoring() []part {
	return []part{
		{Name: "T-01", What: "the monitor's settings come from the environment alone", Play: (*world).environment},
		{Name: "T-02", What: "Prometheus is reached below /monitor through the proxy, by labels", Play: (*world).exposed},
		{Name: "T-03", What: "exporters are deployed by a stack file", Play: (*world).exporters},
		{Name: "T-04", What: "200 requests are sent, and their metrics asked for", Play: (*world).requests},
		{Name: "T-05", What: "a running service gets an alert, and then another threshold", Play: (*world).alertOfARunningService},
		{Name: "T-06", What: "a service gets a limit of memory and an alert on the share of it", Play: (*world).share},
		{Name: "T-07", What: "a service has two alerts by index", Play: (*world).indexed},
		{Name: "T-08", What: "the monitor is removed, with its data, and deployed again", Play: (*world).monitorAnew},
		{Name: "T-09", What: "a service with a job and an alert is removed", Play: (*world).removed},
		{Name: "T-10", What: "an alert is posted to Alertmanager by hand", Play: (*world).byHand},
		{Name: "T-11", What: "an alert is made to fire, and to end", Play: (*world).firesAndEnds},
		{Name: "T-12", What: "targets outside of the swarm come by a secret", Play: (*world).outside},
		{Name: "T-13", What: "targets have labels of services and nodes", Play: (*world).flexible},
		{Name: "T-18", What: "too many requests fail", Play: (*world).errorRate},
		{Name: "T-21", What: "nodes are short of memory, and nothing shall scale", Play: (*world).managers},
		{Name: "T-24", What: "each node's memory and disk are watched", Play: (*world).eachNode},
		{Name: "T-26", What: "an exporter's threshold is changed while it runs, and back", Play: (*world).threshold},
		{Name: "T-27", What: "what is watched is shown to those alone who have a password", Play: (*world).guarded},
		{Name: "T-28", What: "Waggle's own services have alerts", Play: (*world).infrastructure},
		{Name: "dashboards", What: "each panel of each dashboard has data, and is drawn", Play: (*world).dashboards},
	}
}
