package apply_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/render"
	"github.com/wagglehq/waggle/proxy/internal/settings/edge"
)

// echo serves at 127.0.0.5 and answers with the headers that it got, as "name: value" lines.
func echo(t *testing.T) (port string) {
	t.Helper()
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.5:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("X-Asked", r.RequestURI)
		_ = r.Header.Write(w)
	}))
	_ = srv.Listener.Close()
	srv.Listener = ln
	srv.Start()
	t.Cleanup(srv.Close)
	return strconv.Itoa(ln.Addr().(*net.TCPAddr).Port)
}

// ask sends a request and returns status and body.
func ask(t *testing.T, c *http.Client, url string, header ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Authorization" {
			user, password, _ := strings.Cut(header[i+1], ":")
			req.SetBasicAuth(user, password)
			continue
		}
		req.Header.Set(header[i], header[i+1])
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Proto + "\n" + string(body)
}

// TestStatisticsStayOnTheirPort: they are never on a port for requests, and who has a
// password must be named.
func TestStatisticsStayOnTheirPort(t *testing.T) {
	port := tooltest.FreePort(t)
	at := func(path string) string { return fmt.Sprintf("http://127.0.0.1:%d%s", port, path) }
	for _, c := range []struct {
		name      string
		s         render.Statistics
		url, auth string
		status    int
	}{
		{"by default everybody who reaches the port", render.Statistics{URI: "/"}, "/admin?stats", "", 200},
		{"without a password 401", render.Statistics{URI: "/st", User: "adm", Password: "p:w #$x"}, "/st", "", 401},
		{"with a wrong one 401", render.Statistics{URI: "/st", User: "adm", Password: "p:w #$x"}, "/st", "adm:pw", 401},
		{"with the right one", render.Statistics{URI: "/st", User: "adm", Password: "p:w #$x"}, "/st", "adm:p:w #$x", 200},
		{"nothing else is there", render.Statistics{URI: "/st", User: "adm", Password: "pw"}, "/a", "adm:pw", 503},
		{"metrics need no password", render.Statistics{URI: "/st", User: "adm", Password: "pw"}, "/metrics", "", 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, func(s *render.Settings) {
				s.Statistics = c.s
				s.Statistics.Port = port
			})
			w.deploy("web", []string{"127.0.0.2"}, "servicePath", "/web")
			w.apply()
			var header []string
			if c.auth != "" {
				header = []string{"Authorization", c.auth}
			}
			if status, body := ask(t, http.DefaultClient, at(c.url), header...); status != c.status {
				t.Errorf("status %d, want %d: %.200s", status, c.status, body)
			}
			for _, path := range []string{"/st", "/admin?stats", "/metrics"} {
				if status, _ := ask(t, http.DefaultClient, w.hap.URL(path)); status != 503 {
					t.Errorf("%s on the port for requests is answered %d, want 503", path, status)
				}
			}
		})
	}
}

// TestPorts: a further port is opened, and srcPort tells them apart.
func TestPorts(t *testing.T) {
	second := tooltest.FreePort(t)
	w := newWorld(t, func(s *render.Settings) { s.Binds = append(s.Binds, edge.Bind{Port: second}) })
	first := strconv.Itoa(w.hap.Port)
	w.deploy("one", []string{"127.0.0.2"}, "servicePath", "/", "srcPort", first)
	w.deploy("two", []string{"127.0.0.3"}, "servicePath", "/", "srcPort", strconv.Itoa(second))
	w.apply()
	for url, who := range map[string]string{w.hap.URL("/"): "127.0.0.2", fmt.Sprintf("http://127.0.0.1:%d/", second): "127.0.0.3"} {
		if _, body := ask(t, http.DefaultClient, url); !strings.HasSuffix(body, who) {
			t.Errorf("%s is answered %q, want %s", url, body, who)
		}
	}
}

