package prometheus

import (
	"cmp"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/wagglehq/waggle/pkg/atomicfile"
	"github.com/wagglehq/waggle/pkg/catalog"
)

// Tasks writes the files from which Prometheus takes the addresses of what it must not find by
// a name that anybody can take: Alertmanagers that are named by a service, and Waggle's own
// components. It belongs to one goroutine.
type Tasks struct {
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

// NewTasks returns what writes those of the settings. The addresses are those on one network.
func NewTasks(dir, network string, s Settings, log *slog.Logger) (*Tasks, error) {
	f := &Tasks{dir: dir, network: network, log: log, said: map[string]string{}, sources: s.components()}
	for _, text := range s.Alertmanagers {
		u, port, err := parseAlertmanager(text)
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(u.Scheme, byTasks) {
			f.sources = append(f.sources, source{u.Hostname(), port})
		}
	}
	if len(f.sources) > 0 && network == "" {
		return nil, fmt.Errorf("control-network: want the name of the network on which Prometheus reaches %s", f.sources[0].service)
	}
	return f, nil
}

// Apply makes the files equal to a complete catalog. Prometheus watches them. The file
// of a service whose tasks the catalog does not tell stays as it is.
func (f *Tasks) Apply(s catalog.Snapshot) error {
	for _, src := range f.sources {
		targets, why := src.targets(s, f.network)
		f.say(src, targets, why)
		if targets == nil {
			continue
		}
		content, err := json.Marshal([]map[string][]string{{"targets": targets}})
		if err != nil {
			return err
		}
		if _, err := atomicfile.Write(filepath.Join(f.dir, src.file()), append(content, '\n'), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// file is the name of the file with the addresses. Names of services have no character that
// a path could not have.
func (src source) file() string { return fmt.Sprintf("tasks-%s-%d.json", src.service, src.port) }

// found tells Prometheus to read it.
func (src source) found() []fileYAML {
	return []fileYAML{{Files: []string{src.file()}, RefreshInterval: refresh}}
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
func (f *Tasks) say(src source, targets []string, why string) {
	text := cmp.Or(why, strings.Join(targets, " "))
	if f.said[src.service] == text {
		return
	}
	f.said[src.service] = text
	if why != "" {
		f.log.Warn("no tasks for Prometheus", "service_name", src.service, "reason", why)
		return
	}
	f.log.Info("tasks written for Prometheus", "service_name", src.service, "targets", targets)
}
