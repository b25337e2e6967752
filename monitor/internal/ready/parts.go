package ready

import (
	"regexp"
	"strconv"

	"github.com/wagglehq/waggle/monitor/internal/alert"
	"github.com/wagglehq/waggle/monitor/internal/scrape"
)

// aboutProxies are the alerts about HAProxy and certificates.
func (s stack) aboutProxies() []alert.Rule {
	of := "{" + s.of("proxy") + "}"
	return []alert.Rule{
		s.rule("CertificateEnds", "min without (instance) (waggle_proxy_certificate_expiry_timestamp_seconds"+of+") - time() < 2 * 86400", "5m", critical,
			"the certificate {{ $labels.name }} ends in {{ $value | humanizeDuration }}, or has ended"),
		s.rule("CertificatesRejected", "max(waggle_proxy_rejected_certificates"+of+") > 0", "5m", warning,
			"{{ $value }} certificates cannot be served; /v1/certs of the proxy says why"),
		s.rule("CertificatesNotObtained", `max by (state) (waggle_proxy_acme_names{state=~"failing|unrenewed", `+s.of("proxy")+"}) > 0", "1h", warning,
			"{{ $value }} certificates cannot be {{ if eq $labels.state \"failing\" }}obtained{{ else }}renewed{{ end }}; the statuses of the services say why"),
		s.rule("ProxyConnectionsFull", "waggle_proxy_haproxy_connections"+of+" / (waggle_proxy_haproxy_connections_limit"+of+" > 0) > 0.8", "2m", critical,
			"the proxy {{ $labels.instance }} has {{ $value | humanizePercentage }} of the connections that it may have"),
		s.rule("ProxyBusy", "waggle_proxy_haproxy_idle_ratio"+of+" < 0.1", "10m", warning,
			"HAProxy of {{ $labels.instance }} is busy for all but {{ $value | humanizePercentage }} of the time"),
		s.rule("ProxyOldWorkers", "waggle_proxy_oldest_worker_seconds"+of+" > 86400", "5m", warning,
			"a worker of HAProxy of {{ $labels.instance }} still has connections from before a reload {{ $value | humanizeDuration }} ago"),
	}
}

// aboutPrometheus are the alerts about the one that evaluates them, and the sign of life
// that is missed somewhere else when it does not.
func (s stack) aboutPrometheus() []alert.Rule {
	const (
		of     = `{job="prometheus"}`
		errors = "prometheus_notifications_errors_total" + of
	)
	return []alert.Rule{
		s.rule("Watchdog", "vector(1)", "", none,
			"Prometheus evaluates and Alertmanager sends: this alert always fires, and whoever receives it should miss it"),
		s.rule("TargetDown", `up{job!="", service!=""} == 0`, "5m", warning,
			"{{ $labels.instance }} of the service {{ $labels.service }} cannot be scraped"),
		s.rule("PrometheusRulesFail", "increase(prometheus_rule_evaluation_failures_total"+of+"[5m]) > 0", "5m", warning,
			"Prometheus cannot evaluate rules of {{ $labels.rule_group }}"),
		// An Alertmanager that is replaced is away for some seconds: errors count that go on.
		s.rule("PrometheusCannotNotify", "rate("+errors+"[2m]) > 0 and rate("+errors+"[2m] offset 2m) > 0 or prometheus_notifications_alertmanagers_discovered"+of+" == 0", "1m", critical,
			"Prometheus at {{ $labels.instance }} cannot send alerts to Alertmanager"),
		s.rule("PrometheusStorageFails",
			"increase(prometheus_tsdb_compactions_failed_total"+of+"[3h]) > 0 or increase(prometheus_tsdb_wal_truncations_failed_total"+of+"[3h]) > 0 or increase(prometheus_tsdb_wal_corruptions_total"+of+"[3h]) > 0", "", critical,
			"Prometheus at {{ $labels.instance }} has trouble with its data on the disk"),
	}
}

// aboutAlertmanager are those about who sends messages. It is scraped where the monitor
// knows it.
func (s stack) aboutAlertmanager() []alert.Rule {
	job := scrape.OwnJob(s.name, scrape.Alertmanager)
	of := "{job=" + strconv.Quote(job) + "}"
	// One that has no task has no target that could be down. Each has a scrape job of its own,
	// whose targets Prometheus counts; absent() would not miss one of several.
	taskless := `prometheus_sd_discovered_targets{job="prometheus", name="scrape", config=~` + strconv.Quote(regexp.QuoteMeta(job)+"(-[0-9]+)?") + "} == 0"
	return []alert.Rule{
		s.rule("AlertmanagerDown", "up"+of+" == 0 or "+taskless, "1m", critical,
			"{{ if $labels.config }}Alertmanager has no task that could be reached{{ else }}Alertmanager at {{ $labels.instance }} cannot be scraped{{ end }}: nobody is told of alerts by it"),
		s.rule("AlertmanagerCannotSend", "sum by (integration, instance) (increase(alertmanager_notifications_failed_total"+of+"[5m])) > 0", "1m", critical,
			"Alertmanager could not send {{ $value | humanize }} messages by {{ $labels.integration }} within five minutes"),
		s.rule("AlertmanagerConfigRefused", "alertmanager_config_last_reload_successful"+of+" == 0", "1m", critical,
			"Alertmanager at {{ $labels.instance }} goes on with an older configuration, because it refuses the present one"),
	}
}
