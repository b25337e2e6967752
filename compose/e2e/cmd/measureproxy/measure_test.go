package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

func TestParseWrk(t *testing.T) {
	const good = `Running 2s test @ http://127.0.0.1:1/
  1 threads and 50 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.98ms  588.58us  10.46ms   75.35%
  25239 requests in 2.00s, 3.71MB read
ERRORSRequests/sec:  12613.86
Transfer/sec:      1.85MB
`
	for errors, want := range map[string]string{
		"": "{12613.86 25239} <nil>",
		"  Socket errors: connect 0, read 25239, write 0, timeout 0\n": "{12613.86 25239} <nil>",
		"  Socket errors: connect 3, read 0, write 0, timeout 0\n":     "{0 0} wrk: Socket errors: connect 3, read 0, write 0, timeout 0",
		"  Socket errors: connect 0, read 0, write 0, timeout 12\n":    "{0 0} wrk: Socket errors: connect 0, read 0, write 0, timeout 12",
		"  Non-2xx or 3xx responses: 7\n":                              "{0 0} wrk: Non-2xx or 3xx responses: 7",
	} {
		got, err := parseWrk(strings.Replace(good, "ERRORS", errors, 1))
		if text := fmt.Sprint(got, " ", err); strings.Join(strings.Fields(text), " ") != want {
			t.Errorf("%q gives %s, want %s", errors, text, want)
		}
	}
	if _, err := parseWrk("unable to connect"); err == nil {
		t.Error("an answer without numbers is taken")
	}
}

func TestGoals(t *testing.T) {
	var out bytes.Buffer
	m := &tables{out: &out}
	m.result("fast", 0.96, goal{0.95, true, "%.2f"})
	m.result("cheap", 1.10, goal{1.10, false, "%.2f"}, "3 us")
	if err := m.missed(); err != nil {
		t.Error(err)
	}
	m.result("big", 101, goal{100, false, "%.0f MiB"})
	const want = "| fast | 0.96 | >= 0.95 | met |\n| cheap | 3 us | 1.10 | <= 1.10 | met |\n| big | 101 MiB | <= 100 MiB | MISSED |\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
	if err := m.missed(); err == nil || !strings.Contains(err.Error(), "big") {
		t.Errorf("the missed goal is not told: %v", err)
	}
}

func TestMedianOfRatios(t *testing.T) {
	if got := median(ratios([]float64{1, 9, 4, 8}, []float64{2, 3, 4, 4})); got != 1 {
		t.Errorf("got %v, want 1, the lower one in the middle of 0.5, 1, 2 and 3", got)
	}
}

func TestParseStat(t *testing.T) {
	p, err := parseStat("12 (a (b) c) S 7 12 12 0 -1 4194560 1 2 3 4 250 50 6 7 20 0 1 0 9 10 11")
	if err != nil || p.pid != 12 || p.parent != 7 || p.cpu != 3*time.Second {
		t.Errorf("got %+v, %v", p, err)
	}
	if _, err := parseStat("12 (a) S 7"); err == nil {
		t.Error("a line that is cut is taken")
	}
}

func TestParsePss(t *testing.T) {
	if n, err := parsePss("00400000-7ffe [rollup]\nRss:  900 kB\nPss:             123 kB\nPss_Dirty: 1 kB\n"); err != nil || n != 123<<10 {
		t.Errorf("got %d, %v", n, err)
	}
	if _, err := parsePss("Rss: 1 kB\n"); err == nil {
		t.Error("a text without Pss is taken")
	}
}

func TestFamily(t *testing.T) {
	all, err := family(os.Getpid())
	if err != nil || len(all) < 1 || all[0].pid != os.Getpid() || !strings.Contains(all[0].command, os.Args[0]) {
		t.Errorf("got %+v, %v", all, err)
	}
}
