package prometheus

import "testing"

// TestLastErrorShowsNothingOfAnAnswer: the first texts are Prometheus' own.
func TestLastErrorShowsNothingOfAnAnswer(t *testing.T) {
	for _, c := range []struct{ said, shown string }{
		{"", ""},
		{"context deadline exceeded", "context deadline exceeded"},
		{`Get "http://10.0.0.3:8080/metrics": dial tcp 10.0.0.3:8080: connect: connection refused`, `Get "http://10.0.0.3:8080/metrics": dial tcp 10.0.0.3:8080: connect: connection refused`},
		{"server returned HTTP status 302 see the secret", "server returned HTTP status 302"},
		{`expected value after metric, got "{" ("LBRACE") while parsing: "{\"token\": \"secret"`, `expected value after metric, got "..." ("...") while parsing: "..."`},
		{`received unsupported Content-Type "text/secret" and no fallback_scrape_protocol specified for target`, `received unsupported Content-Type "..." and no fallback_scrape_protocol specified for target`},
		{`"INVALID" is cut off: "secr`, `"..." is cut off: "..."`},
	} {
		if got := withoutAnswer(c.said); got != c.shown {
			t.Errorf("%s\n is shown as %s\n want        %s", c.said, got, c.shown)
		}
	}
}
