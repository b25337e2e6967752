package alert

import (
	"testing"
	"time"
)

// TestHowLongAnAlertSpeaksOfTheTimeBefore: rules are evaluated every 10 s, the proxies and
// others are scraped every 20 s, the service itself every 5 s.
func TestHowLongAnAlertSpeaksOfTheTimeBefore(t *testing.T) {
	every := About{Interval: 5 * time.Second, Every: 20 * time.Second, Evaluation: 10 * time.Second, Proxies: Proxies{Job: "waggle_proxy", Interval: 20 * time.Second}}
	const up = "alertLabels=scale=up"
	for _, c := range []struct {
		name, condition, more, want string
	}{
		{"a shortcut with a range", "@request_rate:1m,100", "", "1m30s"},
		{"on what the service tells itself", "@resp_time_above:0.1,5m,0.99", "", "5m15s"},
		{"a shortcut that looks at the present", "@concurrency:50", "", "30s"},
		{"the longest of several", "@request_rate:1m,4_or_@resp_time_above:0.1,5m,0.99", up, "5m15s"},
		{"the present of several", "@concurrency:4_or_@service_mem_limit:0.9", up, "30s"},
		{"one that does not scale", "@error_ratio:1m,0.1", "", ""},
		{"one that is made to", "@error_ratio:1m,0.1", up, "1m30s"},
		{"PromQL with a range", "sum(rate(x[2m])) > 1", up, "2m30s"},
		{"of the service's own", `sum(rate(x{job="shop_web"}[2m])) > 1`, up, "2m15s"},
		{"with a range that lies back", "sum(rate(x[2m] offset 1m)) > 1", up, "3m30s"},
		{"with a range of ranges", "max_over_time(sum(rate(x[2m]))[10m:30s] offset 5m) > 1", up, "17m30s"},
		{"PromQL at the present may stand on anything", "x > 1", up, ""},
		{"PromQL without series", "hour() > 7", up, ""},
		{"longer than the scaler waits", "rate(x[2d]) > 1", up, "24h"},
		{"somebody says it", "@request_rate:1m,100", "alertAnnotations=settle=7s", "7s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			alerts, _ := FromService(service("shop_web", "alertName=x", "alertIf="+c.condition, c.more), every)
			if len(alerts) != 1 || alerts[0].Err != nil {
				t.Fatal(alerts)
			}
			if got := alerts[0].Rule.Annotations[settleAnnotation]; got != c.want {
				t.Errorf("settle %q, want %q", got, c.want)
			}
		})
	}
	// While it is not known how often is looked, nothing is said.
	alerts, _ := FromService(service("shop_web", "alertName=x", "alertIf=sum(rate(x[2m])) > 1", up), About{})
	if got, ok := alerts[0].Rule.Annotations[settleAnnotation]; ok {
		t.Error(got)
	}
}
