package ready

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/wagglehq/waggle/monitor/internal/alert"
	"github.com/wagglehq/waggle/monitor/internal/scrape"
)

// aboutWaggle are the alerts about Waggle itself.
func (s stack) aboutWaggle() []alert.Rule {
	var names, gone []string
	for _, job := range scrape.OwnJobs(s.name) {
		names = append(names, regexp.QuoteMeta(job))
		gone = append(gone, "absent(up{job="+strconv.Quote(job)+"})")
	}
	// proxy is a metric of the state of the proxy as a service.
	proxy := func(metric, more string) string {
		return "max(" + s.state("swarm_service_"+metric, ", service="+strconv.Quote(s.name+"_proxy")+more) + ")"
	}
	all := "job=~" + strconv.Quote(strings.Join(names, "|"))
	success := `{__name__=~"waggle_[a-z]+_last_success_timestamp_seconds", ` + all + `}`
	return []alert.Rule{
		// A component without tasks is in nobody's DNS, so there is no target that could be down.
		s.rule("WaggleComponentDown", "up{"+all+"} == 0 or "+strings.Join(gone, " or "), "1m", "critical",
			"{{ $labels.job }}{{ if $labels.instance }} at {{ $labels.instance }} cannot be scraped{{ else }} has no task that could be scraped{{ end }}"),
		// The proxy is on every node. A task that is missing has no target that could be down
		// either; Swarm knows of it. While an update replaces them one by one, one is always.
		s.rule("WaggleProxyMissing", proxy("replicas_desired", "")+" - "+proxy("tasks", `, state="running"`)+" > 0 unless "+
			proxy("update_state", `, state=~"updating|rollback_started"`)+" == 1", "1m", critical,
			"tasks of the proxy that should run on some node and do not: {{ $value }}"),
		s.rule("WaggleHAProxyDown", "waggle_proxy_haproxy_up{"+s.of("proxy")+"} == 0", "30s", "critical",
			"HAProxy of {{ $labels.instance }} does not answer its controller"),
		// It is as old as it was when it was scraped: a Prometheus that starts again has the last
		// values of a monitor that ran at another address, and no mark that this one has gone.
		s.rule("WaggleNotPassing", "timestamp("+success+") - "+success+" > 120", "1m", "critical",
			"the loop {{ $labels.loop }} of {{ $labels.job }} at {{ $labels.instance }} has not succeeded for {{ $value | humanizeDuration }}"),
		s.rule("WaggleCatalogStale", "waggle_monitor_catalog_age_seconds{"+s.of("monitor")+"} > 120", "1m", "critical",
			"{{ $labels.instance }} has not heard of the listener for {{ $value | humanizeDuration }}: changes of labels and tasks have no effect on scraping and alerts"),
		s.rule("WaggleStoreDamaged", "waggle_listener_store_set_aside{"+s.of("listener")+"} > 0", "", "warning",
			"parts of the store of {{ $labels.instance }} were damaged: {{ $value }} folders jetstream.bad-... beside it have them"),
		s.rule("WaggleReplicasDisagree", "waggle_proxy_replicas_disagreeing{"+s.of("proxy")+"} > 0", "2m", "critical",
			"{{ $value }} proxies have applied something else than {{ $labels.instance }}; its /v1/instances says which"),
		s.rule("WaggleDrift", "waggle_proxy_drift{"+s.of("proxy")+"} == 1", "", "warning",
			"HAProxy of {{ $labels.instance }} ran something else than what was applied, and was reloaded"),
		s.rule("WaggleReloadsFail",
			"increase(waggle_proxy_reloads_total{"+s.of("proxy")+`, reason="failed"}[10m]) > 0 or increase(waggle_proxy_refused_total{`+s.of("proxy")+
				"}[10m]) > 0 or increase(waggle_monitor_reloads_total{"+s.of("monitor")+`, result=~"refused|failed"}[10m]) > 0`, "", "warning",
			"{{ $labels.job }} at {{ $labels.instance }} could not load a configuration; what was in force stays"),
		s.rule("WaggleServicesRejected", `max by (job) ({__name__=~"waggle_(proxy|monitor|scaler)_rejected_services", `+all+`}) > 0`, "5m", "warning",
			"{{ $value }} services are rejected by {{ $labels.job }}; /v1/services of the listener says why"),
		s.rule("WaggleCertificateExpires", "min without (instance) (waggle_proxy_certificate_expiry_timestamp_seconds{"+s.of("proxy")+"}) - time() < 14 * 86400", "1h", "warning",
			"a certificate ends in {{ $value | humanizeDuration }}"),
	}
}
