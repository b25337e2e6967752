package alert

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/label"
)

func TestRecords(t *testing.T) {
	for _, c := range []struct {
		name   string
		labels []string
		want   string // of each rule: index, name, expression, labels
	}{
		{"one", []string{"recordName=shop:requests:rate5m", "recordExpr=sum(rate(x[5m]))"}, "0 shop:requests:rate5m sum(rate(x[5m])) map[owner:shop_web]"},
		{"several, of one name", []string{"recordName.1=a:b", "recordExpr.1=up", "recordLabels.1=x=1, y=z", "recordName.7=a:b", "recordExpr.7=\n  up\n  > 0\n"},
			"1 a:b up map[owner:shop_web x:1 y:z]; 7 a:b up\n  > 0 map[owner:shop_web]"},
		{"an index inherits nothing", []string{"recordName=a:b", "recordExpr=up", "recordLabels=x=1", "recordName.1=c:d", "recordExpr.1=up"}, "0 a:b up map[owner:shop_web x:1]; 1 c:d up map[owner:shop_web]"},
		{"a text that is no template", []string{"recordName=a:b", "recordExpr=up", "recordLabels=x={{ $nope"}, "0 a:b up map[owner:shop_web x:{{ $nope]"},
		{"none", []string{"alertName=a", "alertIf=up"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			all, idle := Records(service("shop_web", c.labels...), About{})
			var got []string
			for _, a := range all {
				if a.Err != nil || !a.Rule.Record || a.Rule.Load() {
					t.Errorf("%+v", a)
				}
				got = append(got, fmt.Sprint(a.Index, " ", a.Rule.Name, " ", a.Rule.Expr, " ", a.Rule.Labels))
			}
			if text := strings.Join(got, "; "); text != c.want || len(idle) > 0 {
				t.Errorf("%q, want %q; %q", text, c.want, idle)
			}
		})
	}
}

func TestFaultsOfRecords(t *testing.T) {
	for _, c := range []struct{ labels, label, want string }{
		{"recordName=a:b", "com.df.recordExpr", "a PromQL expression"},
		{"recordExpr.3=up", "com.df.recordName.3", "a name such as"},
		{"recordName=requests\nrecordExpr=up", "com.df.recordName", "at least one colon"},
		{"recordName=a-b:c\nrecordExpr=up", "com.df.recordName", "letters, digits"},
		{"recordName=:a\nrecordExpr=up", "com.df.recordName", "letters, digits"},
		{"recordName=waggle:replicas_wanted\nrecordExpr=up", "com.df.recordName", "told by Waggle itself"},
		{"recordName=a:" + strings.Repeat("x", 200) + "\nrecordExpr=up", "com.df.recordName", "at most 200 bytes"},
		{"recordName=a:b\nrecordExpr=sum(", "com.df.recordExpr", "unclosed left parenthesis"},
		{"recordName=a:b\nrecordExpr=up[5m]", "com.df.recordExpr", "not a matrix"},
		{"recordName=a:b\nrecordExpr=@request_rate:1m,0", "com.df.recordExpr", "PromQL"},
		{"recordName=a:b\nrecordExpr=up\nrecordLabels=owner=shop", "com.df.recordLabels", "owner says whose series it is"},
		{"recordName=a:b\nrecordExpr=up\nrecordLabels=__name__=up", "com.df.recordLabels", "taken by Prometheus"},
	} {
		all, _ := Records(service("web", strings.Split(c.labels, "\n")...), About{})
		if len(all) != 1 {
			t.Fatalf("%s: %+v", c.labels, all)
		}
		if f := label.First(all[0].Err); f == nil || f.Label != c.label || !strings.Contains(f.Want, c.want) {
			t.Errorf("%s: fault %v, want one of %s that says %q", c.labels, f, c.label, c.want)
		}
	}
}

func TestRecordsWithoutEffectAndDoubts(t *testing.T) {
	all, idle := Records(service("web", "recordLabels.2=a=b"), About{})
	if len(all) != 0 || len(idle) != 1 || idle[0] != "com.df.recordLabels.2 has no effect without com.df.recordName.2 and com.df.recordExpr.2" {
		t.Errorf("%+v %q", all, idle)
	}
	all, _ = Records(service("web", "recordName=a:b", `recordExpr=rate(x{job="web"}[30s])`), About{Interval: 20 * time.Second})
	if len(all) != 1 || len(all[0].Warnings) != 1 || !strings.HasPrefix(all[0].Warnings[0], "com.df.recordExpr: the range [30s] never holds two samples") {
		t.Errorf("%+v", all)
	}
}

// TestWhatIsRecorded lets Prometheus' own engine evaluate the rules: an alert of the same
// service sees what was just recorded.
func TestWhatIsRecorded(t *testing.T) {
	svc := service("shop_web", "recordName=shop:up:sum", "recordExpr=sum(up)", "recordLabels=env=prod", "alertName=few", "alertIf=shop:up:sum < 3")
	all, _ := Records(svc, About{})
	alerts, _ := FromService(svc, About{})
	file, err := Render([]Rule{alerts[0].Rule, all[0].Rule})
	if err != nil {
		t.Fatal(err)
	}
	evaluate(t, string(file), []string{`up{job="a"} 1x20`, `up{job="b"} 1x20`}, "shop:up:sum", []map[string]any{{"labels": `shop:up:sum{owner="shop_web", env="prod"}`, "value": 2.0}})
	evaluate(t, string(file), []string{`up{job="a"} 1x20`, `up{job="b"} 1x20`}, `ALERTS{alertstate="firing"}`,
		[]map[string]any{{"labels": `ALERTS{alertname="shop_web_few", alertstate="firing", owner="shop_web", env="prod"}`, "value": 1.0}})
	if text := string(file); strings.Index(text, "record:") > strings.Index(text, "alert:") {
		t.Errorf("alerts are evaluated before what they look at:\n%s", text)
	}
}
