package proxy

import (
	"slices"
	"strings"
	"testing"
)

// TestWhoIsToRunAsWhom: two users or none, and only root becomes others.
func TestWhoIsToRunAsWhom(t *testing.T) {
	for _, c := range []struct {
		name, haproxy, controller string
		euid                      int
		err                       string
	}{
		{"nobody is named", "", "", 99, ""},
		{"as in the stack file", "98:99", "99:99", 0, ""},
		{"one alone", "98:99", "", 0, "both or neither"},
		{"the other alone", "", "99:99", 0, "both or neither"},
		{"not root", "98:99", "99:99", 99, "the user 99"},
		{"a name", "haproxy", "99:99", 0, `haproxy-user: "haproxy"`},
		{"root", "98:99", "0:0", 0, `controller-user: "0:0"`},
	} {
		h, k, err := users(Config{HAProxyUser: c.haproxy, ControllerUser: c.controller}, c.euid)
		switch {
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.err)
		case c.err == "" && (err != nil || (h == nil) != (c.haproxy == "") || (k == nil) != (c.controller == "")):
			t.Errorf("%s: %v and %v, error %v", c.name, h, k, err)
		}
	}
}

// TestHAProxyIsNotToldSecretsByVariables, which it could be read from.
func TestHAProxyIsNotToldSecretsByVariables(t *testing.T) {
	got := withoutSecrets([]string{
		"PATH=/bin", "TOKEN=a secret", "TOKEN_OTHER=b=c", "NATS_KEY=a secret", "SEAL_KEY=a secret", "USERS=me:secret", "STATS_PASS=a secret",
		"TOKEN_FILE=/run/secrets/token", "MAXCONN=1", "MINE=for EXTRA_GLOBAL",
	})
	want := []string{"PATH=/bin", "TOKEN_FILE=/run/secrets/token", "MAXCONN=1", "MINE=for EXTRA_GLOBAL"}
	if !slices.Equal(got, want) {
		t.Errorf("HAProxy's variables are %q, want %q", got, want)
	}
}
