// Package agree compares what waggle lint says of services with what a running component does:
// lint has an error for a service if, and only if, not all that its labels ask of the component is in force,
// and then for the same label.
package agree

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/wagglehq/waggle/compose/e2e/acceptance"
	"github.com/wagglehq/waggle/pkg/catalog"
)

// Program is the one that is compared.
const Program = "waggle"

// disagrees begins the reason of a case in which they do not agree.
const disagrees = "lint disagrees on %d deployments"

// Last is the last line of all results: of how many steps of these kinds they agree.
func Last(kinds ...string) func([]acceptance.Result) string {
	return func(all []acceptance.Result) string {
		compared, differ := 0, 0
		for _, r := range all {
			steps := 0
			for _, kind := range kinds {
				steps += r.Case.Count(kind)
			}
			compared += steps
			if r.Err != nil {
				n := steps // nothing is known of it, unless it says how many
				_, _ = fmt.Sscanf(r.Err.Error(), disagrees, &n)
				differ += min(n, steps)
			}
		}
		return fmt.Sprintf("agree %d of %d", compared-differ, compared)
	}
}

// Agreement is what was compared in one case. The zero value with the path of the program is ready.
type Agreement struct {
	Program string
	differs []string
}

// Conclusion names all services on which they do not agree.
func (a *Agreement) Conclusion() error {
	if a == nil || len(a.differs) == 0 {
		return nil
	}
	return fmt.Errorf(disagrees+": %s", len(a.differs), strings.Join(a.differs, "; "))
}

// Finding is what lint says.
type Finding struct{ Service, Label, Level, Text string }

// Lint has the services of a stack judged, with the settings of the component by their variables.
func (a *Agreement) Lint(ctx context.Context, services map[string]any, networks []string, component string, settings map[string]string) ([]Finding, error) {
	folder, err := os.MkdirTemp(acceptance.Hall, "lint")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	external := map[string]any{}
	for _, n := range networks {
		external[n] = map[string]any{"external": true}
	}
	file, operators := filepath.Join(folder, "stack.yml"), filepath.Join(folder, "settings.yml")
	stack := map[string]any{"version": "3.8", "services": services, "networks": external}
	if err := errors.Join(write(file, stack), write(operators, map[string]any{component: settings})); err != nil {
		return nil, err
	}
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, a.Program, "lint", "-o", "json", "-settings", operators, file)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState.ExitCode() != 1 {
		return nil, fmt.Errorf("waggle lint: %w: %s", err, errs.String())
	}
	var said struct{ Findings []Finding }
	if err := json.Unmarshal(out.Bytes(), &said); err != nil {
		return nil, fmt.Errorf("waggle lint: %w: %s", err, out.String())
	}
	return said.Findings, nil
}

// write writes a value as JSON, which is YAML too.
func write(path string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

// Compare notes whether what lint finds of a service, which the file calls key, is what the component says.
// About says which findings are of this component; the unknown labels are lint's alone.
func (a *Agreement) Compare(key string, live catalog.Status, found []Finding, about func(Finding) bool) {
	var faults []string
	for _, f := range found {
		if f.Level == "error" && f.Service == key && !strings.Contains(f.Text, "is not known") && about(f) {
			faults = append(faults, f.Label)
		}
	}
	isRejected := live.State == catalog.StateRejected || live.State == catalog.StateDegraded && live.Label != ""
	switch {
	case isRejected != (len(faults) > 0):
		a.differs = append(a.differs, fmt.Sprintf("%s is %s (%s %s), and lint says %q of %+v", live.Service, live.State, live.Label, live.Reason, faults, found))
	case isRejected && !slices.Contains(faults, live.Label):
		a.differs = append(a.differs, fmt.Sprintf("%s is %s for %q (%s), and lint says %q", live.Service, live.State, live.Label, live.Reason, faults))
	}
}

// Service is a service of a stack file. A dollar stands for itself when it stands twice.
func Service(labels map[string]string, networks []string, deploy map[string]any) map[string]any {
	full := map[string]string{}
	for label, text := range labels {
		full[label] = strings.ReplaceAll(text, "$", "$$")
	}
	of := map[string]any{"labels": full}
	for name, value := range deploy {
		of[name] = value
	}
	return map[string]any{"image": "none", "networks": networks, "deploy": of}
}
