package apply_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/certtest"
	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/render"
	"github.com/wagglehq/waggle/proxy/internal/settings/edge"
)

// task starts a server at 127.0.0.2 that tells the version of HTTP, the header X-User, the
// length of the body and, as a trailer, the same again; it returns its port.
func task(t *testing.T, secure, h2 bool) string {
	t.Helper()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			return
		}
		w.Header().Set("Trailer", "X-Length")
		_, _ = fmt.Fprintf(w, "%s user=%s%s body=%d", r.Proto, r.Header.Get("X-User"), r.Header.Get("X_user"), n)
		w.Header().Set("X-Length", strconv.FormatInt(n, 10))
	}))
	var lc net.ListenConfig
	port := tooltest.FreePort(t)
	ln, err := lc.Listen(t.Context(), "tcp", net.JoinHostPort("127.0.0.2", strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	_ = srv.Listener.Close()
	srv.Listener = ln
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetHTTP1(!h2)
	srv.Config.Protocols.SetHTTP2(h2 && secure)
	srv.Config.Protocols.SetUnencryptedHTTP2(h2 && !secure)
	if secure {
		srv.EnableHTTP2 = h2
		srv.StartTLS()
	} else {
		srv.Start()
	}
	t.Cleanup(srv.Close)
	return strconv.Itoa(port)
}

// speaker speaks one version of HTTP, and asks for a server name where it speaks TLS.
func speaker(t *testing.T, h2 bool) *http.Transport {
	t.Helper()
	tr := &http.Transport{Protocols: new(http.Protocols), TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // the test's own certificates
	tr.Protocols.SetHTTP1(!h2)
	tr.Protocols.SetUnencryptedHTTP2(h2)
	tr.Protocols.SetHTTP2(h2)
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// answer is the status of a POST, its body and the trailer that came behind it.
func answer(t *testing.T, tr *http.Transport, url string, body io.Reader, header ...string) (status int, text string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Auth" {
			user, password, _ := strings.Cut(header[i+1], ":")
			req.SetBasicAuth(user, password)
			continue
		}
		req.Header[header[i]] = []string{header[i+1]}
	}
	res, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	all, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, strings.TrimSpace(string(all) + " " + res.Trailer.Get("X-Length"))
}

// TestHTTP2ToTasks: from clients of either version, in clear text and by TLS, with trailers.
func TestHTTP2ToTasks(t *testing.T) {
	for _, c := range []struct {
		name     string
		secure   bool
		labels   []string
		upstream bool
		want     string
	}{
		{"h2c", false, []string{"proto", "h2"}, true, "HTTP/2.0 user= body=3 3"},
		{"h2 by TLS", true, []string{"proto", "h2", "sslVerifyNone", "true"}, true, "HTTP/2.0 user= body=3 3"},
		{"h2 with checks", true, []string{"proto", "h2", "sslVerifyNone", "true", "checkPath", "/", "checkInterval", "1s", "checkTimeout", "10s", "checkFall", "1"}, true, "HTTP/2.0 user= body=3 3"},
		{"HTTP/1.1 as ever", false, nil, false, "HTTP/1.1 user= body=3 3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.deploy("web", []string{"127.0.0.2"}, append([]string{"servicePath", "/", "port", task(t, c.secure, c.upstream)}, c.labels...)...)
			w.apply()
			for _, h2 := range []bool{false, true} {
				// A body without a length makes HTTP/1.1 send chunks.
				status, text := answer(t, speaker(t, h2), w.hap.URL("/"), io.MultiReader(strings.NewReader("abc")))
				want := c.want
				if c.upstream && !h2 {
					want = strings.TrimSuffix(want, " 3") // clients of HTTP/1.1 get no trailers of HTTP/2
				}
				if status != http.StatusOK || text != want {
					t.Errorf("h2 client %t: %d %q, want %q", h2, status, text, want)
				}
			}
		})
	}
}

