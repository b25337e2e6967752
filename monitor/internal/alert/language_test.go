package alert

import (
	"slices"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/label"
)

// TestTheLanguageIsThatOfPrometheus: what is switched on there is taken in alerts, in what is
// recorded, and as a load; otherwise it is said where it is switched on.
func TestTheLanguageIsThatOfPrometheus(t *testing.T) {
	const expr = "mad_over_time(bees[5m])"
	svc := service("web", "alertName=a", "alertIf="+expr+" > 1", "recordName=shop:bees:mad", "recordExpr="+expr, "scaleMax=3", "scaleMetric="+expr, "scaleTarget=10")
	read := func(features string) (faults []string) {
		about := About{Replicas: 1}
		about.Language, _ = LanguageOf(features)
		alerts, _ := FromService(svc, about)
		records, _ := Records(svc, about)
		load, _ := Wanted(svc, about)
		for _, one := range append(append(alerts, records...), Alert{Err: load.Err}) {
			if f := label.First(one.Err); f != nil {
				faults = append(faults, f.Label+": "+f.Want)
			}
		}
		return faults
	}
	without := read("exemplar-storage")
	for i, full := range []string{"com.df.alertIf", "com.df.recordExpr", "com.df.scaleMetric"} {
		if len(without) != 3 || !strings.HasPrefix(without[i], full) || !strings.Contains(without[i], "ARG_ENABLE-FEATURE=promql-experimental-functions") {
			t.Fatalf("%q", without)
		}
	}
	if faults := read("exemplar-storage, promql-experimental-functions"); faults != nil {
		t.Errorf("%q", faults)
	}
	if l, names := LanguageOf("promql-duration-expr,exemplar-storage,promql-experimental-functions"); !slices.Equal(names, []string{"promql-experimental-functions", "promql-duration-expr"}) || !l.ExperimentalDurationExpr || l.EnableBinopFillModifiers {
		t.Errorf("%+v %q", l, names)
	}
}
