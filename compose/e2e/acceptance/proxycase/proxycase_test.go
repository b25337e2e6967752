package proxycase

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/acceptance"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

func TestMain(m *testing.M) {
	acceptance.Main(Form())
	if config := os.Getenv(standInConfig); config != "" {
		err := errors.New("leaving")
		if config != leave {
			err = standIn(config)
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
	os.Exit(m.Run())
}

// The project's own cases pass against the real proxy.
func TestCases(t *testing.T) {
	cases, err := acceptance.ReadFile("../testdata/cases.json", Form())
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := acceptance.Build(t.Context(), t.TempDir(), "proxy")
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	r := runner(t, proxy, &log)
	if err := r.Run(t.Context(), cases, func(res acceptance.Result) {
		if res.Err != nil {
			t.Error(res)
		} else {
			t.Log(res)
		}
	}); err != nil {
		t.Errorf("%v\n%s", err, log.String())
	}
}

// runner runs a program as the proxy.
func runner(t *testing.T, proxy string, log io.Writer) acceptance.Runner {
	return acceptance.Runner{
		Forms: []acceptance.Form{Form()}, Programs: map[string]string{"proxy": proxy, "haproxy": tooltest.Path(t, "haproxy")}, Log: log,
	}
}

func command(t *testing.T, args []string, out, errOut io.Writer) int {
	return acceptance.Command(t.Context(), []acceptance.Form{Form()}, args, out, errOut)
}

// caseFile writes a file with one case and returns its path.
func caseFile(t *testing.T, fields string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cases.json")
	text := fmt.Sprintf(`{"about": "", "cases": [{"id": "one", "kind": "P", "title": "one case", %s}]}`, fields)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// What the runner does not understand fails, and is not passed over.
func TestWhatIsNotOfTheFormFails(t *testing.T) {
	for name, c := range map[string]struct{ fields, reason string }{
		"step":             {`"steps": [["dance", 1]]`, `unknown step "dance"`},
		"no steps":         {`"steps": []`, "no steps"},
		"empty step":       {`"steps": [[]]`, "kind of the step"},
		"field of a case":  {`"steps": [["killproxy"]], "extra": 1`, `unknown field "extra"`},
		"field of req":     {`"steps": [["req", {"u": "/", "agent": "x"}, {"st": 200}]]`, `unknown field "agent"`},
		"field of answer":  {`"steps": [["req", {"u": "/"}, {"st": 200, "body": "x"}]]`, `unknown field "body"`},
		"no status":        {`"steps": [["req", {"u": "/"}, {"svc": "a"}]]`, "want a status"},
		"word for status":  {`"steps": [["req", {"u": "/"}, {"st": "fine"}]]`, "want a status"},
		"no path":          {`"steps": [["req", {"host": "a"}, {"st": 200}]]`, "the path"},
		"scheme":           {`"steps": [["req", {"u": "/", "s": "ftp"}, {"st": 200}]]`, `s is "ftp"`},
		"sni without TLS":  {`"steps": [["req", {"u": "/", "sni": "a"}, {"st": 200}]]`, "belong to s https"},
		"too few values":   {`"steps": [["deploy", "svc-a"]]`, "1 values, want 2"},
		"too many values":  {`"steps": [["killproxy", 1]]`, "1 values, want 0"},
		"kind of a value":  {`"steps": [["deploy", "svc-a", {"port": 8080}]]`, "number"},
		"null for a value": {`"steps": [["deploy", "svc-a", null]]`, "not null"},
		"hosts":            {`"steps": [["hosts", "temp 127.1.0.2"]]`, "want an IPv4 address"},
		"sleep":            {`"steps": [["sleep", -1]]`, "want seconds"},
		"greetings":        {`"steps": [["tcp", 80, []]]`, "want the greetings"},
		"initial":          {`"steps": [["killproxy"]], "initial": [["svc-a"]]`, "initial service 1"},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errOut strings.Builder
			code := command(t, []string{"-proxy", "none", "-haproxy", tooltest.Path(t, "haproxy"), caseFile(t, c.fields)}, &out, &errOut)
			if code != 1 || !strings.HasPrefix(out.String(), "FAIL one one case: ") || !strings.Contains(out.String(), c.reason) || strings.Count(out.String(), "\n") != 1 {
				t.Errorf("exit code %d, %q, want 1 and one line with %q", code, out.String(), c.reason)
			}
		})
	}
}

func TestFilesThatAreNone(t *testing.T) {
	for name, text := range map[string]string{
		"no cases": `{"cases": []}`, "unknown field": `{"cases": [{}], "version": 2}`, "no JSON": `PASS`, "more behind": `{"cases": [{}]} {}`,
	} {
		path := filepath.Join(t.TempDir(), "cases.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if cases, err := acceptance.ReadFile(path, Form()); err == nil {
			t.Errorf("%s: %d cases are read", name, len(cases))
		}
	}
	good := caseFile(t, `"steps": [["killproxy"]]`)
	for name, args := range map[string][]string{"no such case": {"-run", "two", good}, "no such file": {good + "x"}} {
		if code := command(t, args, io.Discard, io.Discard); code != 1 {
			t.Errorf("%s: exit code %d", name, code)
		}
	}
	for name, args := range map[string][]string{"no file": {}, "unknown flag": {"-fast", good}} {
		if code := command(t, args, io.Discard, io.Discard); code != 2 {
			t.Errorf("%s: exit code %d", name, code)
		}
	}
}

// standInConfig is the variable that makes this program a stand-in of the proxy,
// with a HAProxy whose configuration it names. So the steps are seen to pass where
// the answer is right, and to fail where it is not, whatever the proxy can do today.
const standInConfig = "STAND_IN"

// leave is what the stand-in takes for the order to end at once.
const leave = "leave"

// standIn says of each service what its label "verdict" is, takes certificates, and
// starts HAProxy.
func standIn(config string) error {
	ctx := context.Background()
	if err := os.MkdirAll("/run/waggle", 0o755); err != nil {
		return err
	}
	file := filepath.Join(os.Getenv("DATA_DIR"), "haproxy", "haproxy.cfg")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return err
	}
	haproxy := exec.Command(os.Getenv("HAPROXY"), "-W", "-f", file) //nolint:noctx // it lives as long as the case
	haproxy.Stdout, haproxy.Stderr = os.Stderr, os.Stderr
	if err := haproxy.Start(); err != nil {
		return err
	}
	// One that does not start is for the steps to find out.
	_ = tooltest.PollFor(ctx, 2*time.Second, 10*time.Millisecond, "HAProxy", func(ctx context.Context) error {
		_, err := running(ctx)
		return err
	})
	b, err := bus.Connect(bus.Options{URL: os.Getenv("NATS_URL"), Component: "proxy"})
	if err != nil {
		return err
	}
	reader := b.Catalog(func() {})
	go func() { _ = reader.Run(ctx) }()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/services", func(w http.ResponseWriter, _ *http.Request) {
		snapshot, ok := reader.Snapshot()
		st := apiState{Revision: snapshot.Revision, FromBus: ok}
		for _, svc := range snapshot.Services {
			s := catalog.Status{Service: svc.Name, State: catalog.State(svc.Labels["com.df.verdict"])}
			if s.State == "" {
				s.State = catalog.StateApplied
			}
			s.Reason = svc.Labels["com.df.reason"]
			st.Services = append(st.Services, s)
		}
		if err := json.NewEncoder(w).Encode(st); err != nil {
			panic(err)
		}
	})
	mux.HandleFunc("PUT /v1/docker-flow-proxy/cert", func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err == nil {
			_, err = tls.X509KeyPair(text, text)
		}
		if err != nil || r.Header.Get("Authorization") != "Bearer "+os.Getenv("TOKEN") {
			http.Error(w, "refused", http.StatusBadRequest)
		}
	})
	srv := &http.Server{Addr: os.Getenv("ADMIN"), Handler: mux, ReadHeaderTimeout: time.Minute}
	return srv.ListenAndServe()
}

