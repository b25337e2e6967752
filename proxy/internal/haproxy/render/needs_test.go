package render

import (
	"strings"
	"testing"
)

// TestIDsOfRequests cost what a dozen rules cost, so they are there where somebody may ask
// for them.
func TestIDsOfRequests(t *testing.T) {
	const web = "web servicePath=/\nweb port=80\n"
	for _, c := range []struct {
		name   string
		labels string
		change func(*Settings)
		want   bool
	}{
		{"nobody asks", web, func(*Settings) {}, false},
		{"a format without them", web, func(s *Settings) { s.LogFormat = "%ci %ST" }, false},
		{"a header of requests", web + "web addReqHeader=X-Id %[unique-id]\n", func(*Settings) {}, true},
		{"a header of answers", web + "web setResHeader=X-Id a-%[unique-id]\n", func(*Settings) {}, true},
		{"another header", web + "web setResHeader=X-Id unique-id\n", func(*Settings) {}, false},
		{"a format", web, func(s *Settings) { s.LogFormat = "%ci %{+Q}ID" }, true},
		{"a format by the long name", web, func(s *Settings) { s.LogFormat = "%[unique-id]" }, true},
		{"lines of the operator's", web, func(s *Settings) { s.ExtraFrontend = []string{"http-request set-header X-EF 1"} }, true},
		{"global lines of the operator's", web, func(s *Settings) { s.ExtraGlobal = []string{"tune.http.maxhdr 120"} }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := settings("/x")
			c.change(&s)
			f, rejected := render(t, s, c.labels)
			if len(rejected) > 0 {
				t.Fatal(rejected)
			}
			if got := strings.Contains(f.Text(), "  unique-id-format %[uuid]\n"); got != c.want {
				t.Errorf("requests have one: %t, want %t", got, c.want)
			}
		})
	}
}

// TestRulesOfTheOperatorMeetAllRequests: nothing before them ends the rules.
func TestRulesOfTheOperatorMeetAllRequests(t *testing.T) {
	s := settings("/x")
	for _, c := range []struct {
		extra []string
		want  int
	}{{nil, 2}, {[]string{"http-request set-header X-EF 1"}, 0}} {
		s.ExtraFrontend = c.extra
		f, _ := render(t, s, "web servicePath=/\nweb port=80\n")
		if got := strings.Count(f.Text(), "  http-request allow if "); got != c.want {
			t.Errorf("with %q the rules end %d times, want %d", c.extra, got, c.want)
		}
	}
}

// TestNobodyProvesANameWithoutAnAuthority: a service that asks for client certificates refuses
// everybody while the operator has given no authority, and that is told.
func TestNobodyProvesANameWithoutAnAuthority(t *testing.T) {
	const web = "web servicePath=/\nweb port=80\n"
	for _, c := range []struct {
		name, labels, ca string
		want             string
	}{
		{"no authority", web + "web verifyClientSsl=true\n", "", "web-be80_0: com.df.verifyClientSsl: the proxy has no CA_FILE, so every request is answered 403"},
		{"one", web + "web verifyClientSsl=true\n", "/ca.pem", ""},
		{"nobody asks", web, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := settings("/x")
			s.TLS.CAFile = c.ca
			f, rejected := render(t, s, c.labels)
			if got := strings.Join(f.Faults, "; "); len(rejected) > 0 || got != c.want {
				t.Errorf("faults %q (%v), want %q", got, rejected, c.want)
			}
		})
	}
}