// TestProxyProtocol: the client's address of the header reaches the service, if whoever
// sends it may.
func TestProxyProtocol(t *testing.T) {
	const header = "PROXY TCP4 203.0.113.9 127.0.0.1 5000 80\r\n"
	own := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	for _, c := range []struct {
		name, header       string
		trusted, untrusted []netip.Prefix
		want               string
	}{
		{"nobody says who may", header, nil, nil, "X-Forwarded-For: 203.0.113.9\r\n"},
		{"one who is trusted", header, own, nil, "X-Forwarded-For: 203.0.113.9\r\n"},
		{"a stranger", header, []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, nil, "HTTP/1.1 400"},
		{"a stranger without a header", "", []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, nil, "X-Forwarded-For: 127.0.0.1\r\n"},
		{"a task on a network of the proxy's", header, nil, own, "HTTP/1.1 400"},
		{"the same, where all are trusted", header, []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}, own, "HTTP/1.1 400"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, func(s *render.Settings) {
				s.Binds[0].AcceptProxy, s.TrustedProxies, s.Untrusted = true, c.trusted, c.untrusted
			})
			w.deploy("web", []string{"127.0.0.5"}, "servicePath", "/a", "port", echo(t))
			w.apply()
			conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", w.hap.Port))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if _, err := io.WriteString(conn, c.header+"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			answer, err := io.ReadAll(conn)
			if err != nil || !strings.Contains(string(answer), c.want) {
				t.Errorf("answer (%v):\n%s", err, answer)
			}
		})
	}
}

// TestRawLines: with the operator's switch they hold for all services.
func TestRawLines(t *testing.T) {
	w := newWorld(t, func(s *render.Settings) {
		s.ExtraFrontend = edge.RawLines("http-request set-header X-EF 1, http-request deny if { path /never }")
		s.ExtraGlobal = edge.RawLines("tune.http.maxhdr 120")
	})
	w.deploy("web", []string{"127.0.0.5"}, "servicePath", "/", "port", echo(t))
	w.apply()
	if status, body := ask(t, http.DefaultClient, w.hap.URL("/a")); status != 200 || !strings.Contains(body, "X-Ef: 1") {
		t.Errorf("%d %s", status, body)
	}
	if status, _ := ask(t, http.DefaultClient, w.hap.URL("/never")); status != 403 {
		t.Errorf("%d, want 403", status)
	}
}

// TestDefaultsOfServices: compression for all, and answers of one's own to errors.
func TestDefaultsOfServices(t *testing.T) {
	file := filepath.Join(t.TempDir(), "503.http")
	if err := os.WriteFile(file, []byte("HTTP/1.0 503 Busy\r\nContent-Type: text/plain\r\n\r\ncome back later\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(s *render.Settings) {
		s.Compression = render.Compression{Algo: "gzip", Types: []string{"text/plain"}}
		s.ErrorFiles = []render.ErrorFile{{Status: 503, Path: file}}
		s.ConnectionMode = "http-server-close"
	})
	w.deploy("web", []string{"127.0.0.5"}, "servicePath", "/a", "port", echo(t))
	w.apply()
	plain := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	_, body := ask(t, plain, w.hap.URL("/a"), "Accept-Encoding", "gzip", "X-Probe", "1")
	_, packed, _ := strings.Cut(body, "\n")
	r, err := gzip.NewReader(strings.NewReader(packed))
	if err != nil {
		t.Fatalf("the answer is not compressed: %v", err)
	}
	if text, err := io.ReadAll(r); err != nil || !strings.Contains(string(text), "X-Probe: 1") {
		t.Errorf("%s (%v)", text, err)
	}
	if status, body := ask(t, plain, w.hap.URL("/b")); status != 503 || !strings.Contains(body, "come back later") {
		t.Errorf("%d %s", status, body)
	}
}

