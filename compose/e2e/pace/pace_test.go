package pace

import (
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/acceptance"
	"github.com/wagglehq/waggle/compose/e2e/report"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// program builds the monitor.
func program(t *testing.T) string {
	t.Helper()
	// Said here, and not after a minute of waiting.
	tooltest.Path(t, "prometheus")
	tooltest.Path(t, "promtool")
	path, err := acceptance.Build(t.Context(), t.TempDir(), "monitor")
	tooltest.Must(t, err)
	return path
}

// TestSoon is the short form of 'measure monitor': changes are in force soon, and what needs
// no reload has none.
func TestSoon(t *testing.T) {
	t.Parallel()
	got, err := Measure(tooltest.Context(t, 5*time.Minute), Options{Monitor: program(t), Dir: t.TempDir(), Services: 50, Runs: 3})
	tooltest.Must(t, err)
	for name, all := range map[string][]time.Duration{"label to rule": got.Rule, "a pass": got.Pass, "task to target": got.Listed} {
		if m := report.Median(all); m > 5*time.Second {
			t.Errorf("%s: %v, want at most 5 s in the median", name, all)
		}
	}
	if m := report.Median(got.Scraped); m > interval+5*time.Second {
		t.Errorf("task to first scrape: %v", got.Scraped)
	}
	if got.ReloadsOfTargets != 0 || got.ReloadsOfScaling != 0 || got.ReloadsOfReplicas > 1 {
		t.Errorf("reloads: %d for targets, %d for a scaling, %d for one with @replicas_less_than; want 0, 0, at most 1", got.ReloadsOfTargets, got.ReloadsOfScaling, got.ReloadsOfReplicas)
	}
}

// TestAGluttonHarmsItselfAlone, in smaller numbers than 'measure monitor' does.
func TestAGluttonHarmsItselfAlone(t *testing.T) {
	t.Parallel()
	got, err := Glut(tooltest.Context(t, 5*time.Minute), Options{Monitor: program(t), Dir: t.TempDir()}, 50_000, 5_000)
	tooltest.Must(t, err)
	if st := got.Statuses[glutton]; !strings.Contains(st.Reason, "sample limit exceeded") {
		t.Errorf("%+v", st)
	}
	// The expression matches a few series of the others too, as soon as they are scraped.
	if st := got.Statuses[alarmed]; !strings.Contains(st.Reason, "exceeded limit of 1000 with 50") {
		t.Errorf("%+v", st)
	}
	for _, st := range got.Others {
		if st.State != catalog.StateApplied {
			t.Errorf("%+v", st)
		}
	}
	// What Prometheus says of a scrape itself are five series.
	if got.Series > 10 {
		t.Errorf("%g series of the glutton are kept", got.Series)
	}
	if got.Rule > 10*time.Second || got.Scrapes > 2*time.Second || got.Evaluation > time.Second {
		t.Errorf("others wait: %+v", got)
	}
}
