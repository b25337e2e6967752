package judge_test

import (
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/scaler/internal/swarmtest"
	"github.com/wagglehq/waggle/scaler/judge"
)

// wednesday is a working day, at noon in Berlin.
var wednesday = time.Date(2026, 12, 2, 11, 0, 0, 0, time.UTC)

func TestWhatTheScalerMakesOfServices(t *testing.T) {
	s := swarmtest.New()
	s.Create("office", 5, "scaleMin=1 scaleMax=3 scaleMin.1=4 scaleMax.1=8 scaleWhen.1=Mon-Fri_07:30-19:00_Europe/Berlin")
	s.Create("load", 2, "scaleMax=9 scaleMetric=@cpu scaleTarget=0.5 scaleFallback=3")
	s.Create("wrong", 2, "scaleMax=many scaleUpBy=0")
	s.Create("idle", 2, "scaleUpBy=2")
	s.Create("else", 2, "port=8080")
	snapshot := s.Snapshot()
	for id, svc := range snapshot.Services {
		for name, text := range svc.Labels {
			svc.Labels[name] = strings.ReplaceAll(text, "_", " ")
		}
		snapshot.Services[id] = svc
	}
	answers, err := judge.Services(judge.Question{Snapshot: snapshot, Settings: map[string]string{judge.DefaultUpBy: "2", judge.DryRun: "true"}, Now: wednesday})
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]judge.Answer{}
	for _, a := range answers {
		by[a.Service] = a
	}
	if len(by) != 4 {
		t.Errorf("judged are %v", by)
	}
	office := by["office"].Rules
	if office == nil || office.Min != 4 || office.Max != 8 || !office.Next.Equal(wednesday.Add(7*time.Hour)) || office.UpBy != 2 || !office.DryRun || len(office.Windows) != 1 {
		t.Errorf("office: %+v", office)
	}
	load := by["load"].Rules
	if load == nil || load.Load.Target != .5 || load.Fallback == nil || *load.Fallback != 3 || load.Min != 1 || load.Max != 9 {
		t.Errorf("load: %+v", load)
	}
	if a := by["wrong"]; a.State != catalog.StateRejected || a.Label != "com.df.scaleMax" || len(a.Faults) != 2 || a.Rules != nil {
		t.Errorf("wrong: %+v", a)
	}
	if a := by["idle"]; a.State != catalog.StateIgnored || !strings.HasPrefix(a.Reason, "it has neither com.df.scaleMin nor com.df.scaleMax") || a.Rules != nil {
		t.Errorf("idle: %+v", a)
	}
}

func TestWrongSettingsAreNamed(t *testing.T) {
	for name, text := range map[string]string{
		judge.DefaultMin: "few", judge.DefaultMax: "0", judge.DefaultCooldownUp: "soon", judge.Patience: "-1s", judge.DryRun: "perhaps",
	} {
		if _, err := judge.Services(judge.Question{Settings: map[string]string{name: text}}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s=%s: error %v", name, text, err)
		}
	}
}
