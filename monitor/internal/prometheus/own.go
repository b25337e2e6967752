package prometheus

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/wagglehq/waggle/monitor/internal/alert"
	"github.com/wagglehq/waggle/monitor/internal/scrape"
	"github.com/wagglehq/waggle/pkg/atomicfile"
)

// OwnGroup is the group of the rules about Waggle itself.
const OwnGroup = "waggle"

// OwnRules are the alerts about Waggle itself: its components are scraped as the jobs
// STACK_listener and so on, and no other job's metrics count. None asks for a scaling.
func OwnRules(stack string) []alert.Rule {
	rule := func(name, expr, hold, severity, summary string) alert.Rule {
		return alert.Rule{
			Service: OwnGroup, Name: name, Expr: expr, For: hold,
			Labels: map[string]string{"severity": severity, alert.OwnerLabel: OwnGroup}, Annotations: map[string]string{"summary": summary},
		}
	}
	var names, gone []string
	for _, job := range scrape.OwnJobs(stack) {
		names = append(names, regexp.QuoteMeta(job))
		gone = append(gone, "absent(up{job="+strconv.Quote(job)+"})")
	}
	all := "job=~" + strconv.Quote(strings.Join(names, "|"))
	of := func(component string) string { return "job=" + strconv.Quote(stack+"_"+component) }
	// state is a metric of the state of the proxy as a service.
	state := func(metric, more string) string {
		return "max(swarm_service_" + metric + "{" + of("listener") + ", service=" + strconv.Quote(stack+"_proxy") + more + "})"
	}
	return []alert.Rule{
		// A component without tasks is in nobody's DNS, so there is no target that could be down.
		rule("WaggleComponentDown", "up{"+all+"} == 0 or "+strings.Join(gone, " or "), "1m", "critical",
			"{{ $labels.job }}{{ if $labels.instance }} at {{ $labels.instance }} cannot be scraped{{ else }} has no task that could be scraped{{ end }}"),
		// The proxy is on every node. A task that is missing has no target that could be down
		// either; Swarm knows of it. While an update replaces them one by one, one is always.
		rule("WaggleProxyMissing", state("replicas_desired", "")+" - "+state("tasks", `, state="running"`)+" > 0 unless "+
			state("update_state", `, state=~"updating|rollback_started"`)+" == 1", "1m", "critical",
			"tasks of the proxy that should run on some node and do not: {{ $value }}"),
		rule("WaggleHAProxyDown", "waggle_proxy_haproxy_up{"+of("proxy")+"} == 0", "30s", "critical",
			"HAProxy of {{ $labels.instance }} does not answer its controller"),
		rule("WaggleNotPassing", `time() - {__name__=~"waggle_[a-z]+_last_success_timestamp_seconds", `+all+`} > 120`, "1m", "critical",
			"the loop {{ $labels.loop }} of {{ $labels.job }} at {{ $labels.instance }} has not succeeded for {{ $value | humanizeDuration }}"),
		rule("WaggleCatalogStale", "waggle_monitor_catalog_age_seconds{"+of("monitor")+"} > 120", "1m", "critical",
			"{{ $labels.instance }} has not heard of the listener for {{ $value | humanizeDuration }}: changes of labels and tasks have no effect on scraping and alerts"),
		rule("WaggleReplicasDisagree", "waggle_proxy_replicas_disagreeing{"+of("proxy")+"} > 0", "2m", "critical",
			"{{ $value }} proxies have applied something else than {{ $labels.instance }}; its /v1/instances says which"),
		rule("WaggleDrift", "waggle_proxy_drift{"+of("proxy")+"} == 1", "", "warning",
			"HAProxy of {{ $labels.instance }} ran something else than what was applied, and was reloaded"),
		rule("WaggleReloadsFail",
			"increase(waggle_proxy_reloads_total{"+of("proxy")+`, reason="failed"}[10m]) > 0 or increase(waggle_proxy_refused_total{`+of("proxy")+
				"}[10m]) > 0 or increase(waggle_monitor_reloads_total{"+of("monitor")+`, result=~"refused|failed"}[10m]) > 0`, "", "warning",
			"{{ $labels.job }} at {{ $labels.instance }} could not load a configuration; what was in force stays"),
		rule("WaggleServicesRejected", `max by (job) ({__name__=~"waggle_(proxy|monitor|scaler)_rejected_services", `+all+`}) > 0`, "5m", "warning",
			"{{ $value }} services are rejected by {{ $labels.job }}; /v1/services of the listener says why"),
		rule("WaggleCertificateExpires", "min without (instance) (waggle_proxy_certificate_expiry_timestamp_seconds{"+of("proxy")+"}) - time() < 14 * 86400", "1h", "warning",
			"a certificate ends in {{ $value | humanizeDuration }}"),
	}
}

// prepareOwnRules writes the rules about Waggle itself. A checker that refuses them
// is an error at the start, because the operator can switch them off.
func (s *Server) prepareOwnRules(ctx context.Context) (wrote bool, err error) {
	if len(s.ownRules) == 0 {
		return false, nil
	}
	if s.checker.Bin != "" {
		if err := s.checker.run(ctx, "rules", s.ownRules); err != nil {
			return false, fmt.Errorf("%s: %w", OwnRulesFile, err)
		}
	}
	return atomicfile.Write(s.path(OwnRulesFile), s.ownRules, 0o644)
}
