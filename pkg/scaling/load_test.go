package scaling

import (
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/label"
)

func TestTheLoadOfAService(t *testing.T) {
	for _, tc := range []struct {
		name, metric, target string
		want                 Load
		fault                string
	}{
		{name: "neither label"},
		{name: "requests", metric: "@requests", target: "100", want: Load{Source: Requests, Target: 100}},
		{name: "in any case of letters", metric: " @CPU ", target: "0.5", want: Load{Source: CPU, Target: .5}},
		{name: "open requests", metric: "@concurrency", target: "1e3", want: Load{Source: Concurrency, Target: 1000}},
		{name: "an expression", metric: `sum(queue{name="a"})`, target: "20", want: Load{Source: Expression, Expr: `sum(queue{name="a"})`, Target: 20}},
		{name: "one on two lines", metric: "a\n+ b", target: "20", want: Load{Source: Expression, Expr: "a\n+ b", Target: 20}},
		{name: "an unknown shortcut", metric: "@request", target: "1", fault: `com.df.scaleMetric="@request": want @requests, @concurrency, @cpu or PromQL`},
		{name: "half of it", metric: "@cpu", fault: `com.df.scaleMetric="@cpu": want it together with scaleTarget`},
		{name: "the other half", target: "1", fault: `com.df.scaleTarget="1": want it together with scaleMetric`},
		{name: "nothing", metric: "@cpu", target: "0", fault: `com.df.scaleTarget="0": want a number above 0`},
		{name: "below nothing", metric: "@cpu", target: "-1", fault: `com.df.scaleTarget="-1": want a number above 0`},
		{name: "without end", metric: "@cpu", target: "Inf", fault: `com.df.scaleTarget="Inf": want a number above 0`},
		{name: "a number of another kind", metric: "@cpu", target: "0x10", fault: `com.df.scaleTarget="0x10": want a number above 0`},
		{name: "no number", metric: "@cpu", target: "many", fault: `com.df.scaleTarget="many": want a number above 0`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			labels := map[string]string{}
			if tc.metric != "" {
				labels["com.df."+Metric] = tc.metric
			}
			if tc.target != "" {
				labels["com.df."+Target] = tc.target
			}
			r := label.NewReader("com.df.", labels, Labels(), "")
			got := Read(r.Service())
			if got != tc.want || got.Set() != (tc.want != Load{}) {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
			switch err := r.Err(); {
			case tc.fault == "" && err != nil:
				t.Error(err)
			case tc.fault != "" && (err == nil || !strings.HasPrefix(err.Error(), tc.fault)):
				t.Errorf("got %v, want %s", err, tc.fault)
			}
		})
	}
}
