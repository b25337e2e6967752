package proxy

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/certtest"
	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/runtime"
	"github.com/wagglehq/waggle/proxy/internal/haproxytest"
)

// secureHouse is a house with a port for TLS and a folder for certificates.
type secureHouse struct {
	*house
	tls int
}

func newSecureHouse(t *testing.T) *secureHouse {
	h := &secureHouse{house: newHouse(t), tls: tooltest.FreePort(t)}
	h.config.Edge.DefaultPorts = fmt.Sprintf("%d,%d:ssl", h.http, h.tls)
	h.config.Certs.Dir, h.config.Edge.SecretsDir, h.config.Token = t.TempDir(), t.TempDir(), "token"
	h.config.DockerFlowAPI = true
	h.supervised()
	h.run()
	h.dns.set("web", "127.0.0.2")
	h.deploy("web", "/")
	h.answers("/", "127.0.0.2")
	return h
}

// call makes a request to the admin port and returns the status and the body.
func (h *secureHouse) call(method, path, token, body string) (int, string) {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), method, "http://"+h.admin+path, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error() // a controller that has just begun does not listen yet
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	if strings.Contains(string(text), "PRIVATE") {
		h.t.Errorf("%s %s tells a key: %s", method, path, text)
	}
	return res.StatusCode, string(text)
}

// shows wants a client to get a certificate, now or soon.
func (h *secureHouse) shows(name string, want certtest.Issued) {
	h.t.Helper()
	pair, err := tls.X509KeyPair([]byte(want.Cert), []byte(want.Key))
	if err != nil {
		h.t.Fatal(err)
	}
	tooltest.Eventually(h.t, "the certificate for "+name, func() error {
		got, err := haproxytest.Shown(h.t.Context(), h.tls, name)
		if err == nil && got != string(pair.Certificate[0]) {
			err = errors.New("another one is shown")
		}
		return err
	})
}

