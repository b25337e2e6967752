package monitorcase

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/wagglehq/waggle/compose/e2e/acceptance"
	"github.com/wagglehq/waggle/compose/e2e/acceptance/agree"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// Agreement is the form of the monitor's cases where all services are written as a stack file
// after each change of one, and what waggle lint says of that one is compared with what the
// monitor says. What else a case asks is not asked.
func Agreement() acceptance.Form {
	f := Form()
	f.Name, f.Builds = "agreement with the monitor", append(f.Builds, agree.Program)
	f.Last = agree.Last("service")
	f.Steps = maps.Clone(f.Steps)
	for kind := range judgements() {
		read := f.Steps[kind]
		f.Steps[kind] = func(values []json.RawMessage) (acceptance.Step, error) {
			s, err := read(values)
			s.Do = func(context.Context, acceptance.World) error { return nil }
			return s, err
		}
	}
	read := f.Steps["service"]
	f.Steps["service"] = func(values []json.RawMessage) (acceptance.Step, error) {
		s, err := read(values)
		do := s.Do
		s.Do = func(ctx context.Context, any acceptance.World) error {
			w := any.(*world)
			if err := do(ctx, w); err != nil || w.Subject != monitor || w.store.server == nil {
				return err
			}
			return w.compare(ctx, s.About)
		}
		return s, err
	}
	return f
}

// Conclusion names all services on which they do not agree.
func (w *world) Conclusion() error { return w.lint.Conclusion() }

// compare has a service judged as it stands in a file with all the others.
func (w *world) compare(ctx context.Context, name string) error {
	if err := w.reached(ctx); err != nil {
		return err
	}
	services, networks := map[string]any{}, map[string]bool{}
	for _, m := range w.swarm.services {
		deploy := map[string]any{"mode": m.Mode}
		if m.Mode == string(catalog.Replicated) || m.Mode == string(catalog.ReplicatedJob) {
			deploy["replicas"] = *m.Replicas
		}
		services[m.Name] = agree.Service(m.labels(), m.Networks, deploy)
		for _, n := range m.Networks {
			networks[n] = true
		}
	}
	settings := map[string]string{"OWN_STACK": "", "SCRAPE_INTERVAL": "1s", "SCRAPE_TIMEOUT": "1s", "EVALUATION_INTERVAL": "1s"}
	maps.Copy(settings, w.Env)
	own := map[string]any{}
	for name, text := range w.Secrets {
		if strings.HasPrefix(name, "alertif-") {
			maps.Copy(own, shortcuts(text))
		}
	}
	for name, text := range w.Files {
		if strings.HasSuffix(w.Env["SHORTCUTS_FILE"], "/"+name) {
			maps.Copy(own, shortcuts(text))
		}
	}
	if len(own) > 0 {
		text, err := yaml.Marshal(own)
		if err != nil {
			return err
		}
		settings["OWN_SHORTCUTS"] = string(text) // as the monitor says of itself
	}
	found, err := w.lint.Lint(ctx, services, slices.Sorted(maps.Keys(networks)), monitor, settings)
	if err != nil {
		return err
	}
	var live struct{ Services []catalog.Status }
	if err := tooltest.Get(ctx, admin("/v1/services"), &live); err != nil {
		return fmt.Errorf("what the monitor says: %w", err)
	}
	status := catalog.Status{Service: name, State: catalog.StateIgnored}
	for _, s := range live.Services {
		if s.Service == name {
			status = s
		}
	}
	w.lint.Compare(name, status, found, func(f agree.Finding) bool {
		label := strings.TrimPrefix(f.Label, catalog.Prefix)
		// What describes a scrape that nobody asks for is ignored by the monitor, and an error for lint.
		isIdle := status.State == catalog.StateIgnored && strings.HasPrefix(label, "scrape")
		return !isIdle && (strings.HasPrefix(label, "scrape") || strings.HasPrefix(label, "alert") || strings.HasPrefix(label, "metrics") || label == "shortName" || status.Label == f.Label)
	})
	return nil
}

// shortcuts are those of a file, by name.
func shortcuts(text string) map[string]any {
	var all map[string]any
	if yaml.Unmarshal([]byte(text), &all) != nil {
		return nil
	}
	return all
}
