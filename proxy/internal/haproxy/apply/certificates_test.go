package apply_test

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/certtest"
	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/internal/certs"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/apply"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/render"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/runtime"
	"github.com/wagglehq/waggle/proxy/internal/haproxytest"
	"github.com/wagglehq/waggle/proxy/internal/settings/edge"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/claims"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
)

// secure is a world with a port for TLS.
type secure struct {
	*world
	port int
	list []file.Certificate
}

func newSecure(t *testing.T, changes ...func(*render.Settings)) *secure {
	port := tooltest.FreePort(t)
	w := newWorld(t, append(changes, func(s *render.Settings) {
		s.Binds = append(s.Binds, edge.Bind{Port: port, TLS: true})
		s.TLS.MinVer, s.TLS.H2 = "TLSv1.2", true
	})...)
	if err := w.h.Adopt(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.deploy("web", []string{"127.0.0.2"}, "servicePath", "/")
	w.apply()
	return &secure{world: w, port: port}
}

// issued is a certificate for hosts as HAProxy gets it.
func issued(t *testing.T, name string, hosts ...string) file.Certificate {
	t.Helper()
	c, err := certs.Parse([]byte(certtest.Self(t, hosts...).PEM()))
	if err != nil {
		t.Fatal(err)
	}
	return file.Certificate{File: name, PEM: c.PEM}
}

// serve makes the list the one that is wanted, and wants no reload.
func (s *secure) serve(what string, list ...file.Certificate) {
	s.t.Helper()
	if res := s.reload(list...); res.Reload != "" || !res.Changed {
		s.t.Errorf("%s: %+v, want a change without a reload", what, res)
	}
	s.settled(what)
}

func (s *secure) reload(list ...file.Certificate) apply.Result {
	s.t.Helper()
	s.list = list
	s.renderer.Certify(list)
	return s.apply()
}

// settled wants file and HAProxy to be what was applied.
func (s *secure) settled(what string) {
	s.t.Helper()
	if _, _, err := s.h.Tidy(s.t.Context()); err != nil {
		s.t.Errorf("%s: tidy: %v", what, err)
	}
	if drift, err := s.h.Compare(s.t.Context()); err != nil || drift != "" {
		s.t.Errorf("%s: what runs differs from what was applied: %s (%v)", what, drift, err)
	}
	if err := s.h.CheckFile(s.t.Context()); err != nil {
		s.t.Errorf("%s: %v", what, err)
	}
	files, err := os.ReadDir(filepath.Join(s.hap.Dir, file.CertDir))
	if err != nil || len(files) != len(s.list)+1 {
		s.t.Errorf("%s: %d files of certificates (%v), want those of %d and the default", what, len(files), err, len(s.list))
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o640 {
			s.t.Errorf("%s: %s can be read by others (%v)", what, f.Name(), err)
		}
	}
}

// shows wants a client to get a certificate.
func (s *secure) shows(name string, want file.Certificate) {
	s.t.Helper()
	got, err := haproxytest.Shown(s.t.Context(), s.port, name)
	if err != nil {
		s.t.Errorf("%s: %v", name, err)
		return
	}
	pair, err := tls.X509KeyPair([]byte(want.PEM), []byte(want.PEM))
	if err != nil {
		s.t.Fatal(err)
	}
	if got != string(pair.Certificate[0]) {
		s.t.Errorf("%s is shown another certificate than that of %s", name, want.File)
	}
}

func TestLifeOfCertificates(t *testing.T) {
	s := newSecure(t)
	if _, err := haproxytest.Shown(s.t.Context(), s.port, "a.com"); err == nil {
		t.Error("there is TLS without a certificate")
	}
	a, b := issued(t, "a.pem", "a.com"), issued(t, "b.pem", "b.com", "*.b.com")
	if res := s.reload(a); res.Reload != "frame" {
		t.Errorf("%+v, want a reload that opens the port", res)
	}
	s.settled("the first one")
	s.shows("a.com", a)
	s.shows("unknown.com", a)
	pid := s.h.Running()

	s.serve("a second one", a, b)
	s.shows("www.b.com", b)
	s.shows("unknown.com", a)

	renewed := issued(t, "a.pem", "a.com")
	s.serve("the first is renewed", renewed, b)
	s.shows("a.com", renewed)
	s.shows("unknown.com", renewed)

	first := issued(t, "0.pem", "0.com")
	s.serve("another default", first, renewed, b)
	s.shows("unknown.com", first)
	s.shows("0.com", first)
	s.shows("a.com", renewed)

	narrow := b
	narrow.Only = []string{"*.b.com"}
	s.serve("fewer names", first, renewed, narrow)
	s.shows("www.b.com", b)
	s.shows("b.com", first)

	s.serve("one leaves", renewed)
	s.shows("www.b.com", renewed)
	s.shows("0.com", renewed)
	s.serve("it comes back", renewed, b)
	s.shows("b.com", b)

	if s.h.Running() != pid {
		t.Error("HAProxy reloaded")
	}
	// A controller that starts anew finds nothing to do.
	s.h = s.applier()
	if err := s.h.Adopt(t.Context()); err != nil {
		t.Fatal(err)
	}
	if res := s.apply(); res.Changed {
		t.Errorf("a restart of the controller changed %+v", res)
	}
	if kept := s.h.Certificates(); !kept[b.PEM] || !kept[renewed.PEM] {
		t.Error("it does not know what is served")
	}
	// A worker that starts with the files serves the same.
	if _, err := runtime.NewMaster(s.hap.Master).Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.shows("b.com", b)
	s.shows("unknown.com", renewed)
	s.apply()

	if res := s.reload(); res.Reload != "frame" {
		t.Errorf("%+v, want a reload that closes the port", res)
	}
	if _, err := haproxytest.Shown(s.t.Context(), s.port, "a.com"); err == nil {
		t.Error("there is TLS after the last certificate")
	}
	if files, err := os.ReadDir(filepath.Join(s.hap.Dir, file.CertDir)); err != nil || len(files) > 0 {
		t.Errorf("keys are left: %v, %v", files, err)
	}
	s.want("x.com", "/", "2")
}

func TestRequestsWhileCertificatesChange(t *testing.T) {
	s := newSecure(t)
	s.reload(issued(t, "a.pem", "a.com"))
	load := haproxytest.StartLoad(t, s.hap.URL("/"), 2, true)
	failed := make(chan error, 1)
	stop := make(chan struct{})
	go func() {
		defer close(failed)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := haproxytest.Shown(s.t.Context(), s.port, "a.com"); err != nil {
				failed <- err
				return
			}
		}
	}()
	for i := range 5 {
		s.serve(fmt.Sprintf("change %d", i), issued(t, "a.pem", "a.com"), issued(t, "b.pem", "b.com"))
	}
	close(stop)
	if err := <-failed; err != nil {
		t.Errorf("a handshake failed: %v", err)
	}
	if n, failures := load.Stop(); n == 0 || len(failures) > 0 {
		t.Errorf("of %d requests failed %q", n, failures)
	}
}