// good is a HAProxy that does everything right.
const good = `
global
  stats socket /run/waggle/haproxy.sock mode 600 level admin
defaults
  mode http
  timeout connect 2s
  timeout client 2s
  timeout server 10s
  timeout tunnel 30s
frontend web
  bind :80
  bind :81 accept-proxy
  bind :443 ssl crt /certs/ ca-file /run/secrets/ca verify optional crt-ignore-err all ca-ignore-err all
  option forwardfor
  http-request deny if { path_beg /client } ! { ssl_c_used }
  http-request redirect location https://%[hdr(host)]%[path] code 308 if { path_beg /move }
  http-request set-header X-Seen %[src]
  http-response del-header X-Secret
  filter compression
  compression algo gzip
  compression type application/json
  use_backend ws if { path_beg /ws }
  use_backend b if { path_beg /b }
  use_backend tasks
backend tasks
  cookie svc-a insert indirect nocache
  server t1 127.1.0.11:8080 cookie one
  server t2 127.1.0.12:8080 cookie two
backend b
  http-request set-path /rewritten
  server b 127.1.0.2:8080
backend ws
  server ws 127.1.0.3:9000
listen tcp
  mode tcp
  bind :16379
  server t1 127.1.0.11:6379
  server t2 127.1.0.12:6379
listen sni
  mode tcp
  bind :8443
  tcp-request inspect-delay 2s
  tcp-request content reject if { req.ssl_hello_type 1 } ! { req.ssl_sni a.example.com }
  server a 127.1.0.1:8443
`

