package alert

import (
	"strconv"
	"time"
)

// Proxies are who counts and measures the requests for every service.
type Proxies struct {
	// Job is their job in Prometheus; empty: they are not scraped.
	Job string
	// Interval is how often they are scraped; 0 if that is not known.
	Interval time.Duration
}

// The values that shortcuts of the proxies' metrics take beside those of the others.
const (
	quantile     valueKind = "a quantile above 0 and below 1, such as 0.95"
	latencyBound valueKind = "a number of seconds above 0 and below 10, which is the longest that the proxies tell apart"
)

// longestLatency is the last bound of the proxies' histogram, in seconds.
const longestLatency = 10

// proxied is check for these.
func (k valueKind) proxied(text string) bool {
	f, err := strconv.ParseFloat(text, 64)
	below := map[valueKind]float64{quantile: 1, latencyBound: longestLatency}[k]
	return err == nil && numberPattern.MatchString(text) && f > 0 && f < below
}

// of selects what the proxies tell of a service. No other job counts.
func (p Proxies) of(metric, service, matcher string) string {
	return "waggle_proxy_service_" + metric + "{job=" + strconv.Quote(p.Job) + ", service=" + strconv.Quote(service) + matcher + "}"
}

// RequestRate is how many requests per second for a service the proxies answer, as PromQL.
func (p Proxies) RequestRate(service, over string) string {
	return p.rate(service, "", over)
}

func (p Proxies) rate(service, matcher, over string) string {
	return "sum(rate(" + p.of("responses_total", service, matcher) + "[" + over + "]))"
}

// Concurrency is how many requests for a service are under way at the proxies, as PromQL.
func (p Proxies) Concurrency(service string) string {
	return "sum(" + p.of("open_requests", service, "") + ")"
}

// proxyShortcuts are the conditions on what the proxies count: services need nothing for them.
func proxyShortcuts() map[string]shortcut {
	return map[string]shortcut{
		"@request_rate": {[]valueKind{interval, number}, func(s subject, v []string) clause {
			return clause{
				expr:    s.proxies.RequestRate(s.service, v[0]) + " > " + v[1],
				summary: "The service " + s.job + " gets more than " + v[1] + " requests per second",
				labels:  system(s.service, "scale", "up", "type", "service"), series: whole,
			}
		}},
		"@error_ratio": {[]valueKind{interval, number}, func(s subject, v []string) clause {
			return clause{
				expr:    s.proxies.rate(s.service, `, code="5xx"`, v[0]) + " / (" + s.proxies.RequestRate(s.service, v[0]) + " > 0) > " + v[1],
				summary: "Error rate of the service " + s.job + ", as its clients see it, is above " + v[1],
				labels:  system(s.service, "type", "errors"), series: whole,
			}
		}},
		"@concurrency": {[]valueKind{number}, func(s subject, v []string) clause {
			return clause{
				expr:    s.proxies.Concurrency(s.service) + " > " + v[0],
				summary: "More than " + v[0] + " requests for the service " + s.job + " are under way",
				labels:  system(s.service, "scale", "up", "type", "service"), series: whole,
			}
		}},
		"@latency": {[]valueKind{quantile, interval, latencyBound}, func(s subject, v []string) clause {
			return clause{
				expr:    "histogram_quantile(" + v[0] + ", sum by (le) (rate(" + s.proxies.of("latency_seconds_bucket", s.service, "") + "[" + v[1] + "]))) > " + v[2],
				summary: "Of the requests for the service " + s.job + " the quantile " + v[0] + " of the time to an answer is above " + v[2] + " s",
				labels:  system(s.service, "scale", "up", "type", "service"), series: whole,
			}
		}},
	}
}