func TestLargeCertificates(t *testing.T) {
	s := newSecure(t)
	a := issued(t, "a.pem", "a.com")
	s.reload(a)
	hosts := func(n int) []string {
		out := []string{"large.com"}
		for i := range n {
			out = append(out, fmt.Sprintf("host-%04d.large.com", i))
		}
		return out
	}
	fits := issued(t, "large.pem", hosts(480)...)
	if len(fits.PEM) < 14<<10 {
		t.Fatalf("it has %d bytes, which is not large", len(fits.PEM))
	}
	s.serve("one that just fits", a, fits)
	s.shows("host-0001.large.com", fits)
	large := issued(t, "large.pem", hosts(1000)...)
	if res := s.reload(a, large); res.Reload != "certificate" {
		t.Errorf("%d bytes: %+v, want a reload for the certificate", len(large.PEM), res)
	}
	s.settled("one that is too large for the runtime API")
	s.shows("host-0999.large.com", large)
	s.serve("it leaves", a)
}

func TestARefusedReplacementLeavesTheOldOne(t *testing.T) {
	s := newSecure(t)
	a := issued(t, "a.pem", "a.com")
	s.reload(a)
	client, path := runtime.New(s.hap.Stats), a.Path(s.hap.Dir)
	other := certtest.Self(t, "other.com")
	err := client.ReplaceCert(t.Context(), path, certtest.Self(t, "a.com").Cert+other.Key)
	if err == nil || strings.Contains(err.Error(), "PRIVATE KEY") {
		t.Errorf("a key of another certificate: %v", err)
	}
	s.shows("a.com", a)
	if err := client.AddCert(t.Context(), filepath.Join(s.hap.Dir, file.CertList), filepath.Join(s.hap.Dir, file.CertDir, "b.pem"), other.Cert); err == nil {
		t.Error("a certificate without a key is taken")
	}
	s.settled("after the refusals")
	renewed := issued(t, "a.pem", "a.com")
	s.serve("nothing is in the way of the next one", renewed, issued(t, "b.pem", "b.com"))
	s.shows("a.com", renewed)
}

