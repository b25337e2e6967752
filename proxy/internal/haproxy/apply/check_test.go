package apply_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/apply"
)

// TestOlder: what HAProxy says of its version is understood.
func TestOlder(t *testing.T) {
	real := tooltest.Path(t, "haproxy")
	if older, err := apply.Older(t.Context(), real, 3, 4); older || err != nil {
		t.Errorf("the HAProxy of the tests is older than 3.4: %t, %v", older, err)
	}
	if older, err := apply.Older(t.Context(), real, 99, 0); !older || err != nil {
		t.Errorf("it is older than 99.0: %t, %v", older, err)
	}
	for says, want := range map[string]string{
		"HAProxy version 3.0.11-1+deb13u5 2026/05/13 - https://haproxy.org/": "true <nil>",
		"HAProxy version 2.6.12-1+deb12u4 2026/05/13 - https://haproxy.org/": "true <nil>",
		"HAProxy version 3.4-dev7-2f3f2a1 2026/03/02 - https://haproxy.org/": "false <nil>",
		"HAProxy version 4.0.0 2027/06/01 - https://haproxy.org/":            "false <nil>",
		"something else": "want HAProxy version and a number",
	} {
		script := filepath.Join(t.TempDir(), "haproxy")
		tooltest.Must(t, os.WriteFile(script, []byte("#!/bin/sh\necho '"+says+"'\n"), 0o700)) //nolint:gosec // it is to be run.
		older, err := apply.Older(t.Context(), script, 3, 4)
		if got := fmt.Sprint(older, " ", err); !strings.Contains(got, want) {
			t.Errorf("%q: older than 3.4: %s, want %s", says, got, want)
		}
	}
	if _, err := apply.Older(t.Context(), "/no/haproxy", 3, 4); err == nil {
		t.Error("a program that is not there has a version")
	}
}