// Each step passes where the answer is right, and fails with the reason where not.
// A case with an empty reason must pass.
func TestStepsPassAndFail(t *testing.T) {
	for _, c := range []struct{ step, reason string }{
		{`["req", {"m": "GET", "u": "/x?q=1", "host": "h.com", "hd": {"Cookie": "c=1"}}, {"st": 200, "svc": "a", "path": "/x?q=1",
			"up": {"host": "h.com", "x-forwarded-for": "127.0.0.1", "COOKIE": "c=1", "Accept": null}, "rh": {"x-backend": null, "x-secret": null}}]`, `response header x-backend is "at`},
		{`["req", {"u": "/x"}, {"st": 200, "svc": "a", "up": {"X-Seen": "127.0.0.1", "Authorization": null}, "rh": {"X-SECRET": null}}]`, ""},
		{`["req", {"u": "/x"}, {"st": 404}]`, "status 200, want 404"},
		{`["req", {"u": "/x"}, {"st": 200, "svc": "b"}]`, `want "b"`},
		{`["req", {"u": "/b"}, {"st": 200, "svc": "b", "path": "/rewritten"}]`, ""},
		{`["req", {"u": "/b"}, {"st": 200, "svc": null, "path": "/b"}]`, `path at the upstream "/rewritten", want "/b"`},
		{`["req", {"u": "/x", "auth": "u:p"}, {"st": 200, "up": {"Authorization": null}}]`, `Authorization is "Basic dTpw", want none`},
		{`["req", {"u": "/x"}, {"st": 200, "up": {"X-None": "1"}}]`, "X-None is missing"},
		{`["req", {"u": "/x/big", "hd": {"Accept-Encoding": "gzip"}}, {"st": 200, "svc": "a", "rh": {"content-encoding": "gzip"}}]`, ""},
		{`["req", {"u": "/x/big"}, {"st": 200, "rh": {"content-encoding": "gzip"}}]`, "content-encoding is missing"},
		{`["req", {"m": "HEAD", "u": "/b"}, {"st": 200, "svc": "b"}]`, ""},
		{`["req", {"m": "POST", "u": "/b"}, {"st": 200, "svc": "b"}]`, ""},
		{`["req", {"u": "/move", "host": "h.com"}, {"st": 308, "loc": "https://h.com/move"}]`, ""},
		{`["req", {"u": "/move", "host": "h.com"}, {"st": 308, "loc": "http://h.com/move"}]`, `want "http://h.com/move"`},
		{`["req", {"u": "/move"}, {"st": 308, "up": {"Host": null}}]`, "no upstream told"},
		{`["req", {"u": "/x", "port": 82}, {"st": 200}]`, "connection refused"},
		{`["req", {"u": "/x", "port": 82}, {"st": "refused_or_not200"}]`, ""},
		{`["req", {"u": "/move"}, {"st": "refused_or_not200"}]`, ""},
		{`["req", {"u": "/x"}, {"st": "refused_or_not200"}]`, "status 200"},
		{`["req", {"u": "/x", "s": "https", "sni": "b.example.com"}, {"st": 200, "svc": "a", "cert": "b.example.com"}]`, ""},
		{`["req", {"u": "/x", "s": "https", "host": "b.example.com:443"}, {"st": 200, "cert": "b.example.com"}]`, ""},
		{`["req", {"u": "/x", "s": "https", "sni": "nope.test"}, {"st": 200, "cert": "b.example.com"}]`, `certificate "a.example.com"`},
		{`["req", {"u": "/client", "s": "https"}, {"st": 403}]`, ""},
		{`["req", {"u": "/client", "s": "https", "cc": "cl.pem"}, {"st": 200, "svc": "a"}]`, ""},
		{`["req", {"u": "/client", "s": "https", "cc": "rogue.pem"}, {"st": 200}]`, ""},
		{`["req", {"u": "/client", "s": "https", "cc": "none.pem"}, {"st": 200}]`, "client certificate none.pem"},
		{`["req", {"u": "/x", "s": "https", "port": 8443, "sni": "a.example.com"}, {"st": 200, "svc": "tlsa", "cert": "a.example.com"}]`, ""},
		{`["req", {"u": "/x", "s": "https", "port": 8443, "sni": "c.example.com"}, {"st": "tls_fail"}]`, ""},
		{`["req", {"u": "/x", "s": "https", "port": 8443, "sni": "a.example.com"}, {"st": "tls_fail"}]`, "want a TLS handshake that fails"},
		{`["req", {"u": "/x", "s": "https", "port": 8443, "sni": "c.example.com"}, {"st": 200}]`, "no TLS"},
		{`["tcp", 16379, ["ra"]]`, ""},
		{`["tcp", 16379, ["rt1", "rt2"]]`, ""},
		{`["tcp", 16379, ["rt1"]]`, `greets with "rt2"`},
		{`["tcp", 16379, ["ra", "rb"]]`, "greets with ra alone"},
		{`["tcp", 16380, ["ra"]]`, "refused"},
		{`["sticky", "/x", "svc-a"]`, ""},
		{`["sticky", "/x", "other"]`, "no cookie other"},
		{`["sticky", "/b", "svc-a"]`, "no cookie svc-a"},
		{`["shares", "/x", 20, {"a": 100}]`, ""},
		{`["shares", "/x", 20, {"b": 100}]`, "b gets 0 of 20 requests, want 100%"},
		{`["shares", "/b", 20, {"b": 50, "c": 50}]`, "want 50%"},
		{`["together", "/x", {"200": 3}]`, ""},
		{`["together", "/x", {"200": 2, "503": 1}]`, "want map"},
		{`["proxyproto", "/x", "203.0.113.9"]`, "status 400"},
		{`["ws", "/ws"]`, ""},
		{`["ws", "/x"]`, "upgrade"},
		{`["inflight", "/slow?=1", "svc-b"]`, ""},
		{`["inflight", "/x", "svc-b"]`, "was over before anything changed"},
		{`["putcert", "c.pem", "b.example.com.pem", 200]`, ""},
		{`["putcert", "c.pem", "b.example.com.crt", 200]`, "answered 400, want 200"},
		{`["putcert", "c.pem", "c.example.com.pem", 200]`, "makes no file"},
		{`["putcert_bad", "c.pem", "none"]`, ""},
		{`["config_lacks", "backend tasks2"]`, ""},
		{`["hosts", "127.1.0.2 temp"]`, ""},
		{`["remove", "svc-b"]`, ""},
		{`["deploy", "svc-b", {}]`, ""},
		{`["deploy", "svc-b", {"verdict": "degraded"}]`, ""},
		{`["deploy", "svc-b", {"verdict": "rejected", "reason": "no"}]`, "svc-b is rejected: no"},
		{`["deploy_any", "svc-b", {"verdict": "rejected", "reason": "no"}]`, ""},
		{`["deploy_bad", "svc-b", {"verdict": "rejected", "reason": "no"}]`, ""},
		{`["deploy_bad", "svc-b", {"verdict": "rejected"}]`, "want it to be rejected for a reason"},
		{`["deploy_bad", "svc-b", {}]`, "not within 10s: svc-b is applied"},
		{`["config_lacks", "backend tasks"]`, "haproxy.cfg contains"},
	} {
		fields := fmt.Sprintf(`"env": {%q: %q}, "certs": {"a.pem": "a.example.com.pem", "b.pem": "b.example.com.pem"}, "secrets": {"ca": "@ca.crt"}, "steps": [%s]`,
			standInConfig, good, c.step)
		t.Run(c.step, func(t *testing.T) { t.Parallel(); expect(t, fields, c.reason) })
	}
}

