package runtime

import (
	"errors"
	"strings"
	"testing"
)

func TestCertificateCommandsAreOneCommand(t *testing.T) {
	const pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
	for what, c := range map[string]Command{
		"a path with a line":        NewCert("/certs/a\nshutdown"),
		"a path with a space":       CommitCert("/certs/a b"),
		"a command behind the path": DelCert("/certs/a;shutdown"),
		"a number for a path":       DelListed("/list", "#1"),
		"no path":                   AbortCert(""),
		"a payload":                 SetCert("/certs/a <<x", pem),
		"no PEM":                    SetCert("/certs/a", "\n"),
		"control characters":        SetCert("/certs/a", "a\x00b"),
		"a host with options":       AddListed("/list", "/certs/a", "[alpn h2]"),
		"a host that refuses all":   AddListed("/list", "/certs/a", "!b.com*"),
		"a host with a line":        AddListed("/list", "/certs/a", "b.com\n/certs/c"),
	} {
		if !errors.Is(c.err, ErrArgument) {
			t.Errorf("%s: got %v", what, c.err)
		}
	}
	for _, c := range []Command{SetCert("/certs/=default", pem), AddListed("/list", "/certs/a", "*.a.com", "a.com"), AddListed("/list", "/certs/a", "!*")} {
		var out strings.Builder
		if c.write(&out); c.err != nil || strings.Contains(c.String(), "AAAA") {
			t.Errorf("%s: %v", c, c.err)
		}
	}
}
