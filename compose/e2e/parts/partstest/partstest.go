// Package partstest has what every list of parts is tested for.
package partstest

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/compose/e2e/parts"
)

// Names fails if a part that is not there is not named before anything is done, also beside a
// known one, or if one of all is there twice, or none is.
func Names(t *testing.T, all []string, run func(parts.Config) error) {
	t.Helper()
	slices.Sort(all)
	if len(slices.Compact(slices.Clone(all))) != len(all) || len(all) == 0 {
		t.Fatal(all)
	}
	var out bytes.Buffer
	err := run(parts.Config{Only: []string{all[0], "earthquake"}, Out: &out, Log: &out})
	if err == nil || !strings.Contains(err.Error(), "earthquake") || out.Len() > 0 {
		t.Errorf("it says %v, and did %q", err, out.String())
	}
}
