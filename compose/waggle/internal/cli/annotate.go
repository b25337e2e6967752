package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/wagglehq/waggle/compose/waggle/internal/lint"
	"github.com/wagglehq/waggle/compose/waggle/internal/plain"
)

// sentence is what a finding says on one line.
func sentence(f lint.Finding) string {
	text := f.Text
	if f.Label != "" && !strings.Contains(text, f.Label) {
		text = f.Label + ": " + text
	}
	if f.Service != "" {
		text = f.Service + ": " + text
	}
	if f.Fix != "" {
		text += " (" + f.Fix + ")"
	}
	return plain.Line(text)
}

// github writes findings as commands of a workflow, which GitHub shows beside the line:
// https://docs.github.com/actions/reference/workflow-commands-for-github-actions
func (f findings) github(r *run) error {
	value := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
	for _, one := range f.Findings {
		where := "file=" + property.Replace(one.File)
		if one.Line > 0 {
			where += fmt.Sprintf(",line=%d", one.Line)
		}
		if _, err := fmt.Fprintf(r.Out, "::%s %s,title=waggle lint::%s\n", one.Level, where, value.Replace(sentence(one))); err != nil {
			return err
		}
	}
	return nil
}

// issue is a finding as GitLab's report of code quality has it:
// https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format
type issue struct {
	Description string   `json:"description"`
	Check       string   `json:"check_name"`
	Fingerprint string   `json:"fingerprint"`
	Severity    string   `json:"severity"`
	Location    location `json:"location"`
}

type location struct {
	Path  string `json:"path"`
	Lines struct {
		Begin int `json:"begin"`
	} `json:"lines"`
}

func (f findings) gitlab(r *run) error {
	out := []issue{}
	for _, one := range f.Findings {
		// The line is no part of it: what stands elsewhere now is no new fault.
		mark := sha256.Sum256([]byte(strings.Join([]string{one.File, one.Service, one.Label, one.Text}, "\x00")))
		i := issue{Description: sentence(one), Check: "waggle-lint", Fingerprint: hex.EncodeToString(mark[:]), Severity: "major"}
		if one.Level == lint.Warning {
			i.Severity = "minor"
		}
		i.Location.Path, i.Location.Lines.Begin = one.File, max(1, one.Line)
		out = append(out, i)
	}
	return r.json(out)
}
