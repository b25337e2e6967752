package proxycase

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/wagglehq/waggle/compose/e2e/acceptance"
	"github.com/wagglehq/waggle/pkg/catalog"
)

// linter is the program that is compared with the proxy.
const linter = "waggle"

// Agreement is the form of the proxy's cases where each deployment is written as a stack
// file too, and what waggle lint says of it is compared with what the proxy says.
func Agreement() acceptance.Form {
	f := Form()
	f.Name, f.Builds = "agreement", append(f.Builds, linter)
	f.Last = func(all []acceptance.Result) string {
		deployed, differ := 0, 0
		for _, r := range all {
			deployed += r.Case.Count("deploy") + r.Case.Count("deploy_bad")
			if r.Err != nil {
				n := 0
				if _, err := fmt.Sscanf(r.Err.Error(), disagrees, &n); err != nil {
					n = r.Case.Count("deploy") + r.Case.Count("deploy_bad") // nothing is known of it
				}
				differ += n
			}
		}
		return fmt.Sprintf("agree %d of %d", deployed-differ, deployed)
	}
	return f
}

// disagrees begins the reason of a case in which they do not agree.
const disagrees = "lint disagrees on %d deployments"

// agreement is what was compared in one case.
type agreement struct {
	program string
	// standing are the labels in force of the services that are there. They were first, so
	// that what is deployed is judged after them.
	standing map[string]map[string]string
	differs  []string
}

// Conclusion names all deployments on which they do not agree.
func (w *world) Conclusion() error {
	if w.lint == nil || len(w.lint.differs) == 0 {
		return nil
	}
	return fmt.Errorf(disagrees+": %s", len(w.lint.differs), strings.Join(w.lint.differs, "; "))
}

// compare writes a deployment as a stack file and has it judged with the settings of the case.
func (a *agreement) compare(ctx context.Context, s settings, name string, labels map[string]string, live catalog.Status) error {
	folder, err := os.MkdirTemp(acceptance.Hall, "lint")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	env := map[string]string{}
	maps.Copy(env, s.Env)
	if s.Raw {
		env["ALLOW_RAW"] = "true"
	}
	if env["OUTBOUND"] == "" {
		env["OUTBOUND"] = outbound
	}
	if len(s.Certs) > 0 {
		env["CERTIFICATES"] = "true" // as the proxy says of itself
	}
	file, operators := filepath.Join(folder, "stack.yml"), filepath.Join(folder, "settings.yml")
	if err := errors.Join(write(file, a.stackWith(name, labels)), write(operators, map[string]any{"proxy": env})); err != nil {
		return err
	}
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, a.program, "lint", "-o", "json", "-settings", operators, file)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState.ExitCode() != 1 {
		return fmt.Errorf("waggle lint: %w: %s", err, errs.String())
	}
	var said struct {
		Findings []struct{ Service, Label, Level, Text string }
	}
	if err := json.Unmarshal(out.Bytes(), &said); err != nil {
		return fmt.Errorf("waggle lint: %w: %s", err, out.String())
	}
	var faults []string
	for _, f := range said.Findings {
		if f.Level == "error" && f.Service == judged+name && !strings.Contains(f.Text, "is not known") {
			faults = append(faults, f.Label)
		}
	}
	isRejected := live.State == catalog.StateRejected
	if !isRejected {
		a.standing[name] = labels
	}
	switch {
	case isRejected != (len(faults) > 0):
		a.differs = append(a.differs, fmt.Sprintf("%s is %s (%s %s), and lint says %s", name, live.State, live.Label, live.Reason, out.String()))
	case isRejected && !slices.Contains(faults, live.Label):
		a.differs = append(a.differs, fmt.Sprintf("%s is rejected for %q, and lint says %q", name, live.Label, faults))
	}
	return nil
}

// write writes a value as JSON, which is YAML too.
func write(path string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

// The services of a stack count as older in the order of their names.
const (
	judged = "z-"
	older  = "a-"
)

// stackWith is a stack file of a service beside those that stand.
func (a *agreement) stackWith(name string, labels map[string]string) map[string]any {
	services := map[string]any{judged + name: serviceOf(labels)}
	for other, labels := range a.standing {
		if other != name {
			services[older+other] = serviceOf(labels)
		}
	}
	return map[string]any{"version": "3.8", "services": services, "networks": map[string]any{"waggle": map[string]any{"external": true}}}
}

// serviceOf is a service of a stack file. A dollar stands for itself when it stands twice.
func serviceOf(labels map[string]string) map[string]any {
	full := map[string]string{catalog.Notify: "true"}
	for label, text := range labels {
		full[catalog.Prefix+label] = strings.ReplaceAll(text, "$", "$$")
	}
	return map[string]any{"image": "none", "networks": []string{"waggle"}, "deploy": map[string]any{"labels": full}}
}
