package proxycase

import (
	"context"
	"maps"

	"github.com/wagglehq/waggle/compose/e2e/acceptance"
	"github.com/wagglehq/waggle/compose/e2e/acceptance/agree"
	"github.com/wagglehq/waggle/pkg/catalog"
)

// Agreement is the form of the proxy's cases where each deployment is written as a stack
// file too, and what waggle lint says of it is compared with what the proxy says.
func Agreement() acceptance.Form {
	f := Form()
	f.Name, f.Builds = "agreement", append(f.Builds, agree.Program)
	f.Last = agree.Last("deploy", "deploy_bad", "deploy_any")
	return f
}

// agreement is what was compared in one case.
type agreement struct {
	agree.Agreement
	// standing are the labels in force of the services that are there. They were first, so
	// that what is deployed is judged after them.
	standing map[string]map[string]string
}

// Conclusion names all deployments on which they do not agree.
func (w *world) Conclusion() error {
	if w.lint == nil {
		return nil
	}
	return w.lint.Conclusion()
}

// compare writes a deployment as a stack file and has it judged with the settings of the case.
func (a *agreement) compare(ctx context.Context, s settings, name string, labels map[string]string, live catalog.Status) error {
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
	found, err := a.Lint(ctx, a.servicesWith(name, labels), []string{"waggle"}, "proxy", env)
	if err != nil {
		return err
	}
	if live.State != catalog.StateRejected {
		a.standing[name] = labels
	}
	a.Compare(judged+name, live, found, func(agree.Finding) bool { return true })
	return nil
}

// The services of a stack count as older in the order of their names.
const (
	judged = "z-"
	older  = "a-"
)

// servicesWith are a service and those that stand.
func (a *agreement) servicesWith(name string, labels map[string]string) map[string]any {
	services := map[string]any{judged + name: serviceOf(labels)}
	for other, labels := range a.standing {
		if other != name {
			services[older+other] = serviceOf(labels)
		}
	}
	return services
}

func serviceOf(labels map[string]string) map[string]any {
	full := map[string]string{catalog.Notify: "true"}
	for label, text := range labels {
		full[catalog.Prefix+label] = text
	}
	return agree.Service(full, []string{"waggle"}, nil)
}
