// Package exporter offers HAProxy's statistics under the names that dashboards of
// Docker Flow Proxy know: those of Prometheus' former haproxy_exporter.
package exporter

import (
	"context"
	"encoding/csv"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// scrapeTimeout bounds what HAProxy may take to tell its statistics.
const scrapeTimeout = 5 * time.Second

// Collector asks HAProxy once for each scrape. Its labels are names of our own
// configuration: frontends, backends, and servers, which are called by their addresses.
type Collector struct {
	stat   func(context.Context) (string, error)
	fields map[kind][]field
	up     *prometheus.Desc
	total  *prometheus.Desc
	broken *prometheus.Desc
	build  *prometheus.Desc

	version string
	// mu guards the counters: scrapes may come at the same time.
	mu              sync.Mutex
	scrapes, faults float64
}

// kind is HAProxy's number for a sort of rows.
type kind string

// The kinds of rows that are told.
const (
	frontends kind = "0"
	backends  kind = "1"
	servers   kind = "2"
)

// field is one metric and the column that holds it.
type field struct {
	column string
	desc   *prometheus.Desc
	// value reads the column's text.
	value func(string) (float64, error)
}

// New returns a Collector. stat returns HAProxy's statistics as CSV.
func New(version string, stat func(context.Context) (string, error)) *Collector {
	return &Collector{
		stat: stat, version: version, fields: fields(),
		up:     prometheus.NewDesc("haproxy_up", "Was the last scrape of haproxy successful.", nil, nil),
		total:  prometheus.NewDesc("haproxy_exporter_total_scrapes", "Current total HAProxy scrapes.", nil, nil),
		broken: prometheus.NewDesc("haproxy_exporter_csv_parse_failures", "Number of errors while parsing CSV.", nil, nil),
		build:  prometheus.NewDesc("haproxy_exporter_build_info", "1, with the version of the proxy.", []string{"version"}, nil),
	}
}

// fields are the metrics of each kind of rows.
func fields() map[kind][]field {
	labels := map[kind][]string{frontends: {"frontend"}, backends: {"backend"}, servers: {"backend", "server"}}
	names := map[kind]string{frontends: "frontend", backends: "backend", servers: "server"}
	all := []kind{frontends, backends, servers}
	behind := []kind{backends, servers}
	out := map[kind][]field{}
	add := func(column, name, help string, code string, value func(string) (float64, error), kinds ...kind) {
		var fixed prometheus.Labels
		if code != "" {
			fixed = prometheus.Labels{"code": code}
		}
		for _, k := range kinds {
			desc := prometheus.NewDesc("haproxy_"+names[k]+"_"+name, help, labels[k], fixed)
			out[k] = append(out[k], field{column, desc, value})
		}
	}
	add("qcur", "current_queue", "Current number of queued requests.", "", number, behind...)
	add("qmax", "max_queue", "Maximum observed number of queued requests.", "", number, behind...)
	add("scur", "current_sessions", "Current number of active sessions.", "", number, all...)
	add("smax", "max_sessions", "Maximum observed number of active sessions.", "", number, all...)
	add("slim", "limit_sessions", "Configured session limit.", "", number, frontends, backends)
	add("stot", "connections_total", "Total number of connections.", "", number, all...)
	add("bin", "bytes_in_total", "Current total of incoming bytes.", "", number, all...)
	add("bout", "bytes_out_total", "Current total of outgoing bytes.", "", number, all...)
	add("dreq", "requests_denied_total", "Total of requests denied for security.", "", number, frontends)
	add("ereq", "request_errors_total", "Total of request errors.", "", number, frontends)
	add("econ", "connection_errors_total", "Total of connection errors.", "", number, behind...)
	add("eresp", "response_errors_total", "Total of response errors.", "", number, behind...)
	add("wretr", "retry_warnings_total", "Total of retry warnings.", "", number, behind...)
	add("wredis", "redispatch_warnings_total", "Total of redispatch warnings.", "", number, behind...)
	add("status", "up", "Current health status (1 = UP, 0 = DOWN).", "", up, behind...)
	add("weight", "weight", "Current weight of the server, or of all servers of the backend.", "", number, behind...)
	add("chkfail", "check_failures_total", "Total number of failed health checks.", "", number, servers)
	add("downtime", "downtime_seconds_total", "Total downtime in seconds.", "", number, servers)
	add("check_duration", "check_duration_milliseconds", "Previously run health check duration, in milliseconds.", "", number, servers)
	add("rate", "current_session_rate", "Current number of sessions per second over last elapsed second.", "", number, all...)
	add("rate_lim", "limit_session_rate", "Configured limit on new sessions per second.", "", number, frontends)
	add("rate_max", "max_session_rate", "Maximum observed number of sessions per second.", "", number, all...)
	add("req_tot", "http_requests_total", "Total HTTP requests.", "", number, frontends)
	for _, code := range []string{"1xx", "2xx", "3xx", "4xx", "5xx", "other"} {
		add("hrsp_"+code, "http_responses_total", "Total of HTTP responses.", code, number, all...)
	}
	return out
}

func number(text string) (float64, error) { return strconv.ParseFloat(text, 64) }

// up reads a status. A server without a health check counts as up, as does one
// that is on its way down.
func up(text string) (float64, error) {
	if strings.HasPrefix(text, "UP") || text == "OPEN" || text == "no check" {
		return 1, nil
	}
	return 0, nil
}

// Describe is for the registry.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.up, c.total, c.broken, c.build} {
		ch <- d
	}
	for _, list := range c.fields {
		for _, f := range list {
			ch <- f.desc
		}
	}
}

