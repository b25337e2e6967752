package edge

import (
	"fmt"
	"strings"
	"testing"
)

func TestBinds(t *testing.T) {
	for text, want := range map[string]string{
		"80,443:ssl": "80 443t",
		"":           "",
		" 8085:ssl accept-proxy , 80 accept-proxy,80 accept-proxy": "80p 8085tp",
		"80,80:ssl":              "error",
		"0":                      "error",
		"65536":                  "error",
		"80 ssl":                 "error",
		"80 accept-proxy crt /x": "error",
		"http":                   "error",
		"80:tls":                 "error",
		"80\n bind :81":          "error",
	} {
		binds, err := ParseBinds(text)
		var got []string
		for _, b := range binds {
			word := fmt.Sprint(b.Port)
			if b.TLS {
				word += "t"
			}
			if b.AcceptProxy {
				word += "p"
			}
			got = append(got, word)
		}
		if err != nil {
			got = []string{"error"}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q gives %q (%v), want %q", text, got, err, want)
		}
	}
}

func TestTLSOptions(t *testing.T) {
	for _, c := range []struct{ floor, options, want string }{
		{"TLSv1.2", "", "TLSv1.2 to newest []"},
		{"TLSv1.2", "no-sslv3", "TLSv1.2 to newest []"},
		{"TLSv1.2", "no-sslv3 no-tlsv10 no-tlsv11 no-tls-tickets", "TLSv1.2 to newest [no-tls-tickets]"},
		{"TLSv1.2", "no-tlsv12", "TLSv1.3 to newest []"},
		{"TLSv1.2", "no-tlsv13,prefer-client-ciphers", "TLSv1.2 to TLSv1.2 [prefer-client-ciphers]"},
		{"TLSv1.2", "ssl-min-ver TLSv1.0 ssl-max-ver TLSv1.1", "TLSv1.0 to TLSv1.1 []"},
		{"TLSv1.2", "force-tlsv13", "TLSv1.3 to newest []"},
		{"TLSv1.2", "no-tlsv12 no-tlsv13", "error"},
		{"TLSv1.2", "ssl-min-ver", "error"},
		{"TLSv1.2", "ssl-min-ver\nbind", "error"},
		{"SSLv3", "", "error"},
		{"TLSv1.2", "verify none", "error"},
	} {
		tls, err := ParseTLS(c.floor, c.options, DefaultCiphers, DefaultCiphersuites)
		top := tls.MaxVer
		if top == "" {
			top = "newest"
		}
		got := fmt.Sprintf("%s to %s %v", tls.MinVer, top, tls.Options)
		if err != nil {
			got = "error"
		}
		if got != c.want {
			t.Errorf("%s, %q: got %s (%v), want %s", c.floor, c.options, got, err, c.want)
		}
	}
	if _, err := ParseTLS("TLSv1.2", "", "AES128 # x", ""); err == nil {
		t.Error("ciphers that are not one word are accepted")
	}
}

func TestCaptures(t *testing.T) {
	for text, want := range map[string]string{
		"": "[]", "User-Agent:64,X-Id:10": "[{User-Agent 64} {X-Id 10}]",
		"User-Agent": "error", "User-Agent:0": "error", "A b:1": "error", "A:1:2": "error", "A):1": "error",
	} {
		captures, err := ParseCaptures(text)
		got := fmt.Sprint(captures)
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%q gives %s (%v), want %s", text, got, err, want)
		}
	}
}
