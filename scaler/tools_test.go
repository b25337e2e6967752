package scaler

import (
	"flag"
	"testing"
)

// TestToolsSayWhatTheyAreFor, have names of their own, and the settings that they name.
func TestToolsSayWhatTheyAreFor(t *testing.T) {
	names := map[string]bool{}
	for _, tool := range Tools() {
		fs := flag.NewFlagSet(tool.Name, flag.ContinueOnError)
		run := tool.Declare(fs)
		if names[tool.Name] || tool.Does == "" || run == nil {
			t.Errorf("%s: twice, or without a purpose", tool.Name)
		}
		names[tool.Name] = true
		for _, name := range tool.Settings {
			if fs.Lookup(name) == nil {
				t.Errorf("%s: no flag is called %s", tool.Name, name)
			}
		}
	}
}
