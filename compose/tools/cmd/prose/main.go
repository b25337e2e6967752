// Command prose checks the text and the links of all pages for people, as 'make prose' does.
// It runs at the root of the repository.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/wagglehq/waggle/compose/tools/prose"
)

func main() {
	pages := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/adr/*.md", "*/README.md"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			fail(err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				fail(err)
			}
			pages[name] = string(text)
		}
	}
	exists := func(path string) bool { _, err := os.Stat(path); return err == nil }
	findings := prose.Check(pages, exists)
	for _, f := range findings {
		fmt.Fprintln(os.Stderr, "prose: "+f.String())
	}
	if len(findings) > 0 {
		os.Exit(1)
	}
}

func fail(err error) {
	fmt.Fprintf(os.Stderr, "prose: %v\n", err)
	os.Exit(1)
}
