package attack

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/parts"
	"github.com/wagglehq/waggle/compose/e2e/stack"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/judge"
)

// TestCrooksAreRefused: what the crooks are refused for on a swarm is what they are there for.
// The proxy's pure part knows it for all but what depends on the swarm.
func TestCrooksAreRefused(t *testing.T) {
	const taken = 40000
	for _, c := range []struct {
		name     string
		settings map[string]string
		crooks   []crook
	}{
		{"owners", map[string]string{"owners": owned}, thieves()},
		{"outbound", nil, everywhere()},
		{"budgets", nil, greedy(taken)},
		{"slips", nil, misspelled()},
	} {
		for _, crook := range c.crooks {
			if slices.Contains(crook.says, tooLarge) || crook.once {
				continue // It is the listener, or the container, that tells.
			}
			t.Run(c.name+", "+crook.what, func(t *testing.T) {
				for _, a := range judged(t, c.settings, append(victims(), crook.demo())...) {
					switch {
					case a.Service == thief && (a.State != catalog.StateRejected || !says(a.Status, crook.says...)):
						t.Errorf("%+v, want it rejected, and the words %q", a.Status, crook.says)
					case a.Service != thief && a.State == catalog.StateRejected:
						t.Errorf("%+v", a.Status)
					}
				}
			})
		}
	}
}

// TestHonestServicesAreTaken: the services by which something is shown are no crooks.
func TestHonestServicesAreTaken(t *testing.T) {
	for _, a := range judged(t, nil, append(asked(), keeper())...) {
		if a.State != catalog.StateAccepted {
			t.Errorf("%+v", a.Status)
		}
	}
}

// judged is what the proxy makes of services, the first of which is the oldest.
func judged(t *testing.T, settings map[string]string, demos ...stack.Demo) []judge.Answer {
	t.Helper()
	services := map[string]catalog.Service{}
	for i, d := range demos {
		services[d.Name] = catalog.Service{
			ID: d.Name, Name: d.Name, Stack: d.Labels["com.docker.stack.namespace"], Labels: d.Labels, Networks: []string{"waggle"},
			Mode: catalog.Replicated, Replicas: 1, EndpointMode: "dnsrr", CreatedAt: time.Unix(int64(i), 0),
		}
	}
	answers, err := judge.Services(judge.Question{Snapshot: catalog.Snapshot{Services: services}, Settings: settings, Now: time.Unix(1, 0)})
	if err != nil {
		t.Fatal(err)
	}
	return answers
}

// TestLargeLabelsAreTooLarge: they are more than the catalog takes of one service.
func TestLargeLabelsAreTooLarge(t *testing.T) {
	for _, c := range greedy(1) {
		size := 0
		for name, text := range c.labels {
			size += len(name) + len(text)
		}
		if want := slices.Contains(c.says, tooLarge); want != (size > catalog.MaxValue) {
			t.Errorf("%s: %d bytes", c.what, size)
		}
	}
}

func TestAPartThatIsNotThereIsNamed(t *testing.T) {
	var out bytes.Buffer
	err := Run(t.Context(), parts.Config{Only: []string{"slips", "earthquake"}, Out: &out, Log: &out})
	if err == nil || !strings.Contains(err.Error(), "earthquake") || out.Len() > 0 {
		t.Errorf("it says %v, and did %q", err, out.String())
	}
}