// TestLogIsJSON: every line of a request is an object, whatever the request said, and
// without access-log only failed ones are told.
func TestLogIsJSON(t *testing.T) {
	for _, all := range []bool{true, false} {
		t.Run(fmt.Sprintf("all=%v", all), func(t *testing.T) {
			w := newWorld(t, func(s *render.Settings) {
				s.AccessLog, s.Captures = all, []edge.Capture{{Header: "User-Agent", Len: 64}}
			})
			w.deploy("web", []string{"127.0.0.2"}, "servicePath", "/a")
			w.apply()
			ask(t, http.DefaultClient, w.hap.URL("/a?password=geheim"), "User-Agent", `x"y\{`)
			ask(t, http.DefaultClient, w.hap.URL("/missing"), "User-Agent", "last")
			type line struct {
				Time, Client, Backend, Server, Method, Path string
				Status                                      int
				Agent                                       string `json:"header_user_agent"`
			}
			var lines []line
			tooltest.Eventually(t, "both requests are logged", func() error {
				text, err := os.ReadFile(filepath.Join(w.hap.Dir, "log"))
				if err != nil {
					return err
				}
				if bytes.Contains(text, []byte("geheim")) {
					t.Fatal("the log shows the query")
				}
				lines = nil
				for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
					if !strings.HasPrefix(s.Text(), "{") {
						continue
					}
					var l line
					if err := json.Unmarshal(s.Bytes(), &l); err != nil {
						t.Fatalf("%s: %v", s.Text(), err)
					}
					lines = append(lines, l)
				}
				if len(lines) == 0 || lines[len(lines)-1].Agent != "last" {
					return errors.New(string(text))
				}
				return nil
			})
			failed := lines[len(lines)-1]
			if failed.Status != 503 || failed.Path != "/missing" || failed.Client != "127.0.0.1" {
				t.Errorf("%+v", failed)
			}
			if _, err := time.Parse("2006-01-02T15:04:05.000Z", failed.Time); err != nil {
				t.Error(err)
			}
			if !all {
				if len(lines) != 1 {
					t.Errorf("%+v, want the failed request alone", lines)
				}
				return
			}
			if good := lines[0]; len(lines) != 2 || good.Status != 200 || good.Path != "/a" || good.Agent != `x"y\{` || good.Server != "127.0.0.2" {
				t.Errorf("%+v", lines)
			}
		})
	}
}

// issuer is an authority of the test.
type issuer struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newIssuer(t *testing.T, name string) *issuer {
	i := &issuer{t: t}
	i.cert, i.key = i.make(&x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}, time.Hour)
	return i
}

// make signs a certificate, by itself if there is no authority yet.
func (i *issuer) make(template *x509.Certificate, lasts time.Duration) (*x509.Certificate, *ecdsa.PrivateKey) {
	i.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		i.t.Fatal(err)
	}
	template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-2*time.Hour), time.Now().Add(lasts)
	parent, signer := i.cert, i.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		i.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		i.t.Fatal(err)
	}
	return cert, key
}

func (i *issuer) client(lasts time.Duration) []tls.Certificate {
	return i.clientOf("client", lasts)
}

func (i *issuer) clientOf(name string, lasts time.Duration) []tls.Certificate {
	cert, key := i.make(&x509.Certificate{Subject: pkix.Name{CommonName: name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, lasts)
	return []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}
}

// file writes a certificate, and its key if there is one.
func (i *issuer) file(path string, cert *x509.Certificate, key *ecdsa.PrivateKey) {
	i.t.Helper()
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
	if key != nil {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			i.t.Fatal(err)
		}
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		i.t.Fatal(err)
	}
}

