package settings

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/render"
	"github.com/wagglehq/waggle/proxy/internal/settings/edge"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
	"github.com/wagglehq/waggle/proxy/judge"
)

// settle reads settings as the program does: variables by their names, secrets as
// files. It returns what HAProxy's part of them is.
func settle(t *testing.T, env, secrets map[string]string) (Config, render.Settings, error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range secrets {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var c Config
	fs := flag.NewFlagSet("proxy", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	c.Flags(fs)
	lookup := func(name string) (string, bool) {
		if name == "SECRETS_DIR" {
			return dir, true
		}
		text, ok := env[name]
		return text, ok
	}
	if err := app.Parse(fs, nil, lookup, app.SecretFiles("secrets-dir", "dfp_")); err != nil {
		return c, render.Settings{}, err
	}
	for name, text := range env {
		c.Environ = append(c.Environ, name+"="+text)
	}
	s, err := c.HAProxySettings()
	return c, s, err
}

// rules are what labels are judged by, as every reader of the published settings has it.
func rules(c Config) labels.Options {
	r, err := judge.ParseRules(c.Published(":8080"))
	if err != nil {
		panic(err)
	}
	return r.Options
}

func TestDefaultsAreThoseOfDockerFlowProxyButForConnecting(t *testing.T) {
	c, s, err := settle(t, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := render.Settings{
		Dir: "/var/lib/waggle/haproxy", StatsSocket: "/run/waggle/haproxy.sock", SecretsDir: c.Edge.SecretsDir, Separator: ",",
		MeasuredSocket: "/run/waggle/measured.sock", WakeSocket: "/run/waggle/wake.sock",
		Binds: []edge.Bind{{Port: 80}, {Port: 443, TLS: true}},
		TLS:   edge.TLS{H2: true, MinVer: "TLSv1.2", Ciphers: edge.DefaultCiphers, Ciphersuites: edge.DefaultCiphersuites},
		// The port is not public; the original has the page there without any.
		Statistics: render.Statistics{Address: "127.0.0.1", Port: 8404, URI: "/"}, ConnectionMode: "http-keep-alive", Timeouts: render.Timeouts{
			// The original waits for 5 s, in which a dead node costs a client too much.
			Connect: 1200 * time.Millisecond, Client: 20 * time.Second, Server: 20 * time.Second, Queue: 30 * time.Second,
			Tunnel: 3600 * time.Second, HTTPRequest: 5 * time.Second, HTTPKeepAlive: 15 * time.Second,
		},
	}
	s.Compression.Types = nil
	if !reflect.DeepEqual(s, want) {
		t.Errorf("got  %+v\nwant %+v", s, want)
	}
}

func TestSettingsOfDockerFlowProxy(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good, bad := filepath.Dir(file("good/503.http", "HTTP/1.0 503 X\r\n\r\nbusy")), filepath.Dir(file("bad/503.http", "busy"))
	file("good/999.http", "never looked at")
	ca := file("ca", "x")
	for _, c := range []struct {
		name         string
		env, secrets map[string]string
		// told picks what is compared with want; complaint is part of the error.
		told            func(Config, render.Settings) any
		want, complaint string
	}{
		{name: "ports", env: map[string]string{"DEFAULT_PORTS": "80 accept-proxy,443:ssl", "BIND_PORTS": "8085"},
			told: func(_ Config, s render.Settings) any { return s.Binds }, want: "[{80 false true} {443 true false} {8085 false false}]"},
		{name: "ports as a secret", secrets: map[string]string{"dfp_bind_ports": "8085"}, env: map[string]string{"BIND_PORTS": "9"},
			told: func(_ Config, s render.Settings) any { return s.Binds[2] }, want: "{8085 false false}"},
		{name: "a port that is none", env: map[string]string{"BIND_PORTS": "x"}, complaint: `bind-ports: "x"`},
		{name: "one port twice", env: map[string]string{"BIND_PORTS": "80:ssl"}, complaint: "port 80 is there twice"},
		{name: "statistics everywhere", env: map[string]string{"STATS_ADDRESS": "0.0.0.0"},
			told: func(_ Config, s render.Settings) any { return s.Statistics }, want: "{0.0.0.0 8404 /  }"},
		{name: "statistics nowhere", env: map[string]string{"STATS_ADDRESS": "waggle"}, complaint: `stats-address: "waggle": want control`},
		{name: "statistics in public", env: map[string]string{"STATS_PORT": "80"}, complaint: "stats-port: 80"},
		{name: "statistics with a password", env: map[string]string{"STATS_USER": "adm", "STATS_URI": "/st"}, secrets: map[string]string{"dfp_stats_pass": "pw"},
			told: func(_ Config, s render.Settings) any { return s.Statistics }, want: "{127.0.0.1 8404 /st adm pw}"},
		{name: "none is nobody", env: map[string]string{"STATS_USER": "none", "STATS_PASS": "none"},
			told: func(_ Config, s render.Settings) any { return s.Statistics }, want: "{127.0.0.1 8404 /  }"},
		{name: "half a password", env: map[string]string{"STATS_USER": "adm"}, complaint: "stats-user and stats-pass: want both"},
		{name: "a name with a colon", env: map[string]string{"STATS_USER": "a:b", "STATS_PASS": "geheim"}, complaint: "without a colon"},
		{name: "variables of other names", env: map[string]string{"STATS_USER_ENV": "MY_USER", "STATS_PASS_ENV": "MY_PASS", "MY_USER": "adm"},
			secrets: map[string]string{"dfp_my_pass": "pw"}, told: func(_ Config, s render.Settings) any { return s.Statistics }, want: "{127.0.0.1 8404 / adm pw}"},
		{name: "a variable that is not there", env: map[string]string{"STATS_USER_ENV": "MY_USER"}, complaint: "stats-user-env: there is neither a variable MY_USER nor a secret dfp_my_user"},
		{name: "versions of TLS", env: map[string]string{"SSL_BIND_OPTIONS": "no-tlsv12", "ENABLE_H2": "false", "CA_FILE": ca},
			told: func(_ Config, s render.Settings) any { return []any{s.TLS.MinVer, s.TLS.H2, s.TLS.CAFile == ca} }, want: "[TLSv1.3 false true]"},
		{name: "an option of TLS that is none", env: map[string]string{"SSL_BIND_OPTIONS": "crt /etc/x"}, complaint: `ssl-bind-options: "crt"`},
		{name: "revoked certificates", env: map[string]string{"CA_FILE": ca, "CA_CRL_FILE": ca},
			told: func(_ Config, s render.Settings) any { return s.TLS.CRLFile == ca }, want: "true"},
		{name: "revoked by nobody", env: map[string]string{"CA_CRL_FILE": ca}, complaint: "ca-crl-file: want a ca-file"},
		{name: "lists that are not there", env: map[string]string{"CA_FILE": ca, "CA_CRL_FILE": ca + "x"}, complaint: "ca-crl-file"},
		{name: "authorities that are not there", env: map[string]string{"CA_FILE": ca + "x"}, complaint: "ca-file"},
		{name: "a path of two lines", env: map[string]string{"CA_FILE": ca + "\nbind :81"}, complaint: "ca-file"},
		{name: "the older word for the log of all requests", env: map[string]string{"DEBUG": "true"},
			told: func(_ Config, s render.Settings) any { return s.AccessLog }, want: "true"},
		{name: "connections of other clients", env: map[string]string{"HTTP_REUSE": "always"},
			told: func(_ Config, s render.Settings) any { return s.HTTPReuse }, want: "always"},
		{name: "what is no way to use connections again", env: map[string]string{"HTTP_REUSE": "often"}, complaint: `http-reuse: "often": want never, safe, aggressive or always`},
		{name: "errors only", env: map[string]string{"DEBUG": "true", "DEBUG_ERRORS_ONLY": "true"},
			told: func(_ Config, s render.Settings) any { return s.AccessLog }, want: "false"},
		{name: "a format", env: map[string]string{"DEBUG_HTTP_FORMAT": `{"a": "%ci"}`, "CAPTURE_REQUEST_HEADER": "A:1"},
			told: func(_ Config, s render.Settings) any { return []any{s.LogFormat, s.Captures} }, want: `[{"a": "%ci"} [{A 1}]]`},
		{name: "a format of two lines", env: map[string]string{"DEBUG_HTTP_FORMAT": "a\nb"}, complaint: "debug-http-format"},
		{name: "a header without a length", env: map[string]string{"CAPTURE_REQUEST_HEADER": "A"}, complaint: `capture-request-header: "A"`},
		{name: "defaults of services", env: map[string]string{"CONNECTION_MODE": "httpclose", "COMPRESSION_ALGO": "gzip", "COMPRESSION_TYPE": "text/plain,text/html"},
			told: func(_ Config, s render.Settings) any { return []any{s.ConnectionMode, s.Compression} }, want: "[httpclose {gzip [text/plain text/html]}]"},
		{name: "a mode that is none", env: map[string]string{"CONNECTION_MODE": "http-tunnel"}, complaint: `connection-mode: "http-tunnel"`},
		{name: "a compression that is none", env: map[string]string{"COMPRESSION_ALGO": "zip"}, complaint: `compression-algo: "zip"`},
		{name: "a type that is none", env: map[string]string{"COMPRESSION_TYPE": "text"}, complaint: `compression-type: "text"`},
		{name: "error pages", env: map[string]string{"ERRORFILES_DIR": good},
			told: func(_ Config, s render.Settings) any { return s.ErrorFiles }, want: "[{503 " + good + "/503.http}]"},
		{name: "an error page that HAProxy would refuse", env: map[string]string{"ERRORFILES_DIR": bad}, complaint: "bad/503.http"},
		{name: "raw text", env: map[string]string{"ALLOW_RAW": "true", "EXTRA_FRONTEND": "a b, c", "EXTRA_GLOBAL": "d"},
			told: func(c Config, s render.Settings) any {
				return fmt.Sprintf("%q %q %v", s.ExtraFrontend, s.ExtraGlobal, rules(c).AllowRaw)
			}, want: `["a b" "c"] ["d"] true`},
		{name: "raw text without the switch", env: map[string]string{"EXTRA_GLOBAL": "d"}, complaint: "allow-raw"},
		{name: "options of labels", env: map[string]string{"HTTPS_ONLY": "true", "SERVICE_DOMAIN_ALGO": "hdr_dom(host)", "PROXY_INSTANCE_NAME": "pub", "FILTER_PROXY_INSTANCE_NAME": "true", "SEPARATOR": "|"},
			told: func(c Config, _ render.Settings) any { return rules(c) }, want: "{| [waggle] hdr_dom(host) pub true http false false [8404 80 8080] 1 [80 443] [80] {false [] []} static-}"},
		{name: "users", env: map[string]string{"USERS": "ann:a:b ,bob:c d\neve:e"},
			told: func(c Config, s render.Settings) any {
				return []any{s.Users, rules(c).OperatorUsers, c.Edge.Users.Users}
			}, want: "[[{ann a:b false} {bob c d false} {eve e false}] true (hidden)]"},
		{name: "users as a secret", secrets: map[string]string{"dfp_users": "ann:$6$salt$0123456789012345678901"}, env: map[string]string{"USERS_PASS_ENCRYPTED": "true"},
			told: func(_ Config, s render.Settings) any { return s.Users }, want: "[{ann $6$salt$0123456789012345678901 true}]"},
		{name: "a user without a password", env: map[string]string{"USERS": "ann:geheim,bob"}, complaint: "users: entry 2: want name:password"},
		{name: "users who are not encrypted", env: map[string]string{"USERS": "ann:geheim", "USERS_PASS_ENCRYPTED": "true"}, complaint: "users: entry 1: want a hash such as"},
		{name: "no users, although asked for", env: map[string]string{"USERS": " , "}, complaint: "users: want name:password"},
		{name: "an instance has a name and does not filter", env: map[string]string{"PROXY_INSTANCE_NAME": "pub"},
			told: func(c Config, _ render.Settings) any { return rules(c).Instance }, want: ""},
		{name: "an algorithm that is none", env: map[string]string{"SERVICE_DOMAIN_ALGO": "hdr"}, complaint: `service-domain-algo: "hdr"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			conf, s, err := settle(t, c.env, c.secrets)
			if c.complaint != "" {
				if err == nil || !strings.Contains(err.Error(), c.complaint) || strings.Contains(err.Error(), "geheim") {
					t.Fatalf("error %v, want %q and no password", err, c.complaint)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(c.told(conf, s)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// TestTheFirstOfSeveralFaultsIsAlwaysTheSame: that of the setting which is read first.
func TestTheFirstOfSeveralFaultsIsAlwaysTheSame(t *testing.T) {
	for range 50 {
		_, _, err := settle(t, map[string]string{"CA_FILE": "a b", "ERRORFILES_DIR": "a b", "CERTS_DIR": "a b", "CRT_LIST_PATH": "a b"}, nil)
		if err == nil || !strings.HasPrefix(err.Error(), "ca-file") {
			t.Fatal(err)
		}
	}
}

// TestSecretsStayOutOfTheLog: what is logged of the settings shows no password.
func TestSecretsStayOutOfTheLog(t *testing.T) {
	c, _, err := settle(t, map[string]string{"STATS_USER": "adm"}, map[string]string{"dfp_stats_pass": "geheim"})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{string(text), fmt.Sprint(c.Edge.StatsPass)} {
		if strings.Contains(shown, "geheim") || !strings.Contains(shown, "(hidden)") {
			t.Errorf("shown: %s", shown)
		}
	}
}
