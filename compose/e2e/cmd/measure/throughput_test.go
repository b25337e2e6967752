package main

import (
	"fmt"
	"strings"
	"testing"
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
