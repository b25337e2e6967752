package trials

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/wagglehq/waggle/compose/e2e/parts"
	"github.com/wagglehq/waggle/compose/e2e/parts/partstest"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

func TestNames(t *testing.T) {
	partstest.Names(t, Names(), func(c parts.Config) error { return Run(t.Context(), c, "") })
}

// A command that the page does not have, word by word, is a fault; a file is what stands there.
func TestANewcomerReadsPages(t *testing.T) {
	var out bytes.Buffer
	n := &newcomer{out: &out, pages: t.TempDir(), clone: t.TempDir()}
	page := "Text.\n\n```yaml\n# pin.yml\nversion: \"3.9\"\n```\n\n```sh\ncompose/deploy -c pin.yml\n```\n"
	tooltest.Must(t, os.WriteFile(filepath.Join(n.pages, "page.md"), []byte(page), 0o600))
	tooltest.Must(t, n.told("page.md", "compose/deploy -c pin.yml"))
	if len(n.faults) > 0 {
		t.Errorf("what is there: %v", n.faults)
	}
	tooltest.Must(t, n.told("page.md", "compose/deploy"))
	if !slices.Equal(n.faults, []string{"page.md does not tell: compose/deploy"}) {
		t.Errorf("what is not there: %v", n.faults)
	}
	tooltest.Must(t, n.writes("page.md", "pin.yml"))
	if got, err := os.ReadFile(filepath.Join(n.clone, "pin.yml")); err != nil || string(got) != "# pin.yml\nversion: \"3.9\"\n" {
		t.Errorf("the file is %q (%v)", got, err)
	}
	if err := n.writes("page.md", "edge.yml"); err == nil {
		t.Error("a file that is not there was written")
	}
}