// Collect asks HAProxy. A value that is not understood is left out and counted.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	well, faults := 0.0, 0.0
	if text, err := c.stat(ctx); err == nil {
		well = 1
		rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(text, "# "))).ReadAll()
		if err != nil || len(rows) == 0 {
			faults = 1
		} else {
			faults = c.rows(ch, rows)
		}
	}
	c.mu.Lock()
	c.scrapes++
	c.faults += faults
	scrapes, sum := c.scrapes, c.faults
	c.mu.Unlock()
	ch <- prometheus.MustNewConstMetric(c.up, prometheus.GaugeValue, well)
	ch <- prometheus.MustNewConstMetric(c.total, prometheus.CounterValue, scrapes)
	ch <- prometheus.MustNewConstMetric(c.broken, prometheus.CounterValue, sum)
	ch <- prometheus.MustNewConstMetric(c.build, prometheus.GaugeValue, 1, c.version)
}

// rows tells the values and returns how many were not understood.
func (c *Collector) rows(ch chan<- prometheus.Metric, rows [][]string) (faults float64) {
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	for _, name := range []string{"pxname", "svname", "type"} {
		if _, ok := column[name]; !ok {
			return 1
		}
	}
	for _, row := range rows[1:] {
		labels := []string{row[column["pxname"]]}
		k := kind(row[column["type"]])
		if k == servers {
			labels = append(labels, row[column["svname"]])
		}
		for _, f := range c.fields[k] {
			i, ok := column[f.column]
			if !ok || row[i] == "" {
				continue // this version or kind of row has no such value
			}
			v, err := f.value(row[i])
			if err != nil {
				faults++
				continue
			}
			ch <- prometheus.MustNewConstMetric(f.desc, valueType(f.column), v, labels...)
		}
	}
	return faults
}

// valueType is a counter for what only grows.
func valueType(column string) prometheus.ValueType {
	if slices.Contains([]string{"stot", "bin", "bout", "dreq", "ereq", "econ", "eresp", "wretr", "wredis", "chkfail", "downtime", "req_tot"}, column) || strings.HasPrefix(column, "hrsp_") {
		return prometheus.CounterValue
	}
	return prometheus.GaugeValue
}
