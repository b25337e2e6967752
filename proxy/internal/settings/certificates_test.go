package settings

import (
	"cmp"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestSettingsOfCertificates(t *testing.T) {
	list := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(list, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what  string
		env   map[string]string
		fault string
	}{
		{what: "a list of one's own", env: map[string]string{"CRT_LIST_PATH": list}},
		{what: "one that is not there", env: map[string]string{"CRT_LIST_PATH": list + "x"}, fault: "crt-list-path"},
		{what: "one with a space", env: map[string]string{"CRT_LIST_PATH": list + " crt"}, fault: "crt-list-path"},
		{what: "a folder with a line of its own", env: map[string]string{"CERTS_DIR": "/certs\nx"}, fault: "certs-dir"},
		{what: "preferred ones", env: map[string]string{"PREFERRED_CERTIFICATE": "a*,b.pem"}},
		{what: "a broken pattern", env: map[string]string{"PREFERRED_CERTIFICATE": "a["}, fault: "preferred-certificate"},
		{what: "a port of HTTP/3", env: map[string]string{"H3_PORT": "8443"}},
		{what: "no port", env: map[string]string{"H3_PORT": "65536"}, fault: "h3-port"},
	} {
		t.Run(c.what, func(t *testing.T) {
			_, s, err := settle(t, c.env, nil)
			if c.fault != "" {
				if err == nil || !strings.HasPrefix(err.Error(), c.fault) {
					t.Errorf("got %v, want a fault of %s", err, c.fault)
				}
				return
			}
			if err != nil || s.CertList != c.env["CRT_LIST_PATH"] || strconv.Itoa(s.TLS.H3Port) != cmp.Or(c.env["H3_PORT"], "0") {
				t.Errorf("got %q, %d, %v", s.CertList, s.TLS.H3Port, err)
			}
		})
	}
}