func TestSomebodyElsesChangeIsDrift(t *testing.T) {
	s := newSecure(t)
	a := issued(t, "a.pem", "a.com")
	s.reload(a)
	if err := runtime.New(s.hap.Stats).ReplaceCert(t.Context(), a.Path(s.hap.Dir), certtest.Self(t, "evil.com").PEM()); err != nil {
		t.Fatal(err)
	}
	if drift, err := s.h.Compare(t.Context()); err != nil || !strings.Contains(drift, "certificate a.pem") {
		t.Errorf("got %q, %v; want it to be found", drift, err)
	}
}

// TestOpenQuestionsAreNoDrift: what HAProxy answers to authorities is read back like everything
// else, or each comparison while an order is open would make it reload.
func TestOpenQuestionsAreNoDrift(t *testing.T) {
	s := newSecure(t, func(s *render.Settings) { s.Challenges = true })
	ask := func(tokens ...string) {
		var all []render.Challenge
		for _, token := range tokens {
			all = append(all, render.Challenge{Host: "a.com", Token: token, Answer: token + ".thumb"})
		}
		s.renderer.SetChallenges(all)
		if res := s.apply(); res.Reload != "" || !res.Changed {
			t.Errorf("%+v, want a change without a reload", res)
		}
		if _, _, err := s.h.Tidy(t.Context()); err != nil {
			t.Error(err)
		}
		if drift, err := s.h.Compare(t.Context()); drift != "" || err != nil {
			t.Errorf("with %v: drift %q, %v", tokens, drift, err)
		}
	}
	ask("one")
	ask("one", "two")
	ask("two")
	if err := runtime.New(s.hap.Stats).ReplaceMap(t.Context(), filepath.Join(s.hap.Dir, file.ChallengesMap), []runtime.Entry{{Key: "b.com/x", Value: "y"}}); err != nil {
		t.Fatal(err)
	}
	if drift, err := s.h.Compare(t.Context()); err != nil || !strings.Contains(drift, file.ChallengesMap) {
		t.Errorf("got %q, %v; want it to be found", drift, err)
	}
}

func TestHAProxyJudgesCertificates(t *testing.T) {
	s := newSecure(t)
	good, small := certtest.Self(t, "a.com").PEM(), certtest.Issue(t, certtest.Options{RSA: 1024}, "a.com").PEM()
	if err := s.h.CheckCertificates(t.Context(), good, certtest.Self(t, "b.com").PEM()); err != nil {
		t.Error(err)
	}
	var refused *apply.CheckError
	if err := s.h.CheckCertificates(t.Context(), good, small); !errors.As(err, &refused) || strings.Contains(err.Error(), s.hap.Dir) {
		t.Errorf("a key that is too small: %v", err)
	}
	left, err := filepath.Glob(filepath.Join(s.hap.Dir, ".check*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left over: %q, %v", left, err)
	}
}