// TestTLS: versions, protocols, and client certificates, which are a matter of the
// services that ask for them.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	authority, rogue := newIssuer(t, "authority"), newIssuer(t, "rogue")
	authority.file(filepath.Join(dir, "ca.pem"), authority.cert, nil)
	cert, key := authority.make(&x509.Certificate{DNSNames: []string{"a.example.com"}}, time.Hour)
	authority.file(filepath.Join(dir, "a.pem"), cert, key)
	if err := os.WriteFile(filepath.Join(dir, "list"), []byte(filepath.Join(dir, "a.pem")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	port := tooltest.FreePort(t)
	start := func(t *testing.T, change func(*edge.TLS)) {
		w := newWorld(t, func(s *render.Settings) {
			parsed, err := edge.ParseTLS(edge.DefaultMinVer, "", edge.DefaultCiphers, edge.DefaultCiphersuites)
			if err != nil {
				t.Fatal(err)
			}
			parsed.H2, parsed.CAFile = true, filepath.Join(dir, "ca.pem")
			change(&parsed)
			s.Binds = append(s.Binds, edge.Bind{Port: port, TLS: true})
			s.CertList, s.TLS = filepath.Join(dir, "list"), parsed
		})
		w.deploy("closed", []string{"127.0.0.2"}, "servicePath", "/closed", "verifyClientSsl", "true")
		w.deploy("open", []string{"127.0.0.2"}, "servicePath", "/open")
		w.apply()
		if status, _ := ask(t, http.DefaultClient, w.hap.URL("/closed")); status != 403 {
			t.Errorf("without TLS: %d, want 403", status)
		}
		if status, err := tooltest.Status(t.Context(), fmt.Sprintf("http://127.0.0.1:%d/open", port)); err == nil && status == 200 {
			t.Error("the port for TLS speaks clear text")
		}
	}
	client := func(change func(*tls.Config)) *http.Client {
		roots := x509.NewCertPool()
		roots.AddCert(authority.cert)
		c := &tls.Config{RootCAs: roots, ServerName: "a.example.com", ClientSessionCache: tls.NewLRUClientSessionCache(4)}
		change(c)
		return &http.Client{Transport: &http.Transport{TLSClientConfig: c, ForceAttemptHTTP2: true, DisableKeepAlives: true}}
	}
	url := func(path string) string { return fmt.Sprintf("https://127.0.0.1:%d%s", port, path) }

	t.Run("defaults", func(t *testing.T) {
		start(t, func(*edge.TLS) {})
		for _, c := range []struct {
			name   string
			certs  []tls.Certificate
			closed int
		}{
			{"no certificate", nil, 403},
			{"one of the authority", authority.client(time.Hour), 200},
			{"one of another authority", rogue.client(time.Hour), 403},
			{"one that has expired", authority.client(-time.Hour), 403},
		} {
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				h := client(func(t *tls.Config) {
					t.MinVersion, t.MaxVersion = version, version
					// Not Certificates, of which Go sends only what the server's list of authorities fits.
					t.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
						if c.certs == nil {
							return &tls.Certificate{}, nil
						}
						return &c.certs[0], nil
					}
				})
				for range 2 { // the second time the session is resumed
					if status, body := ask(t, h, url("/closed")); status != c.closed || !strings.HasPrefix(body, "HTTP/2.0") {
						t.Errorf("%s, %s: %d %.20s, want %d over HTTP/2", c.name, tls.VersionName(version), status, body, c.closed)
					}
				}
				if status, _ := ask(t, h, url("/open")); status != 200 {
					t.Errorf("%s: %d on a service that asks for none, want 200", c.name, status)
				}
			}
		}
		old := client(func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 })
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url("/open"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if res, err := old.Do(req); err == nil {
			_ = res.Body.Close()
			t.Error("TLS 1.1 is spoken")
		}
	})
	t.Run("no HTTP/2, TLS 1.3 alone", func(t *testing.T) {
		start(t, func(s *edge.TLS) { s.H2, s.MinVer = false, "TLSv1.3" })
		if status, body := ask(t, client(func(*tls.Config) {}), url("/open")); status != 200 || !strings.HasPrefix(body, "HTTP/1.1") {
			t.Errorf("%d %.20s, want HTTP/1.1", status, body)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url("/open"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if res, err := client(func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }).Do(req); err == nil {
			_ = res.Body.Close()
			t.Error("TLS 1.2 is spoken")
		}
	})
}
