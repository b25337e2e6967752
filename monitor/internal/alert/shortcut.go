package alert

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/wagglehq/waggle/pkg/label"
)

// subject is what a shortcut speaks of.
type subject struct {
	// service is the full name, which cAdvisor knows; job is the name that the
	// service is called, which its scrape job bears.
	service, job string
	// replicas is how many tasks there should be.
	replicas string
	// interval is how often job is scraped; 0 if that is not known.
	interval time.Duration
	// proxies is the job of the proxies, and how often they are scraped.
	proxies Proxies
}

// clause is a condition with what comes along with it.
type clause struct {
	expr    string
	summary string
	labels  map[string]string
	series  series
	// parsed is the expression; raw says that it is the user's own.
	parsed parser.Expr
	raw    bool
}

// series says which labels the results of an expression carry, since PromQL
// joins two vectors only where their labels agree.
type series int

const (
	whole      series = iota // one result without labels
	container                // one result per container, with its name and node
	node                     // one result per node, with the labels instance and node
	filesystem               // one result per disk, instance and node among its labels
	mixed                    // results of several kinds
)

// valueKind is what a shortcut's value must be.
type valueKind string

const (
	number   valueKind = "a number"
	bound    valueKind = "a bucket bound"
	interval valueKind = "a range such as 5m"
)

// shortcut is one of the built-in conditions.
type shortcut struct {
	values []valueKind
	make   func(s subject, v []string) clause
}

func system(service string, more ...string) map[string]string {
	m := map[string]string{"receiver": "system", "service": service}
	for i := 0; i+1 < len(more); i += 2 {
		m[more[i]] = more[i+1]
	}
	return m
}

// shortcuts returns the twelve conditions of Docker Flow Monitor.
func shortcuts() map[string]shortcut {
	return map[string]shortcut{
		"@service_mem_limit":        {[]valueKind{number}, serviceMemory("Memory", false)},
		"@service_mem_limit_nobuff": {[]valueKind{number}, serviceMemory("Memory without buffer", true)},
		"@node_mem_limit":           {[]valueKind{number}, nodeMemory},
		"@node_mem_limit_total_above": {[]valueKind{number}, func(s subject, v []string) clause {
			return nodeMemoryTotal(s, ">", v[0], "over", "up")
		}},
		"@node_mem_limit_total_below": {[]valueKind{number}, func(s subject, v []string) clause {
			return nodeMemoryTotal(s, "<", v[0], "below", "down")
		}},
		"@node_fs_limit":          {[]valueKind{number}, nodeFilesystem},
		"@resp_time_above":        {[]valueKind{bound, interval, number}, responseTimeAbove},
		"@resp_time_below":        {[]valueKind{bound, interval, number}, responseTimeBelow},
		"@resp_time_server_error": {[]valueKind{interval, number}, serverErrors},
		"@replicas_running": {nil, func(s subject, _ []string) clause {
			return replicas(s, "!=", "not "+s.replicas, "up")
		}},
		"@replicas_less_than": {nil, func(s subject, _ []string) clause {
			return replicas(s, "<", "less than "+s.replicas, "up")
		}},
		"@replicas_more_than": {nil, func(s subject, _ []string) clause {
			return replicas(s, ">", "more than "+s.replicas, "down")
		}},
	}
}

// serviceMemory compares a container's memory with its limit. A container
// without a limit reports 0 and is left out, instead of being infinitely over it. Of
// cAdvisor's many labels the result keeps those that tell containers apart.
func serviceMemory(what string, withoutCache bool) func(subject, []string) clause {
	return func(s subject, v []string) clause {
		of := "{container_label_com_docker_swarm_service_name=" + strconv.Quote(s.service) + "}"
		used := "container_memory_usage_bytes" + of
		if withoutCache {
			used = "(" + used + " - container_memory_cache" + of + ")"
		}
		return clause{
			expr:    "max by (node, name, container_label_com_docker_swarm_task_id) (" + used + " / (container_spec_memory_limit_bytes" + of + " > 0)) > " + v[0],
			summary: what + " of the service " + s.job + " is over " + v[0],
			labels:  system(s.service), series: container,
		}
	}
}