// worker is the pid of HAProxy's worker.
func (h *secureHouse) worker() int {
	h.t.Helper()
	info, err := runtime.New(filepath.Join(h.config.RunDir, "haproxy.sock")).ShowInfo(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	return info.Pid
}

func TestUploadsAreInForceWhenTheyAreAnswered(t *testing.T) {
	h := newSecureHouse(t)
	a := certtest.Self(t, "a.com")
	for _, c := range []struct {
		what, method, path, token, body string
		status                          int
		says                            string
	}{
		{"no token", "PUT", "/v1/docker-flow-proxy/cert?certName=a.pem", "", a.PEM(), 401, "token"},
		{"a wrong token", "DELETE", "/v1/certs/a.pem", "x", "", 401, "token"},
		{"another method", "POST", "/v1/docker-flow-proxy/cert?certName=a.pem", "token", a.PEM(), 405, ""},
		{"no name", "PUT", "/v1/docker-flow-proxy/cert", "token", a.PEM(), 400, "want a name"},
		{"a path for a name", "PUT", "/v1/docker-flow-proxy/cert?certName=../cfg/x", "token", a.PEM(), 400, "the name"},
		{"nothing", "PUT", "/v1/docker-flow-proxy/cert?certName=a.pem", "token", "", 422, "a.pem: it is not PEM"},
		{"no key", "PUT", "/v1/certs/a.pem", "token", a.Cert, 422, "a.pem: it has no key"},
		{"another key", "PUT", "/v1/certs/a.pem", "token", a.Cert + certtest.Self(t, "a.com").Key, 422, "a.pem: its key does not belong"},
		{"expired", "PUT", "/v1/certs/a.pem", "token", certtest.Issue(t, certtest.Options{NotAfter: time.Now().Add(-time.Minute)}, "a.com").PEM(), 422, "a.pem: it has expired"},
		{"a key that is too small", "PUT", "/v1/certs/a.pem", "token", certtest.Issue(t, certtest.Options{RSA: 1024}, "a.com").PEM(), 422, "too small"},
		{"too much", "PUT", "/v1/certs/a.pem", "token", strings.Repeat("x", 1<<20), 413, "bytes"},
		{"nothing to remove", "DELETE", "/v1/certs/a.pem", "token", "", 404, "no certificate of this name was uploaded"},
	} {
		if status, text := h.call(c.method, c.path, c.token, c.body); status != c.status || !strings.Contains(text, c.says) {
			t.Errorf("%s: got %d %s, want %d with %q", c.what, status, text, c.status, c.says)
		}
	}
	if _, err := haproxytest.Shown(h.t.Context(), h.tls, "a.com"); err == nil {
		t.Error("there is TLS without a certificate")
	}
	if status, text := h.call("PUT", "/v1/docker-flow-proxy/cert?certName=a.pem&distribute=true", "token", a.PEM()); status != 200 || !strings.Contains(text, `"a.com"`) {
		t.Errorf("an upload: %d %s", status, text)
	}
	if got, err := haproxytest.Shown(h.t.Context(), h.tls, "a.com"); err != nil || got == "" {
		t.Errorf("right after the answer: %v", err)
	}
	h.shows("a.com", a)
	pid := h.worker()
	renewed, b := certtest.Self(t, "a.com"), certtest.Self(t, "b.com")
	h.call("PUT", "/v1/certs/a.pem", "token", renewed.PEM())
	h.call("PUT", "/v1/certs/b.pem", "token", b.PEM())
	h.shows("a.com", renewed)
	h.shows("b.com", b)
	if status, text := h.call("GET", "/v1/certs", "", ""); status != 200 || !strings.Contains(text, `"b.pem"`) || !strings.Contains(text, `"default": true`) {
		t.Errorf("the list: %d %s", status, text)
	}
	// A controller that starts anew changes nothing, also without a bus.
	h.stop()
	h.bus.Stop()
	h.run()
	h.answers("/", "127.0.0.2")
	h.shows("b.com", b)
	tooltest.Eventually(t, "an upload without a bus is refused", func() error {
		if status, text := h.call("PUT", "/v1/certs/c.pem", "token", b.PEM()); status != 503 {
			return fmt.Errorf("%d %s", status, text)
		}
		return nil
	})
	h.bus.StartAgain()
	tooltest.Eventually(t, "one is removed", func() error {
		if status, text := h.call("DELETE", "/v1/certs/b.pem", "token", ""); status != 200 {
			return errors.New(text)
		}
		return nil
	})
	h.shows("b.com", renewed)
	if h.worker() != pid {
		t.Error("HAProxy reloaded")
	}
	tooltest.Eventually(t, "the disk follows", func() error {
		text, err := os.ReadFile(filepath.Join(h.config.DataDir, "haproxy", "certs.list"))
		if err == nil && strings.Contains(string(text), "b.pem") {
			err = errors.New(string(text))
		}
		return err
	})
}

func TestCertificatesOfFilesAndLabels(t *testing.T) {
	h := newSecureHouse(t)
	a, shop := certtest.Self(t, "a.com"), certtest.Self(t, "shop.com")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(h.config.Certs.Dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a.pem", a.PEM())
	write("b.key", a.Key)
	h.shows("a.com", a)
	tooltest.Eventually(t, "a file that is no certificate is told", func() error {
		if status, text := h.call("GET", "/v1/certs", "", ""); status != 200 || !strings.Contains(text, "it has no certificate") {
			return fmt.Errorf("%d %s", status, text)
		}
		return nil
	})
	pid := h.worker()
	h.dns.set("shop", "127.0.0.3")
	h.deploy("shop", "/", "serviceDomain", "shop.com", "serviceCert", strings.ReplaceAll(shop.PEM(), "\n", `\n`))
	h.says("shop", `"state": "applied"`)
	h.shows("shop.com", shop)
	// A bad one rejects the service, and what it had stays.
	h.deploy("shop", "/new", "serviceDomain", "shop.com", "serviceCert", shop.Cert)
	h.says("shop", "rejected", "com.df.serviceCert", "it has no key", "stay in force")
	h.shows("shop.com", shop)
	h.deploy("weak", "/weak", "serviceDomain", "weak.com", "serviceCert", certtest.Issue(t, certtest.Options{RSA: 1024}, "weak.com").PEM())
	h.says("weak", "rejected", "serviceCert", "too small")
	h.remove("shop")
	h.shows("shop.com", a)
	write("a.pem", certtest.Self(t, "a.com").Cert)
	tooltest.Eventually(t, "the bad content is told", func() error {
		if _, text := h.call("GET", "/v1/certs", "", ""); !strings.Contains(text, "the content before is still served") {
			return errors.New(text)
		}
		return nil
	})
	h.shows("a.com", a)
	_, metrics := h.call("GET", "/metrics", "", "")
	for _, want := range []string{`waggle_proxy_certificate_expiry_timestamp_seconds{name="a.pem",source="file"}`, "waggle_proxy_rejected_certificates 2"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics do not tell %s", want)
		}
	}
	if h.worker() != pid {
		t.Error("HAProxy reloaded")
	}
}

// TestSecretsThatOpenUploads: the one that is being replaced, and the tokens, so that setting a
// seal key, or another token, leaves uploads readable.
func TestSecretsThatOpenUploads(t *testing.T) {
	var c Config
	c.Token, c.TokenOther = "first second", "third"
	if got := fmt.Sprint(otherSecrets(c)); got != "[first second third]" {
		t.Errorf("without a seal key: %s", got)
	}
	c.Certs.SealKey, c.Certs.SealKeyOther = "new seal key", "old seal key"
	if got := strings.Join(otherSecrets(c), "|"); got != "first|second|third|old seal key" {
		t.Errorf("with one that is replaced: %s", got)
	}
}
