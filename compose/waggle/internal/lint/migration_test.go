package lint_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/compose/waggle/internal/lint"
	"github.com/wagglehq/waggle/compose/waggle/internal/stack"
)

// Public stacks of Docker Flow's users move as docs/migrating.md says: proxy and monitor join
// the networks of old, and no label of a service changes. Labels that nobody reads any longer
// are told and harm nothing.
func TestPublicStacksMove(t *testing.T) {
	files, err := filepath.Glob("testdata/migration/*.yml")
	if err != nil || len(files) < 13 {
		t.Fatalf("there are %d stacks: %v", len(files), err)
	}
	told := map[string]string{
		"ci-behind-tls.yml jenkins":        "com.df.xForwardedProto is not known",
		"ci-behind-tls.yml nexus":          "com.df.xForwardedProto is not known",
		"letsencrypt-companion.yml whoami": "comes first with some of its requests, by /.well-known/acme-challenge|com.df.letsencrypt.host asks for a certificate, and the proxy obtains none",
	}
	moved := lint.Settings{"proxy": {"networks": "waggle,proxy,monitor"}, "monitor": {"network": "waggle,proxy,monitor"}}
	for _, file := range files {
		services, err := stack.Read("old", nil, file)
		if err != nil {
			t.Fatal(err)
		}
		if len(services) == 0 {
			t.Errorf("%s has no services", file)
		}
		findings, err := lint.Files(services, lint.Live{}, moved, time.Unix(1, 0))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range findings {
			want, ok := told[filepath.Base(file)+" "+f.Service]
			if f.Level == lint.Error || !ok || !slices.ContainsFunc(strings.Split(want, "|"), func(one string) bool { return strings.Contains(f.Text, one) }) {
				t.Errorf("%s: %s: %s: %s (%s)", filepath.Base(file), f.Service, f.Level, f.Text, f.Fix)
			}
		}
		if text, err := os.ReadFile(file); err != nil || !strings.HasPrefix(string(text), "# Services and labels of ") {
			t.Errorf("%s does not say where it is from: %v", file, err)
		}
		// Without the networks of old each of them is told what is missing.
		findings, err = lint.Files(services, lint.Live{}, nil, time.Unix(1, 0))
		if err != nil || !containsText(findings, "waggle") {
			t.Errorf("%s: without the settings: %v, %v", filepath.Base(file), findings, err)
		}
	}
}

func containsText(findings []lint.Finding, text string) bool {
	for _, f := range findings {
		if f.Level == lint.Error && strings.Contains(f.Text, text) {
			return true
		}
	}
	return false
}
