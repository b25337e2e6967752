package settings

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Flag is a flag of Prometheus that a variable sets.
type Flag struct{ Name, Text, Variable string }

// Args are the variables ARG_*.
type Args struct {
	// Flags are those that are passed on, by name.
	Flags []Flag
	// Alertmanagers, ExternalURL, RoutePrefix, Retention and Size are what monitor has settings
	// of its own for; nil if no variable says so.
	Alertmanagers, ExternalURL, RoutePrefix, Storage, Retention, Size *Flag
}

const argPrefix = "ARG_"

// The variables of targets outside of the swarm have a number behind these.
const hostPrefix, portPrefix = "SERVICE_NAME_", "SCRAPE_PORT_"

// owned are the flags that monitor sets, and nobody else can.
var owned = map[string]string{ //nolint:gochecknoglobals // a constant that Go cannot have
	"config.file":          "monitor writes that file; what is to stand in it comes from BASE_FILE and variables",
	"web.listen-address":   "the address is PROMETHEUS_LISTEN",
	"web.enable-lifecycle": "monitor reloads Prometheus, and nobody else can",
	"web.config.file":      "monitor itself reaches Prometheus without TLS; what others reach is at PROMETHEUS_LISTEN",
	"agent":                "without rules and storage there is nothing to monitor",
}

// renamed are Docker Flow's own names, and flags that Prometheus 3 calls otherwise.
var renamed = map[string]string{ //nolint:gochecknoglobals // a constant that Go cannot have
	"storage.local.path": "storage.tsdb.path", "storage.local.retention": "storage.tsdb.retention.time",
	"storage.tsdb.retention": "storage.tsdb.retention.time", "query.staleness-delta": "query.lookback-delta",
}

// ReadArgs reads the variables ARG_*, given as NAME=text.
func ReadArgs(environ []string) (Args, error) {
	var out Args
	var errs []error
	by := map[string]string{}
	for _, entry := range slices.Sorted(slices.Values(environ)) {
		variable, text, _ := strings.Cut(entry, "=")
		rest, ok := strings.CutPrefix(variable, argPrefix)
		if !ok {
			continue
		}
		name := strings.ReplaceAll(strings.ToLower(rest), "_", ".")
		name = cmp.Or(renamed[name], name)
		if other, taken := by[name]; taken {
			errs = append(errs, clash(other, variable))
			continue
		}
		by[name] = variable
		if why, ok := owned[name]; ok {
			errs = append(errs, fmt.Errorf("%s: %s", variable, why))
			continue
		}
		flag := Flag{name, text, variable}
		switch name {
		case "alertmanager.url":
			out.Alertmanagers = &flag
		case "web.enable-remote-shutdown":
			// Monitor may reload and end its Prometheus anyway.
		case "web.external-url":
			out.ExternalURL = &flag
		case "web.route-prefix":
			out.RoutePrefix = &flag
		case "storage.tsdb.path":
			out.Storage = &flag
		case "storage.tsdb.retention.time":
			out.Retention = &flag
		case "storage.tsdb.retention.size":
			out.Size = &flag
		default:
			out.Flags = append(out.Flags, flag)
		}
	}
	return out, errors.Join(errs...)
}

// Argument is the flag on the command line. bools are those that have no text.
func (f Flag) Argument(bools map[string]bool) string {
	yes, err := strconv.ParseBool(f.Text)
	switch {
	case f.Text == "":
		return "--" + f.Name
	case !bools[f.Name] || err != nil:
		return "--" + f.Name + "=" + f.Text
	case yes:
		return "--" + f.Name
	default:
		return "--no-" + f.Name
	}
}

// KnownFlags reads what Prometheus' own help says: its flags, true for those without a text.
func KnownFlags(help string) map[string]bool {
	out := map[string]bool{}
	for line := range strings.Lines(help) {
		for field := range strings.FieldsSeq(line) {
			name, ok := strings.CutPrefix(field, "--")
			if !ok {
				continue
			}
			rest, isBool := strings.CutPrefix(name, "[no-]")
			rest, _, _ = strings.Cut(rest, "=")
			out[rest] = isBool
			break
		}
	}
	return out
}

// Target is a target outside of the swarm, by SERVICE_NAME_n and SCRAPE_PORT_n.
type Target struct {
	Host string
	Port int
}

// ReadTargets reads the pairs of variables, in the order of their numbers.
func ReadTargets(environ []string) (Targets, error) {
	hosts, ports := map[int]string{}, map[int]string{}
	var numbers []int
	for _, entry := range environ {
		name, text, _ := strings.Cut(entry, "=")
		for prefix, into := range map[string]map[int]string{hostPrefix: hosts, portPrefix: ports} {
			rest, ok := strings.CutPrefix(name, prefix)
			n, err := strconv.Atoi(rest)
			if !ok || err != nil || n < 1 || strings.TrimSpace(text) == "" {
				continue
			}
			into[n] = strings.TrimSpace(text)
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	var out Targets
	var errs []error
	for _, n := range slices.Compact(numbers) {
		host, port := hosts[n], ports[n]
		number, err := strconv.Atoi(port)
		switch {
		case host == "":
			errs = append(errs, fmt.Errorf("SCRAPE_PORT_%d=%q: want SERVICE_NAME_%d beside it", n, port, n))
		case port == "":
			errs = append(errs, fmt.Errorf("SERVICE_NAME_%d=%q: want SCRAPE_PORT_%d beside it", n, host, n))
		case err != nil || number < 1 || number > 65535:
			errs = append(errs, fmt.Errorf("SCRAPE_PORT_%d=%q: want a port from 1 to 65535", n, port))
		case strings.ContainsAny(host, " /:@"):
			errs = append(errs, fmt.Errorf("SERVICE_NAME_%d=%q: want the name of a host", n, host))
		default:
			out = append(out, Target{host, number})
		}
	}
	return out, errors.Join(errs...)
}

// Jobs are the scrape jobs of targets outside of the swarm: one for each host, called like it.
func (all Targets) Jobs() Tree {
	var names []string
	of := map[string][]any{}
	for _, t := range all {
		if of[t.Host] == nil {
			names = append(names, t.Host)
		}
		of[t.Host] = append(of[t.Host], fmt.Sprintf("%s:%d", t.Host, t.Port))
	}
	jobs := []any{}
	for _, name := range names {
		jobs = append(jobs, Tree{"job_name": name, "fallback_scrape_protocol": "PrometheusText0.0.4", "static_configs": []any{Tree{"targets": of[name]}}})
	}
	if len(jobs) == 0 {
		return nil
	}
	return Tree{"scrape_configs": jobs}
}

// Targets are several of them.
type Targets []Target
