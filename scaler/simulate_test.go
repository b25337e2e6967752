package scaler

import (
	"encoding/json"
	"strings"
	"testing"
)

const simulated = `{"labels": {"scaleMin": "2", "scaleMax": "12"}, "replicas": 2, "start": "40s", "range": 60, "delay": "10s",
	"up": 0.8, "down": 0.3, "for": "45m", "load": [["0s", 1.2], ["5m", 4.2]]}`

// TestSimulateShowsTheCurve: the same case by flags and by a file, as a picture and as JSON.
func TestSimulateShowsTheCurve(t *testing.T) {
	byFlags, _, err := useTool(t, simulateTool(), nil, "-labels", "scaleMin=2 scaleMax=12", "-replicas", "2", "-start", "40s", "-up", "0.8", "-down", "0.3", "-for", "45m", "-load", "0s=1.2 5m=4.2")
	if err != nil || !strings.Contains(byFlags, "4 changes; least 2, most 6, at the end 6 (bounds 2 to 12)") || !strings.Contains(byFlags, "    6 ┤") {
		t.Errorf("%v, printed\n%s", err, byFlags)
	}
	byFile, _, err := useTool(t, simulateTool(), strings.NewReader(simulated), "-")
	if err != nil || byFile != byFlags {
		t.Errorf("%v, printed\n%s\nand by flags\n%s", err, byFile, byFlags)
	}
	asJSON, _, err := useTool(t, simulateTool(), strings.NewReader(simulated), "-json", "-")
	var out struct {
		Least, Most, End int
		Changes          []struct {
			At       string
			From, To int
			Code     string
		}
	}
	if err != nil || json.Unmarshal([]byte(asJSON), &out) != nil || out.Least != 2 || out.Most != 6 || out.End != 6 || len(out.Changes) != 4 || out.Changes[0].Code != "scaled" {
		t.Errorf("%v, printed %s", err, asJSON)
	}
}

func TestSimulateSaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		in, why string
		args    []string
	}{
		{"", "want up or down", []string{"-labels", "scaleMax=5", "-load", "0s=1"}},
		{"", `"5m": want a time and a load`, []string{"-load", "5m"}},
		{"", `"scaleMax": want a label`, []string{"-labels", "scaleMax"}},
		{`{"loud": 1}`, `-: json: unknown field "loud"`, []string{"-"}},
		{`{"load": [["0s"]]}`, "-: load 1: want a time and a total", []string{"-"}},
		{`{"start": "soon"}`, "-: time: invalid duration", []string{"-"}},
		{`{}`, "want one file, or none", []string{"-", "-"}},
		{`{"labels": {"scaleMax": "many"}, "up": 1, "load": [["0s", 1]]}`, "com.df.scaleMax", []string{"-"}},
	} {
		if out, _, err := useTool(t, simulateTool(), strings.NewReader(c.in), c.args...); err == nil || !strings.Contains(err.Error(), c.why) || out != "" {
			t.Errorf("%q %q: error %v, want %s; printed %q", c.args, c.in, err, c.why, out)
		}
	}
}
