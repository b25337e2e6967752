package load

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Report is what became of a number of requests. Times are milliseconds.
type Report struct {
	Requests int `json:"requests"`
	Failed   int `json:"failed"`
	// Kinds counts the failures by kind.
	Kinds map[Kind]int `json:"kinds,omitempty"`
	// Statuses counts the answers by status.
	Statuses map[string]int `json:"statuses,omitempty"`
	// Examples holds the text of the first failure of each kind.
	Examples map[Kind]string `json:"examples,omitempty"`
	// Failures are when each failed request began and how long it took, in the order
	// in which they ended.
	Failures []Failure `json:"-"`
	// Opened is how many connections were made.
	Opened  int     `json:"opened"`
	Seconds float64 `json:"seconds"`
	// Rate is requests per second as they really were.
	Rate float64 `json:"rate"`
	// The latencies are those of 2xx answers.
	P50 float64 `json:"p50Ms"`
	P90 float64 `json:"p90Ms"`
	P99 float64 `json:"p99Ms"`
	Max float64 `json:"maxMs"`
}

// Failure is a request that failed.
type Failure struct {
	Began time.Time
	Took  time.Duration
	Kind  Kind
}

// String is the report on one line.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d requests in %.1f s (%.0f/s), %d failed", r.Requests, r.Seconds, r.Rate, r.Failed)
	if reasons := r.Reasons(); reasons != "" {
		fmt.Fprintf(&b, " (%s)", reasons)
	}
	fmt.Fprintf(&b, "; latency p50 %.1f ms, p90 %.1f ms, p99 %.1f ms, worst %.1f ms", r.P50, r.P90, r.P99, r.Max)
	return b.String()
}

// Reasons are the failures by kind, empty if there are none.
func (r Report) Reasons() string {
	var parts []string
	for _, k := range Kinds() {
		if n := r.Kinds[k]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, k))
		}
	}
	return strings.Join(parts, ", ")
}

// tally counts outcomes.
type tally struct {
	since    time.Time
	requests int
	opened   int
	kinds    map[Kind]int
	statuses map[string]int
	examples map[Kind]string
	good     []time.Duration
	failures []Failure
}

func newTally(since time.Time) *tally {
	return &tally{since: since, kinds: map[Kind]int{}, statuses: map[string]int{}, examples: map[Kind]string{}}
}

func (t *tally) add(o outcome) {
	t.requests++
	if o.opened {
		t.opened++
	}
	if o.status != 0 {
		t.statuses[strconv.Itoa(o.status)]++
	}
	if o.kind == OK {
		t.good = append(t.good, o.took)
		return
	}
	t.kinds[o.kind]++
	t.failures = append(t.failures, Failure{o.began, o.took, o.kind})
	if _, ok := t.examples[o.kind]; !ok {
		t.examples[o.kind] = o.err.Error()
	}
}

func (t *tally) report(now time.Time) Report {
	r := Report{
		Requests: t.requests,
		Failed:   t.requests - len(t.good),
		Kinds:    t.kinds,
		Statuses: t.statuses,
		Examples: t.examples,
		Failures: t.failures,
		Opened:   t.opened,
		Seconds:  now.Sub(t.since).Seconds(),
	}
	if r.Seconds > 0 {
		r.Rate = float64(r.Requests) / r.Seconds
	}
	slices.Sort(t.good)
	r.P50, r.P90, r.P99, r.Max = percentile(t.good, 50), percentile(t.good, 90), percentile(t.good, 99), percentile(t.good, 100)
	return r
}

// percentile is the nearest rank of sorted durations, in milliseconds.
func percentile(sorted []time.Duration, p int) float64 {
	if len(sorted) == 0 {
		return 0
	}
	i := (len(sorted)*p + 99) / 100
	return float64(sorted[max(i, 1)-1].Microseconds()) / 1000
}