// TestHTTP3: the port answers QUIC, and answers by TLS tell of it. A packet of a version
// that does not exist is answered by the versions that do.
func TestHTTP3(t *testing.T) {
	if can, err := apply.HasQUIC(t.Context(), tooltest.Path(t, "haproxy")); err != nil || !can {
		t.Fatalf("this HAProxy has no QUIC (%v)", err)
	}
	s := newSecure(t, func(s *render.Settings) { s.TLS.H3 = true })
	s.reload(issued(t, "a.pem", "a.com"))
	for _, change := range []func(){
		func() {},
		func() { s.serve("a change", issued(t, "a.pem", "a.com")) },
		func() {
			if _, err := runtime.NewMaster(s.hap.Master).Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
	} {
		change()
		negotiates(t, s.port)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}} //nolint:gosec // its own certificate.
	for url, want := range map[string]string{
		fmt.Sprintf("https://127.0.0.1:%d/", s.port): fmt.Sprintf(`h3=":%d"; ma=3600`, s.port),
		s.hap.URL("/"): "",
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if got := res.Header.Get("Alt-Svc"); got != want {
			t.Errorf("%s: Alt-Svc is %q, want %q", url, got, want)
		}
	}
}

// negotiates sends the first packet of a connection with an unknown version, and wants
// an answer that names QUIC's version 1 (RFC 9000, section 17.2.1).
func negotiates(t *testing.T, port int) {
	t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "udp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	packet := make([]byte, 1200)
	copy(packet, []byte{0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 8})
	_, _ = rand.Read(packet[6:14])
	packet[14] = 8
	_, _ = rand.Read(packet[15:23])
	tooltest.Eventually(t, "QUIC is answered", func() error {
		if _, err := conn.Write(packet); err != nil {
			return err
		}
		if err := conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
			return err
		}
		answer := make([]byte, 1500)
		n, err := conn.Read(answer)
		if err != nil {
			return err
		}
		// A long header of version 0; both connection IDs, exchanged; the versions.
		if n < 27 || answer[0]&0x80 == 0 || string(answer[1:5]) != "\x00\x00\x00\x00" || string(answer[6:14]) != string(packet[15:23]) {
			return fmt.Errorf("the answer is no negotiation: %x", answer[:n])
		}
		if versions := string(answer[23:n]); !strings.Contains(versions, "\x00\x00\x00\x01") {
			return fmt.Errorf("version 1 is not offered: %x", versions)
		}
		return nil
	})
}

// TestRefusedConfigurationLeavesCertificates: HAProxy may start anew at any moment, with the
// last good file, whose certificates must be those that it was checked with.
func TestRefusedConfigurationLeavesCertificates(t *testing.T) {
	s := newSecure(t)
	s.serveFirst(issued(t, "a.pem", "a.com"))
	before := contents(t, s.hap.Dir)
	s.renderer.Certify([]file.Certificate{issued(t, "b.pem", "b.com")})
	d := claims.Settle(mapValues(s.services), s.accepted, labels.Options{})
	f, err := s.renderer.Render(d.Services, d.Tables, func(route.Service, route.Backend) []netip.Addr { return nil })
	if err != nil {
		t.Fatal(err)
	}
	f.Frame = append(f.Frame, file.NewSection("", "nonsense", "", ""))
	var refused *apply.CheckError
	if _, err := s.h.Apply(t.Context(), f); !errors.As(err, &refused) {
		t.Fatalf("got %v, want a refusal", err)
	}
	if after := contents(t, s.hap.Dir); !maps.Equal(before, after) {
		t.Errorf("the files are now\n%q\nwant what was there\n%q", after, before)
	}
}

// serveFirst opens the port with TLS, by a reload.
func (s *secure) serveFirst(list ...file.Certificate) {
	s.t.Helper()
	if res := s.reload(list...); res.Reload == "" {
		s.t.Errorf("the first certificate: %+v, want a reload", res)
	}
	s.settled("the first certificate")
}

// contents are those of the list of certificates and of what it names, by name.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	names, err := filepath.Glob(filepath.Join(dir, file.CertDir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(names, filepath.Join(dir, file.CertList)) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = string(text)
	}
	return out
}