// nodeMetric is a metric of node_exporter by its present name or, from an
// exporter before 0.16, its old one.
func nodeMetric(name string, s subject) string {
	of := "{job=" + strconv.Quote(s.job) + "}"
	return "(node_memory_" + name + "_bytes" + of + " or node_memory_" + name + of + ")"
}

// nodeMemoryShare is the used share of memory, aggregated by sum ("sum" or "sum by (instance, node)").
func nodeMemoryShare(s subject, sum string) string {
	total := sum + " " + nodeMetric("MemTotal", s)
	free := sum + " (" + nodeMetric("MemFree", s) + " + " + nodeMetric("Buffers", s) + " + " + nodeMetric("Cached", s) + ")"
	return "(" + total + " - " + free + ") / " + total
}

func nodeMemory(s subject, v []string) clause {
	return clause{
		expr:    nodeMemoryShare(s, "sum by (instance, node)") + " > " + v[0],
		summary: "Memory of a node is over " + v[0],
		labels:  system(s.service), series: node,
	}
}

func nodeMemoryTotal(s subject, operator, limit, where, scale string) clause {
	return clause{
		expr:    nodeMemoryShare(s, "sum") + " " + operator + " " + limit,
		summary: "Total memory of the nodes is " + where + " " + limit,
		labels:  system(s.service, "scale", scale, "type", "node"), series: whole,
	}
}

// notOnDisk are the filesystems that hold no data of their own; overlay shows the
// disk below it once more for every container.
const notOnDisk = "autofs|cgroup.*|devtmpfs|fuse.lxcfs|iso9660|nsfs|overlay|proc|ramfs|rootfs|squashfs|sysfs|tmpfs"

// nodeFilesystem looks at every disk once, however often it is mounted: in a container
// the exporter sees it at /etc/hosts and elsewhere too. What is available to all but root
// counts, because that is what ends first. From an exporter before 0.16 it takes what the
// original took, aufs.
func nodeFilesystem(s subject, v []string) clause {
	metric := func(name string) string {
		job := strconv.Quote(s.job)
		return "(node_filesystem_" + name + `_bytes{fstype!~"` + notOnDisk + `", job=` + job + "}" +
			" or node_filesystem_" + name + `{fstype="aufs", job=` + job + "})"
	}
	return clause{
		expr:    "max by (instance, node, device) ((" + metric("size") + " - " + metric("avail") + ") / " + metric("size") + ") > " + v[0],
		summary: "Disk usage of a node is over " + v[0],
		labels:  system(s.service), series: filesystem,
	}
}

// requests is the rate of requests; all and those within a bound or of a kind.
func requests(s subject, metric, matcher, over string) string {
	return "sum(rate(http_server_resp_time_" + metric + "{job=" + strconv.Quote(s.job) + matcher + "}[" + over + "]))"
}

// fastShare is the share of requests answered within a bound. It is without a
// result when there were none, instead of 0/0.
func fastShare(s subject, v []string) string {
	return requests(s, "bucket", ", le"+boundMatcher(v[0]), v[1]) + " / (" + requests(s, "count", "", v[1]) + " > 0)"
}

func responseTimeAbove(s subject, v []string) clause {
	return clause{
		expr:    fastShare(s, v) + " < " + v[2],
		summary: "Response time of the service " + s.job + " is above " + v[0],
		labels:  system(s.service, "scale", "up", "type", "service"), series: whole,
	}
}

// responseTimeBelow also holds when the service is scraped and was asked nothing
// in the whole range: an idle service may shrink. It does not hold when the
// metric is not there at all, or no task answers the scrape, since then nothing is known
// and a service that hangs looks like one that is idle.
func responseTimeBelow(s subject, v []string) clause {
	return clause{
		expr:    fastShare(s, v) + " > " + v[2] + " or (" + requests(s, "count", "", v[1]) + " == 0 and on () max(up{job=" + strconv.Quote(s.job) + "}) == 1)",
		summary: "Response time of the service " + s.job + " is below " + v[0],
		labels:  system(s.service, "scale", "down", "type", "service"), series: whole,
	}
}

func serverErrors(s subject, v []string) clause {
	return clause{
		expr:    requests(s, "count", `, code=~"5.."`, v[0]) + " / (" + requests(s, "count", "", v[0]) + " > 0) > " + v[1],
		summary: "Error rate of the service " + s.job + " is above " + v[1],
		labels:  system(s.service, "type", "errors"), series: whole,
	}
}

