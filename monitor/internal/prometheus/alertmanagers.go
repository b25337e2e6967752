package prometheus

import (
	"cmp"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/wagglehq/waggle/pkg/atomicfile"
	"github.com/wagglehq/waggle/pkg/catalog"
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
		am.File = []fileYAML{{Files: []string{tasksFile(u.Hostname(), port)}, RefreshInterval: refresh}}
	default:
		am.Static = []staticYAML{{[]string{fmt.Sprintf("%s:%d", u.Hostname(), port)}}}
	}
	return am, nil
}

// tasksFile is the name of the file with the addresses of a service's tasks. Names of
// services have no character that a path could not have.
func tasksFile(service string, port int) string {
	return fmt.Sprintf("alertmanagers-%s-%d.json", service, port)
}

// Alertmanagers writes the files from which Prometheus takes the Alertmanagers that are
// named by a service. It belongs to one goroutine.
type Alertmanagers struct {
	dir, network string
	log          *slog.Logger
	sources      []source
	// said is what was last said of each service.
	said map[string]string
}

// source is one service and the port of its tasks.
type source struct {
	service string
	port    int
}

// NewAlertmanagers returns what serves those of the URLs that begin with tasks+. The
// addresses are those on one network.
func NewAlertmanagers(dir, network string, urls []string, log *slog.Logger) (*Alertmanagers, error) {
	a := &Alertmanagers{dir: dir, network: network, log: log, said: map[string]string{}}
	for _, text := range urls {
		u, port, err := parseAlertmanager(text)
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(u.Scheme, byTasks) {
			a.sources = append(a.sources, source{u.Hostname(), port})
		}
	}
	if len(a.sources) > 0 && network == "" {
		return nil, fmt.Errorf("control-network: want the name of the network on which Prometheus reaches %s", a.sources[0].service)
	}
	return a, nil
}

// Apply makes the files equal to a complete catalog. Prometheus watches them. The file
// of a service whose tasks the catalog does not tell stays as it is.
func (a *Alertmanagers) Apply(s catalog.Snapshot) error {
	for _, src := range a.sources {
		targets, why := src.targets(s, a.network)
		a.say(src, targets, why)
		if targets == nil {
			continue
		}
		content, err := json.Marshal([]map[string][]string{{"targets": targets}})
		if err != nil {
			return err
		}
		if _, err := atomicfile.Write(filepath.Join(a.dir, tasksFile(src.service, src.port)), append(content, '\n'), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// targets returns the addresses of the tasks that run, sorted, and why there are none.
// They are nil if the catalog does not tell.
func (src source) targets(s catalog.Snapshot, network string) (targets []string, why string) {
	svc, ok := s.ByName(src.service)
	if !ok {
		return []string{}, "there is no such service"
	}
	tasks, ok := s.Tasks[svc.ID]
	if !ok {
		return nil, "the catalog does not tell its tasks; what it last told stays"
	}
	targets = []string{}
	for _, t := range tasks {
		if !t.Running() {
			continue
		}
		for _, ip := range t.Addresses[network] {
			targets = append(targets, net.JoinHostPort(ip, strconv.Itoa(src.port)))
		}
	}
	slices.Sort(targets)
	if targets = slices.Compact(targets); len(targets) == 0 {
		why = "no task of it runs on the network " + network
	}
	return targets, why
}

// say logs each change once.
func (a *Alertmanagers) say(src source, targets []string, why string) {
	text := cmp.Or(why, strings.Join(targets, " "))
	if a.said[src.service] == text {
		return
	}
	a.said[src.service] = text
	if why != "" {
		a.log.Warn("no Alertmanager", "service_name", src.service, "reason", why)
		return
	}
	a.log.Info("Alertmanagers written", "service_name", src.service, "targets", targets)
}
