package house

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/listener"
	"github.com/wagglehq/waggle/monitor"
	monitorjudge "github.com/wagglehq/waggle/monitor/judge"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/certtest"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy"
	proxyjudge "github.com/wagglehq/waggle/proxy/judge"
	"github.com/wagglehq/waggle/scaler"
	scalerjudge "github.com/wagglehq/waggle/scaler/judge"
)

// Each label has an example, on the page of labels, that the component which reads it accepts.
func TestTheExampleOfEachLabelIsAccepted(t *testing.T) {
	t.Parallel()
	for component, table := range map[string][]label.Spec{"listener": listener.Labels(), "proxy": proxy.Labels(), "monitor": monitor.Labels(), "scaler": scaler.Labels()} {
		for _, spec := range table {
			labels := exampleOf(t, spec)
			if len(labels) == 0 || component == "listener" {
				continue
			}
			svc := catalog.Service{
				ID: "web", Name: "shop_web", Stack: "shop", Mode: catalog.Replicated, Replicas: 2, CreatedAt: time.Unix(1, 0),
				Networks: []string{"waggle"}, EndpointMode: "vip", Labels: labels,
			}
			snapshot := catalog.Snapshot{Services: map[string]catalog.Service{"web": svc}}
			if said := judged(t, component, snapshot); said.State != catalog.StateAccepted && said.State != catalog.StateApplied || said.Label != "" {
				t.Errorf("the example of %s is %s: %s (%s: %s)\n%v", spec.Name, said.State, said.Reason, said.Label, said.Hint, labels)
			}
		}
	}
}

// exampleOf returns the labels of an example, and beside them what every service needs.
func exampleOf(t *testing.T, spec label.Spec) map[string]string {
	t.Helper()
	labels, has := map[string]string{}, map[string]bool{}
	for i, line := range strings.Split(spec.Example, "\n") {
		name, text, ok := strings.Cut(line, "=")
		bare, index, _ := strings.Cut(name, ".")
		if !ok || i == 0 && bare != spec.Name || index != "" && !spec.Indexed {
			t.Errorf("the example of %s is %q; want %s=TEXT, and labels that it needs on further lines", spec.Name, spec.Example, spec.Name)
			return nil
		}
		if name == "serviceCert" {
			text = certtest.Self(t, "shop.example.com").PEM()
		}
		labels[catalog.Prefix+name], has[bare] = text, true
	}
	labels[catalog.Notify] = "true"
	if slices.Contains([]string{"scaleMin", "scaleMax"}, spec.Name) || has["alertIf"] || has["scrapePort"] || has["scaleMax"] || has["scaleMin"] {
		return labels
	}
	if !has["port"] && !has["httpsPort"] {
		labels[catalog.Prefix+"port"] = "8080"
	}
	if !has["servicePath"] && !has["serviceDomain"] && !has["reqMode"] {
		labels[catalog.Prefix+"servicePath"] = "/shop"
	}
	return labels
}

// judged is what a component says of the one service. Raw text is allowed, and the operator
// has an authority for the certificates of clients.
func judged(t *testing.T, component string, snapshot catalog.Snapshot) catalog.Status {
	t.Helper()
	var all []catalog.Status
	switch component {
	case "proxy":
		answers, err := proxyjudge.Services(proxyjudge.Question{Snapshot: snapshot, Now: time.Unix(2, 0), Settings: map[string]string{"networks": "waggle", "allow-raw": "true"}})
		tooltest.Must(t, err)
		for _, a := range answers {
			all = append(all, a.Status)
		}
	case "monitor":
		answers, err := monitorjudge.Services(monitorjudge.Question{Snapshot: snapshot})
		tooltest.Must(t, err)
		for _, a := range answers {
			all = append(all, a.Status)
		}
	case "scaler":
		answers, err := scalerjudge.Services(scalerjudge.Question{Snapshot: snapshot, Now: time.Unix(2, 0)})
		tooltest.Must(t, err)
		for _, a := range answers {
			all = append(all, a.Status)
		}
	}
	if len(all) != 1 {
		t.Fatalf("%s says %v", component, all)
	}
	return all[0]
}
