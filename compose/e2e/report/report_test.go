package report

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestTables(t *testing.T) {
	var out bytes.Buffer
	m := &Tables{Out: &out}
	m.Table("What was measured", "what", "result")
	m.Row("once", 1500*time.Microsecond)
	m.Row("three times", []time.Duration{time.Second, 2 * time.Millisecond, 3 * time.Millisecond})
	m.Result("fast", 0.96, AtLeast(0.95, "%.2f"))
	m.Result("cheap", 1.10, AtMost(1.10, "%.2f"), "3 us")
	if err := m.Missed(); err != nil {
		t.Error(err)
	}
	m.Result("big", 101, AtMost(100, "%.0f MiB"))
	const want = "\nWhat was measured\n\n| what | result |\n| --- | --- |\n| once | 2 ms |\n| three times | 3 ms |\n" +
		"| fast | 0.96 | >= 0.95 | met |\n| cheap | 3 us | 1.10 | <= 1.10 | met |\n| big | 101 MiB | <= 100 MiB | MISSED |\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
	if err := m.Missed(); err == nil || !strings.Contains(err.Error(), "big") {
		t.Errorf("the missed goal is not told: %v", err)
	}
}

func TestMedianOfRatios(t *testing.T) {
	if got := Median(Ratios([]float64{1, 9, 4, 8}, []float64{2, 3, 4, 4})); got != 1 {
		t.Errorf("got %v, want 1, the lower one in the middle of 0.5, 1, 2 and 3", got)
	}
}

func TestMetric(t *testing.T) {
	const text = "# TYPE bees_total counter\nbees_total{a=\"x y\"} 2\nbees_total{a=\"}\"} 3\n# TYPE hive gauge\nhive 7\nbees 1\n"
	for name, want := range map[string]float64{"bees_total": 5, "hive": 7, "bees": 1, "wasps": 0} {
		if got, err := Metric(text, name); err != nil || got != want {
			t.Errorf("%s is %v (%v), want %v", name, got, err, want)
		}
	}
	if _, err := Metric("no metrics", "bees"); err == nil {
		t.Error("what is no page of metrics has a sum")
	}
}