// TestMaxBody: a longer body is refused, whether its length is told or not.
func TestMaxBody(t *testing.T) {
	w := newWorld(t)
	w.deploy("web", []string{"127.0.0.2"}, "servicePath", "/", "port", task(t, false, false), "maxBody", "100k")
	w.apply()
	for _, c := range []struct {
		name   string
		length int
		told   bool
		status int
	}{
		{"just right", 100 << 10, true, 200}, {"just right, in chunks", 100 << 10, false, 200},
		{"a byte more", 100<<10 + 1, true, 413}, {"a byte more, in chunks", 100<<10 + 1, false, 413},
		{"far more, in chunks", 3 << 20, false, 413},
	} {
		for _, h2 := range []bool{false, true} {
			var body io.Reader = bytes.NewReader(make([]byte, c.length))
			if !c.told {
				body = io.MultiReader(body)
			}
			if status, text := answer(t, speaker(t, h2), w.hap.URL("/"), body); status != c.status {
				t.Errorf("%s, h2 %t: %d %q, want %d", c.name, h2, status, text, c.status)
			}
		}
	}
}

// TestHashes: what htpasswd makes lets in whom it should, again and again, and the task is told
// who that is. Guessing is bounded, and who has signed in does not notice.
func TestHashes(t *testing.T) {
	w := newWorld(t)
	users := "ann:$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/\n" +
		"bob:$2b$05$m6CFU2DGeC91OLl.JkIiweRluPTzoabE12d/90907iOrv4mGSNpCS\n" +
		"eve:$6$RWsGRPsgU9mmyCBU$fvVnTGbFtBuJnbZlwe/mgYxQszAQVZhtXgfTB.8tNB2BZrCnwieu4gwsu64uZfSfUUrUGR9ROwPm0zzJvO6Ty0"
	port := task(t, false, false)
	deploy := func(users string) {
		w.deploy("web", []string{"127.0.0.2"}, "servicePath", "/", "port", port, "userHeader", "X-User", "users", users, "usersPassEncrypted", "true")
		w.apply()
	}
	deploy(users)
	tr := speaker(t, false)
	for range 3 {
		for _, name := range []string{"ann", "bob", "eve"} {
			status, text := answer(t, tr, w.hap.URL("/"), http.NoBody, "Auth", name+":secret", "X-User", "root", "X_user", "root")
			if want := "HTTP/1.1 user=" + name + " body=0 0"; status != http.StatusOK || text != want {
				t.Errorf("%s: %d %q, want %q", name, status, text, want)
			}
		}
	}
	for _, auth := range []string{"ann:wrong", "bob:wrong", "nobody:secret", "ann:$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/"} {
		if status, _ := answer(t, tr, w.hap.URL("/"), http.NoBody, "Auth", auth); status != http.StatusUnauthorized {
			t.Errorf("%s: %d, want 401", auth, status)
		}
	}
	if status, _ := answer(t, tr, w.hap.URL("/"), http.NoBody); status != http.StatusUnauthorized {
		t.Errorf("without a name: %d, want 401", status)
	}
	seen := map[int]int{}
	for i := range 100 {
		status, _ := answer(t, tr, w.hap.URL("/"), http.NoBody, "Auth", "ann:guess"+strconv.Itoa(i))
		seen[status]++
	}
	if seen[http.StatusTooManyRequests] == 0 || seen[http.StatusOK] > 0 {
		t.Errorf("100 guesses: %v, want some 429", seen)
	}
	if status, _ := answer(t, tr, w.hap.URL("/"), http.NoBody, "Auth", "ann:secret"); status != http.StatusOK {
		t.Errorf("who had signed in before: %d", status)
	}
	// The same name with another password: what was right before is not any more, at once.
	deploy(strings.Replace(users, "$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/", "$6$RWsGRPsgU9mmyCBU$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 1))
	if status, _ := answer(t, speaker(t, false), w.hap.URL("/"), http.NoBody, "Auth", "ann:secret"); status == http.StatusOK {
		t.Error("an old password still lets in")
	}
}

// TestCookieAttributes of sticky sessions.
func TestCookieAttributes(t *testing.T) {
	for _, c := range []struct {
		labels []string
		want   string
	}{
		{nil, "path=/; HttpOnly"},
		{[]string{"sessionSecure", "true", "sessionSameSite", "none"}, "path=/; HttpOnly; Secure; SameSite=None"},
		{[]string{"sessionSameSite", "Strict", "sessionHttpOnly", "false"}, "path=/; SameSite=Strict"},
	} {
		w := newWorld(t)
		w.deploy("web", []string{"127.0.0.2"}, append([]string{"servicePath", "/", "sessionType", "sticky-server"}, c.labels...)...)
		w.apply()
		_, got, _ := strings.Cut(request(t, http.MethodGet, w.hap.URL("/")).Header.Get("Set-Cookie"), "; ")
		if got != c.want {
			t.Errorf("%v: %q, want %q", c.labels, got, c.want)
		}
	}
}

// TestLongHeaders: 20 kB of cookies reach a task, by both versions of HTTP.
func TestLongHeaders(t *testing.T) {
	w := newWorld(t)
	w.deploy("web", []string{"127.0.0.2"}, "servicePath", "/", "port", task(t, false, false))
	w.apply()
	for _, h2 := range []bool{false, true} {
		if status, text := answer(t, speaker(t, h2), w.hap.URL("/"), http.NoBody, "Cookie", "s="+strings.Repeat("x", 20<<10)); status != http.StatusOK {
			t.Errorf("h2 %t: %d %q", h2, status, text)
		}
	}
}

// TestSharedPort: a host that is passed through and those that the proxy ends TLS for have
// one port. The first that is passed through costs one reload and no request.
func TestSharedPort(t *testing.T) {
	port := tooltest.FreePort(t)
	w := newWorld(t, func(s *render.Settings) {
		s.Binds = append(s.Binds, edge.Bind{Port: port, TLS: true})
		s.TLS = edge.TLS{H2: true, MinVer: edge.DefaultMinVer, Ciphers: edge.DefaultCiphers, Ciphersuites: edge.DefaultCiphersuites}
	})
	if err := os.MkdirAll(filepath.Join(w.hap.Dir, file.CertDir), 0o700); err != nil {
		t.Fatal(err)
	}
	w.renderer.Certify([]file.Certificate{{File: "a.pem", PEM: certtest.Self(t, "a.test").PEM()}})
	passed := task(t, true, false)
	w.deploy("own", []string{"127.0.0.2"}, "servicePath", "/", "allowedAddresses", "127.0.0.1", "port", task(t, false, false))
	w.apply()
	// ask returns the status, and the first name of the certificate that was shown.
	ask := func(name, host string) (int, string) {
		tr := speaker(t, false)
		tr.TLSClientConfig.ServerName = name
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://127.0.0.1:"+strconv.Itoa(port)+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		res, err := tr.RoundTrip(req)
		if err != nil {
			return 0, err.Error()
		}
		defer func() { _ = res.Body.Close() }()
		return res.StatusCode, res.TLS.PeerCertificates[0].DNSNames[0]
	}
	const own, theirs = "a.test", "example.com"
	want := func(name, host, certificate string, status int) {
		t.Helper()
		if got, shown := ask(name, host); got != status || shown != certificate {
			t.Errorf("%s, host %s: %d by %q, want %d by %q", name, host, got, shown, status, certificate)
		}
	}
	want("a.test", "a.test", own, 200)
	stop, asked := make(chan struct{}), make(chan string)
	go func() {
		failed := ""
		for {
			select {
			case <-stop:
				asked <- failed
				return
			default:
				if status, text := ask("a.test", "a.test"); status != http.StatusOK {
					failed = fmt.Sprint(status, " ", text)
				}
			}
		}
	}()
	w.deploy("pass", []string{"127.0.0.2"}, "reqMode", "sni", "srcPort", strconv.Itoa(port), "servicePath", "b.test,*.c.test", "port", passed)
	if res := w.apply(); res.Reload == "" {
		t.Errorf("%+v, want a reload", res)
	}
	want("b.test", "b.test", theirs, 200)
	close(stop)
	if failed := <-asked; failed != "" {
		t.Errorf("while the first name was passed through: %s", failed)
	}
	// The address that decides about the proxy's own hosts is still the client's.
	want("a.test", "a.test", own, 200)
	want("x.c.test", "x.c.test", theirs, 200)
	want("a.test", "b.test", own, 421)
	want("a.test", "y.c.test", own, 421)
	// A whole name of the proxy's comes before all below a name.
	w.deploy("mine", []string{"127.0.0.2"}, "serviceDomain", "mine.c.test", "port", task(t, false, false))
	if res := w.apply(); res.Reload != "" {
		t.Errorf("%+v, want no reload for a further host", res)
	}
	want("mine.c.test", "mine.c.test", own, 200)
	if _, _, err := w.h.Tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if drift, err := w.h.Compare(t.Context()); err != nil || drift != "" {
		t.Errorf("drift %q (%v)", drift, err)
	}
	w.h = w.applier()
	if err := w.h.Adopt(t.Context()); err != nil {
		t.Fatal(err)
	}
	if res := w.apply(); res.Changed {
		t.Errorf("a restart of the controller changed %+v", res)
	}
}