// replicas counts containers, each once, by however many cAdvisors it is reported. Where
// cAdvisor reports any container at all, none of this service counts as 0, so that a total
// outage is seen; without cAdvisor nothing is known and nothing fires.
func replicas(s subject, operator, than, scale string) clause {
	running := "(count(count by (container_label_com_docker_swarm_task_id, name) (container_memory_usage_bytes{container_label_com_docker_swarm_service_name=" + strconv.Quote(s.service) + "}))" +
		" or 0 * count(container_memory_usage_bytes))"
	return clause{
		expr:    running + " " + operator + " " + s.replicas,
		summary: "The number of running replicas of the service " + s.job + " is " + than,
		labels:  system(s.service, "scale", scale, "type", "node"), series: whole,
	}
}

// boundMatcher matches a bucket bound in every way that client libraries and
// Prometheus write it: since version 3, Prometheus stores 1 as 1.0.
func boundMatcher(text string) string {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return "=" + strconv.Quote(text)
	}
	plain := strconv.FormatFloat(f, 'g', -1, 64)
	stored := plain
	if !strings.ContainsAny(plain, ".eIN") {
		stored += ".0"
	}
	var forms []string
	for _, form := range []string{text, plain, stored} {
		if !slices.Contains(forms, form) {
			forms = append(forms, form)
		}
	}
	if len(forms) == 1 {
		return "=" + strconv.Quote(text)
	}
	for i, form := range forms {
		forms[i] = strings.NewReplacer(".", "[.]", "+", "[+]").Replace(form)
	}
	return `=~"` + strings.Join(forms, "|") + `"`
}

var numberPattern = regexp.MustCompile(`^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?$`)

// tooShort reports whether a range, as Prometheus writes it, is shorter than two scrape
// intervals. The left end of a range does not belong to it, so it may hold one sample
// alone, of which there is no rate. An interval of 0 is not known.
func tooShort(text string, every time.Duration) bool {
	d, err := model.ParseDuration(text)
	return err == nil && time.Duration(d) < 2*every
}

// check reports whether a text is such a value.
func (k valueKind) check(text string) bool {
	switch k {
	case bound:
		return text == "+Inf" || numberPattern.MatchString(text)
	case interval:
		d, err := model.ParseDuration(text)
		return err == nil && d > 0
	case quantile, latencyBound:
		return k.proxied(text)
	default:
		return numberPattern.MatchString(text)
	}
}

// single reads one shortcut with its values. Values beyond those it takes are
// ignored, as they always were.
func single(text string, s subject) (clause, error) {
	name, rest, _ := strings.Cut(text, ":")
	known, proxied := shortcuts(), proxyShortcuts()
	who, every := "the service is", s.interval
	if _, ok := proxied[name]; ok {
		if s.proxies.Job == "" {
			return clause{}, fmt.Errorf("another condition than %s, which needs the metrics of the proxies: they are not scraped, because monitor runs with an empty own-stack", name)
		}
		who, every = "the proxies are", s.proxies.Interval
	}
	maps.Copy(known, proxied)
	sc, ok := known[name]
	if !ok {
		return clause{}, errors.New("PromQL or one of " + strings.Join(slices.Sorted(maps.Keys(known)), ", "))
	}
	rest, _, _ = strings.Cut(rest, ":")
	values := strings.Split(rest, ",")
	for i, kind := range sc.values {
		if i >= len(values) || strings.TrimSpace(values[i]) == "" {
			return clause{}, fmt.Errorf("%s with %d values: %s", name, len(sc.values), describe(sc.values))
		}
		values[i] = strings.TrimSpace(values[i])
		if !kind.check(values[i]) {
			return clause{}, fmt.Errorf("%s with %s instead of %q", name, kind, label.Show(values[i], false))
		}
		if kind == interval && tooShort(values[i], every) {
			return clause{}, fmt.Errorf("%s with a range of at least %s instead of %q, because %s scraped every %s and a shorter one never holds two samples",
				name, model.Duration(2*every), values[i], who, model.Duration(every))
		}
	}
	return sc.make(s, values), nil
}

func describe(kinds []valueKind) string {
	texts := make([]string, len(kinds))
	for i, k := range kinds {
		texts[i] = string(k)
	}
	return strings.Join(texts, ", ")
}
