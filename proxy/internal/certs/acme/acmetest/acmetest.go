// Package acmetest gives tests a real authority, Pebble, in their own process.
package acmetest

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/letsencrypt/challtestsrv"
	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"

	"github.com/wagglehq/waggle/pkg/tooltest"
)

// Main is the TestMain of packages whose tests have authorities: Pebble reads the environment.
func Main(m *testing.M) {
	for name, value := range Environment() {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// Environment is how Pebble is kept from being slow and from refusing at random.
func Environment() map[string]string {
	return map[string]string{"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0", "PEBBLE_AUTHZREUSE": "0"}
}

// Authority is a real one, whose certificates are good for a day.
type Authority struct {
	// URL is that of its directory, Cert vouches for that, and Roots has nothing but Cert.
	URL   string
	Cert  *x509.Certificate
	Roots *x509.CertPool

	manage http.Handler

	mu        sync.Mutex // its requests and the test share the rest
	orders    int
	finalized map[string]bool
	accounts  int
	away      bool
	refuse    func(w http.ResponseWriter, r *http.Request) bool
}

// Start starts one that asks its questions at a port of 127.0.0.1, and looks names up at a name
// server.
func Start(t *testing.T, port int, resolver string) *Authority {
	t.Helper()
	a := &Authority{finalized: map[string]bool{}}
	logger, store := log.New(io.Discard, "", 0), db.NewMemoryStore()
	issuer := ca.New(logger, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {Description: "default", ValidityPeriod: 86400}})
	handler := wfe.New(logger, store, va.New(logger, port, 0, false, resolver, store), issuer, nil, false, false, 1, 1)
	inner := handler.Handler()
	a.manage = handler.ManagementHandler()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		away, refuse := a.away, a.refuse
		a.mu.Unlock()
		if away {
			panic(http.ErrAbortHandler)
		}
		if refuse != nil && refuse(w, r) {
			return
		}
		seen := &answer{ResponseWriter: w, status: http.StatusOK}
		inner.ServeHTTP(seen, r)
		a.count(r, seen.status)
	}))
	s.Config.ErrorLog = logger
	s.StartTLS()
	t.Cleanup(s.Close)
	a.Cert, a.Roots, a.URL = s.Certificate(), x509.NewCertPool(), s.URL+wfe.DirectoryPath
	a.Roots.AddCert(a.Cert)
	return a
}

// answer remembers the status.
type answer struct {
	http.ResponseWriter
	status int
}

// WriteHeader is for http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

func (a *Authority) count(r *http.Request, status int) {
	if r.Method != http.MethodPost || status >= http.StatusMultipleChoices {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case strings.HasPrefix(r.URL.Path, "/order-plz"):
		a.orders++
	case strings.HasPrefix(r.URL.Path, "/sign-me-up") && status == http.StatusCreated:
		a.accounts++
	case strings.HasPrefix(r.URL.Path, "/finalize-order/"):
		a.finalized[r.URL.Path] = true
	}
}

// Revise makes it want a certificate to be renewed between two times.
func (a *Authority) Revise(c *x509.Certificate, from, until time.Time) error {
	window := fmt.Sprintf(`{"suggestedWindow":{"start":%q,"end":%q}}`, from.UTC().Format(time.RFC3339), until.UTC().Format(time.RFC3339))
	body, err := json.Marshal(map[string]string{
		"Certificate": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})), "ARIResponse": window,
	})
	if err != nil {
		return err
	}
	w := httptest.NewRecorder()
	req := httptest.NewRequest(http.MethodPost, "/set-renewal-info/", bytes.NewReader(body))
	req.Header.Set("User-Agent", "test")
	a.manage.ServeHTTP(w, req)
	if w.Code != http.StatusOK {
		return fmt.Errorf("%d %s", w.Code, w.Body)
	}
	return nil
}

// PEM is the certificate that vouches for the directory.
func (a *Authority) PEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Cert.Raw}))
}

// Orders is how many were asked for, also those that were refused by Refuse.
func (a *Authority) Orders() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.orders
}

// Given is of how many orders a certificate came.
func (a *Authority) Given() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.finalized)
}

// Accounts is how many were opened.
func (a *Authority) Accounts() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.accounts
}

// Away makes it close each connection without an answer, or answer again.
func (a *Authority) Away(away bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.away = away
}

// Refuse makes it refuse what is asked for at a path, with a problem.
func (a *Authority) Refuse(path, kind, detail string, status int) {
	a.refuseBy(path, kind, detail, status, func() bool { return true })
}

// RefuseOnce is Refuse for a single request.
func (a *Authority) RefuseOnce(path, kind, detail string, status int) {
	var once sync.Once
	a.refuseBy(path, kind, detail, status, func() (is bool) {
		once.Do(func() { is = true })
		return is
	})
}

func (a *Authority) refuseBy(path, kind, detail string, status int, is func() bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refuse = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost || !strings.HasPrefix(r.URL.Path, path) || !is() {
			return false
		}
		a.count(r, http.StatusOK)
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"type":"urn:ietf:params:acme:error:%s","detail":%q,"status":%d}`, kind, detail, status)
		return true
	}
}

// DNS is a name server, one for all tests, that says 127.0.0.1 to everything.
func DNS(t *testing.T) (addr string) {
	t.Helper()
	addr, err := startDNS()
	if err != nil {
		t.Fatal(err)
	}
	tooltest.Eventually(t, "the name server answers", func() error {
		r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		}}
		_, err := r.LookupHost(t.Context(), "a.example.com.")
		return err
	})
	return addr
}

var startDNS = sync.OnceValues(func() (string, error) { //nolint:gochecknoglobals // it has no state of a test's
	listen, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it answers at once.
	if err != nil {
		return "", err
	}
	addr := listen.Addr().String()
	if err := listen.Close(); err != nil {
		return "", err
	}
	s, err := challtestsrv.New(challtestsrv.Config{DNSAddrs: []string{addr}, Log: log.New(io.Discard, "", 0)})
	if err != nil {
		return "", err
	}
	s.SetDefaultDNSIPv4("127.0.0.1")
	s.SetDefaultDNSIPv6("")
	go s.Run()
	return addr, nil
})