// Several steps together.
func TestStories(t *testing.T) {
	proxied := strings.Replace(good, "bind :80\n", "bind :80 accept-proxy\n", 1)
	for _, c := range []struct{ config, steps, reason string }{
		{proxied, `["proxyproto", "/x", "203.0.113.9"]`, ""},
		{good, `["killproxy"], ["sleep", 0.2], ["req", {"u": "/x"}, {"st": 200}]`, "not within 200ms: no response"},
		{good, `["killproxy"], ["killproxy"]`, "0 processes"},
		{good, `["sleep", 0.1], ["killproxy"]`, ""},
		{good, `["sleep", 0.1]`, ""},
		{good, `["deploy", "svc-b", {}], ["remove", "svc-b"], ["deploy", "svc-b", {"verdict": "rejected", "reason": "no"}]`, "step 3, deploy svc-b: svc-b is rejected"},
		{good, `["deploy", "svc-b", {}], ["inflight", "/slow?=1", "svc-b"], ["remove", "svc-b"]`, ""},
		{leave, `["req", {"u": "/"}, {"st": 200}]`, "the proxy ended: exit status 3, its last words: leaving"},
		{"no configuration\n", `["req", {"u": "/"}, {"st": 200}]`, "refused"},
	} {
		t.Run(c.steps, func(t *testing.T) {
			t.Parallel()
			expect(t, fmt.Sprintf(`"env": {%q: %q}, "certs": {"a.pem": "a.example.com.pem"}, "secrets": {"ca": "@ca.crt"}, "steps": [%s]`, standInConfig, c.config, c.steps), c.reason)
		})
	}
	for fields, reason := range map[string]string{
		`"env": {"STAND_IN": "x"}, "certs": {"c.pem": "c.example.com.pem"}, "steps": [["sleep", 1]]`: "makes no file",
		`"env": {"STAND_IN": "x"}, "secrets": {"ca": "@ca.txt"}, "steps": [["sleep", 1]]`:            "makes no file",
		`"env": {"STAND_IN": "leave"}, "certs": {"c.pem": "no PEM"}, "steps": [["sleep", 1]]`:        "the proxy ended",
		`"env": {"STAND_IN": "x"}, "secrets": {"a/b": "text"}, "steps": [["sleep", 1]]`:              "plain file name",
		`"env": {"STAND_IN": "x", "HOME": "/"}, "hosts": "temp", "steps": [["sleep", 1]]`:            "want an IPv4 address",
	} {
		t.Run(fields, func(t *testing.T) { t.Parallel(); expect(t, fields, reason) })
	}
}

// expect runs one case against the stand-in.
func expect(t *testing.T, fields, reason string) {
	t.Helper()
	cases, err := acceptance.ReadFile(caseFile(t, fields), Form())
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var (
		log bytes.Buffer
		got error
	)
	r := runner(t, self, &log)
	failed := r.Run(t.Context(), cases, func(res acceptance.Result) { got = res.Err })
	switch {
	case (failed == nil) != (got == nil):
		t.Errorf("the run ends with %v, the case with %v", failed, got)
	case reason == "" && got != nil:
		t.Errorf("%v\n%s", got, log.String())
	case reason != "" && (got == nil || !strings.Contains(got.Error(), reason)):
		t.Errorf("it ends with %v, want a failure with %q", got, reason)
	}
}
