package alert

import (
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
)

const labelLimit = "alertLimit"

// LimitLabel is the full name of the label that bounds the results of a service's rules.
const LimitLabel = catalog.Prefix + labelLimit

var limitTable = []label.Spec{ //nolint:gochecknoglobals // a constant that Go cannot have
	{Name: labelLimit, Task: "Alerts", Example: "alertLimit=100\nalertName=errors\nalertIf=@error_ratio:5m,0.01", Kind: "whole number", Default: "monitor's -alert-limit", Doc: "How many alerts, or recorded series, each rule of the service may have at once; beyond it the rule fails, and the service is degraded. At most monitor's -alert-limit-max."},
}

// unlimited stands for no limit to what a label may say.
const unlimited = 1_000_000_000

// Limit reads how many results each rule of a service may have, at most so many if most is
// not 0. It is false if no label says it.
func Limit(svc catalog.Service, most int) (int, bool, error) {
	r := label.NewReader(catalog.Prefix, svc.Labels, limitTable, "")
	g := r.Service()
	if !g.Has(labelLimit) {
		return 0, false, nil
	}
	if most == 0 {
		most = unlimited
	}
	n := g.Int(labelLimit, 0, 1, most)
	if r.Err() != nil {
		return 0, true, faults(r)
	}
	return n, true, nil
}
