package render

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// measuredText is the configuration of no services with such settings.
func measuredText(t *testing.T, s Settings) string {
	t.Helper()
	r, err := NewRenderer(s)
	if err != nil {
		t.Fatal(err)
	}
	f, err := r.Render(nil, route.Tables{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return f.Text()
}

// TestWhatIsMeasured: lines of measured requests go to the socket alone, and how many there
// are is bounded by chance.
func TestWhatIsMeasured(t *testing.T) {
	s := settings("/etc/waggle")
	s.MeasuredSocket = filepath.Join(s.Dir, "measured.sock")
	text := measuredText(t, s)
	for _, line := range []string{
		"  log stdout format raw local0 info\n", "  no log\n  log stdout format raw profile waggle_said local0 info\n",
		"log-profile waggle_said\n  on http-after-res drop\n",
		"log-profile waggle_measured\n  on http-after-res format '%[var(txn.measured)] %b %s %Tw %Tc %Tr %ST'\n  on any drop\n",
		"  log unix@/etc/waggle/measured.sock format raw profile waggle_measured local0 info\n",
		"  http-after-response allow if !{ fe_req_rate lt 12800 } !{ rand(1024) eq 0 }\n" +
			"  http-after-response set-var(txn.measured) int(1) if { fe_req_rate lt 100 }\n" +
			"  http-after-response set-var(txn.measured) int(16) if { rand(16) eq 0 } { fe_req_rate lt 1600 } !{ fe_req_rate lt 100 }\n" +
			"  http-after-response set-var(txn.measured) int(128) if { rand(128) eq 0 } { fe_req_rate lt 12800 } !{ fe_req_rate lt 1600 }\n" +
			"  http-after-response set-var(txn.measured) int(1024) if !{ fe_req_rate lt 12800 }\n" +
			"  http-after-response do-log if { var(txn.measured) -m found }\n",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("want %q in\n%s", line, text)
		}
	}
	s.ExtraFrontend = []string{"log 10.0.0.9:514 len 4096 format rfc5424 local1 notice", "log stderr local2", "log global", "http-request set-header X-A log"}
	text = measuredText(t, s)
	for _, line := range []string{
		"  log 10.0.0.9:514 len 4096 format rfc5424 profile waggle_said local1 notice\n", "  log stderr profile waggle_said local2\n", "  log global\n", "  http-request set-header X-A log\n",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("want %q in\n%s", line, text)
		}
	}
	s.Older = true
	older := measuredText(t, s)
	s.MeasuredSocket = ""
	if without := measuredText(t, s); older != without {
		t.Errorf("with a HAProxy before 3.4:\n%s\nwant what is there without a socket:\n%s", older, without)
	}
}

// TestOutputsOfTheOperator: HAProxy takes them as they are written.
func TestOutputsOfTheOperator(t *testing.T) {
	s := settings(t.TempDir())
	s.MeasuredSocket = filepath.Join(s.Dir, "measured.sock")
	s.ExtraFrontend = []string{"log 127.0.0.1:514 len 4096 format rfc5424 sample 1:2 local1 notice", "log stderr local2"}
	r, err := NewRenderer(s)
	if err != nil {
		t.Fatal(err)
	}
	f, err := r.Render(nil, route.Tables{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := check(t, s, f); err != nil {
		t.Error(err)
	}
}
