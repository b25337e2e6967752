package alert

import (
	"strings"
	"testing"
	"time"
)

// TestWhatTheProxiesCannotTell is told by name, with what would be right.
func TestWhatTheProxiesCannotTell(t *testing.T) {
	for condition, want := range map[string]string{
		"@request_rate:10s,100":  "@request_rate with a range of at least 20s instead of \"10s\", because the proxies are scraped every 10s",
		"@request_rate:1m":       "@request_rate with 2 values: a range such as 5m, a number",
		"@latency:95,5m,0.3":     "@latency with a quantile above 0 and below 1, such as 0.95 instead of \"95\"",
		"@latency:0.95,5m,10":    "@latency with a number of seconds above 0 and below 10",
		"@latency:0.95,5m,300ms": "@latency with a number of seconds above 0 and below 10",
		"@latency:NaN,5m,1":      "@latency with a quantile",
	} {
		alerts, _ := FromService(service("web", "alertName=a", "alertIf="+condition), About{Proxies: Proxies{Job: "waggle_proxy", Interval: 10 * time.Second}})
		if err := alerts[0].Err; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", condition, err, want)
		}
	}
	alerts, _ := FromService(service("web", "alertName=a", "alertIf=@concurrency:5"), About{})
	if err := alerts[0].Err; err == nil || !strings.Contains(err.Error(), "own-stack") {
		t.Errorf("where proxies are not scraped: %v", err)
	}
}
