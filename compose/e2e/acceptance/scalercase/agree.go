package scalercase

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/wagglehq/waggle/compose/e2e/acceptance"
	"github.com/wagglehq/waggle/compose/e2e/acceptance/agree"
	"github.com/wagglehq/waggle/pkg/catalog"
)

// Agreement is the form of the scaler's cases where each service is written as a stack file
// after its labels have changed, and what waggle lint says of it is compared with what the scaler says.
func Agreement() acceptance.Form {
	f := Form()
	f.Name, f.Builds = "agreement with the scaler", append(f.Builds, agree.Program)
	f.Last = agree.Last("service", "deploy")
	f.Steps = maps.Clone(f.Steps)
	for _, kind := range []string{"service", "deploy"} {
		read := f.Steps[kind]
		f.Steps[kind] = func(values []json.RawMessage) (acceptance.Step, error) {
			s, err := read(values)
			do := s.Do
			names, errNames := expand(s.About)
			s.Do = func(ctx context.Context, in acceptance.World) error {
				if err := do(ctx, in); err != nil {
					return err
				}
				if errNames != nil {
					return errNames
				}
				return in.(*world).compare(ctx, names[0])
			}
			return s, err
		}
	}
	return f
}

// Conclusion names all services on which they do not agree.
func (w *world) Conclusion() error { return w.lint.Conclusion() }

// compare has a service judged as it stands in a file.
func (w *world) compare(ctx context.Context, name string) error {
	snapshot, err := w.reader.List(ctx)
	if err != nil {
		return err
	}
	svc, ok := snapshot.Snapshot.ByName(name)
	if !ok || w.busState != isOK || len(w.instances) == 0 {
		return nil // the scaler cannot know
	}
	found, err := w.lint.Lint(ctx, map[string]any{name: agree.Service(svc.Labels, []string{"waggle"}, map[string]any{"mode": string(svc.Mode)})}, []string{"waggle"}, "scaler", w.settings.Env)
	if err != nil {
		return err
	}
	status, body, err := w.ask(ctx, http.MethodGet, "/v1/services/"+url.PathEscape(name), nil, nil)
	live := catalog.Status{Service: name, State: catalog.StateIgnored}
	if err == nil && status == http.StatusOK {
		err = json.Unmarshal(body, &live)
	}
	if err != nil {
		return fmt.Errorf("what the scaler says: %w", err)
	}
	w.lint.Compare(name, live, found, func(f agree.Finding) bool {
		return f.Label == "" && strings.Contains(f.Text, "scaled") || strings.HasPrefix(f.Label, catalog.Prefix+"scale")
	})
	return nil
}
