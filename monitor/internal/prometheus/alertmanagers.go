package prometheus

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// byTasks begins the URL of an Alertmanager whose addresses are those that the catalog
// gives to the tasks of a service. A name can be taken by anybody who
// shares a network with Prometheus; what the catalog says cannot.
const byTasks = "tasks+"

// schemes are how an Alertmanager may be named.
func schemes() []string {
	return []string{"http", "https", "dns+http", "dns+https", byTasks + "http"}
}

// alertmanagerPort is where Alertmanager listens unless the URL says otherwise.
const alertmanagerPort = 9093

// parseAlertmanager takes a URL apart.
func parseAlertmanager(text string) (u *url.URL, port int, err error) {
	u, err = url.Parse(text)
	if err != nil || u.Hostname() == "" || u.RawQuery != "" || u.User != nil || !slices.Contains(schemes(), u.Scheme) {
		return nil, 0, fmt.Errorf("alertmanager-url %q: want http://HOST:PORT, %shttp://SERVICE:PORT for the tasks that the catalog gives a service, or dns+http://NAME:PORT for every address of a name", text, byTasks)
	}
	if u.Port() == "" {
		return u, alertmanagerPort, nil
	}
	if port, err = strconv.Atoi(u.Port()); err != nil {
		return nil, 0, fmt.Errorf("alertmanager-url %q: port: %w", text, err)
	}
	return u, port, nil
}

// CheckAlertmanager returns what is wrong with the URL of an Alertmanager.
func CheckAlertmanager(text string) error {
	_, _, err := parseAlertmanager(text)
	return err
}

func alertmanager(text string) (alertmanagerYAML, error) {
	u, port, err := parseAlertmanager(text)
	if err != nil {
		return alertmanagerYAML{}, err
	}
	how, scheme, _ := strings.Cut("+"+u.Scheme, "+")
	if before, after, ok := strings.Cut(scheme, "+"); ok {
		how, scheme = before, after
	}
	am := alertmanagerYAML{Scheme: scheme, PathPrefix: strings.TrimSuffix(u.Path, "/")}
	switch how {
	case "dns":
		am.DNS = []dnsYAML{{[]string{u.Hostname()}, "A", port, refresh}}
	case "tasks":
		am.File = source{u.Hostname(), port}.found()
	default:
		am.Static = []staticYAML{{[]string{fmt.Sprintf("%s:%d", u.Hostname(), port)}}}
	}
	return am, nil
}

// scraped is the job that reads the metrics of the nth Alertmanager. All have the same label
// job, by which the rules know them.
func (am alertmanagerYAML) scraped(job string, nth int) scrapeYAML {
	out := scrapeYAML{JobName: job, Scheme: am.Scheme, BasicAuth: am.BasicAuth, discovery: am.discovery}
	if am.PathPrefix != "" {
		out.MetricsPath = am.PathPrefix + "/metrics"
	}
	if nth > 1 {
		out.JobName += "-" + strconv.Itoa(nth)
		out.Relabel = []relabelYAML{{Regex: "(.*)", TargetLabel: "job", Replacement: &job}}
	}
	return out
}
