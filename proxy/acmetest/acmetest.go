// Package acmetest gives tests a real authority, Pebble, in their own process.
package acmetest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/letsencrypt/challtestsrv"
	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"

	"github.com/wagglehq/waggle/pkg/certtest"
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

// Options are what an authority is started with; zero values are usual.
type Options struct {
	// Address is where it listens, a port of 127.0.0.1 if empty.
	Address string
	// InPlaceOf is one that was there before, whose certificate it has: who trusts that one
	// trusts it.
	InPlaceOf *Authority
	// Port is that at which it asks its questions, Resolver the name server that it asks.
	Port     int
	Resolver string
	// Life is how long its certificates are good, a day if 0, and OtherRoots how many further
	// chains it offers for each.
	Life       time.Duration
	OtherRoots int
	// Bound are the keys, by their names, by one of which an account must be bound; nil: no
	// account need be.
	Bound map[string]string
	// Watch, if it is not nil, is told of each request twice: before it is dealt with, and
	// before its answer is given, which is withheld as long as Watch takes.
	Watch func(r *http.Request, moment Moment)
}

// Moment is when a request is told of.
type Moment string

// The moments.
const (
	Asked    Moment = "asked"
	Answered Moment = "answered"
)

// Order is one that was placed.
type Order struct {
	Host   string
	Placed time.Time
	// Finalized is when its certificate was asked for, Fetched when it was first fetched;
	// each is zero before that.
	Finalized, Fetched time.Time
}

// Authority is a real one.
type Authority struct {
	// URL is that of its directory, Cert vouches for that, and Roots has nothing but Cert.
	URL   string
	Cert  *x509.Certificate
	Roots *x509.CertPool

	pair   tls.Certificate
	server *httptest.Server
	manage http.Handler
	watch  func(r *http.Request, moment Moment)

	mu        sync.Mutex // its requests and the test share the rest
	orders    int
	finalized map[string]bool
	accounts  int
	away      bool
	refuse    func(w http.ResponseWriter, r *http.Request) bool
	alter     func(r *http.Request, answer *httptest.ResponseRecorder)
	// placed are the orders by what their addresses end with.
	placed map[string]*Order
}

// Start starts one that asks its questions at a port of 127.0.0.1, and looks names up at a name
// server.
func Start(t *testing.T, port int, resolver string) *Authority {
	t.Helper()
	return StartWith(t, Options{Port: port, Resolver: resolver})
}

// StartWith starts one with options.
func StartWith(t *testing.T, o Options) *Authority {
	t.Helper()
	a, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

// Open is StartWith for what is no test: whoever opens one closes it.
func Open(o Options) (*Authority, error) {
	listener, err := net.Listen("tcp", cmp.Or(o.Address, "127.0.0.1:0")) //nolint:noctx // it is closed with the authority.
	if err != nil {
		return nil, err
	}
	pair, err := o.pair(listener.Addr().(*net.TCPAddr).IP.String())
	if err != nil {
		return nil, err
	}
	a := &Authority{pair: pair, finalized: map[string]bool{}, placed: map[string]*Order{}, watch: o.Watch}
	logger, store := log.New(io.Discard, "", 0), db.NewMemoryStore()
	for name, key := range o.Bound {
		if err := store.AddExternalAccountKeyByID(name, key); err != nil {
			return nil, err
		}
	}
	life := uint64(cmp.Or(o.Life, 24*time.Hour) / time.Second)
	issuer := ca.New(logger, store, "", "ecdsa", o.OtherRoots, 1, map[string]ca.Profile{"default": {Description: "default", ValidityPeriod: life}})
	handler := wfe.New(logger, store, va.New(logger, o.Port, 0, false, o.Resolver, store), issuer, nil, false, o.Bound != nil, 1, 1)
	a.manage = handler.ManagementHandler()
	a.server = &httptest.Server{
		Listener: listener, TLS: &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12},
		Config: &http.Server{Handler: a.answers(handler.Handler()), ErrorLog: logger, ReadHeaderTimeout: time.Minute},
	}
	a.server.StartTLS()
	a.Roots, a.URL = x509.NewCertPool(), a.server.URL+wfe.DirectoryPath
	if a.Cert, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
		a.Close()
		return nil, err
	}
	a.Roots.AddCert(a.Cert)
	return a, nil
}

// pair is the certificate of the authority's own address.
func (o Options) pair(ip string) (tls.Certificate, error) {
	if o.InPlaceOf != nil {
		return o.InPlaceOf.pair, nil
	}
	c, err := certtest.New(certtest.Options{}, ip)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair([]byte(c.Cert), []byte(c.Key))
}

// Close ends it.
func (a *Authority) Close() { a.server.Close() }

// answers deals with requests, and remembers them.
func (a *Authority) answers(inner http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		away, refuse, alter := a.away, a.refuse, a.alter
		a.mu.Unlock()
		if away {
			panic(http.ErrAbortHandler)
		}
		if refuse != nil && refuse(w, r) {
			return
		}
		if a.watch != nil {
			a.watch(r, Asked)
		}
		answer := httptest.NewRecorder()
		inner.ServeHTTP(answer, r)
		a.count(r, answer)
		if a.watch != nil {
			a.watch(r, Answered)
		}
		if alter != nil {
			alter(r, answer)
		}
		maps.Copy(w.Header(), answer.Header())
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes()) // The client has gone; there is nobody to tell.
	})
}

// The paths of what is asked, as Pebble has them.
const (
	NewAccount    = "/sign-me-up"
	NewOrder      = "/order-plz"
	Authorization = "/authZ/"
	Challenge     = "/chalZ/"
	OrderState    = "/my-order/"
	Finalize      = "/finalize-order/"
	Certificate   = "/certZ/"
	RenewalInfo   = "/draft-ietf-acme-ari-03/renewalInfo/"
)

func (a *Authority) count(r *http.Request, answer *httptest.ResponseRecorder) {
	if r.Method != http.MethodPost || answer.Code >= http.StatusMultipleChoices {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch path := r.URL.Path; {
	case strings.HasPrefix(path, NewOrder):
		a.orders++
		a.place(answer)
	case strings.HasPrefix(path, NewAccount) && answer.Code == http.StatusCreated:
		a.accounts++
	case strings.HasPrefix(path, Finalize):
		a.finalized[path] = true
		if o := a.placed[strings.TrimPrefix(path, Finalize)]; o != nil && o.Finalized.IsZero() {
			o.Finalized = time.Now()
		}
	case strings.HasPrefix(path, Certificate):
		if o := a.placed[path]; o != nil && o.Fetched.IsZero() {
			o.Fetched = time.Now()
		}
	case strings.HasPrefix(path, OrderState):
		a.certified(strings.TrimPrefix(path, OrderState), answer)
	}
}

// order is what an authority says of one.
type order struct {
	Identifiers []struct{ Value string }
	Finalize    string
	Certificate string
}

// place remembers an order that was placed.
func (a *Authority) place(answer *httptest.ResponseRecorder) {
	var o order
	if json.Unmarshal(answer.Body.Bytes(), &o) != nil || len(o.Identifiers) != 1 {
		return // it is none that anybody here would place
	}
	_, id, _ := strings.Cut(o.Finalize, Finalize)
	a.placed[id] = &Order{Host: o.Identifiers[0].Value, Placed: time.Now()}
}

// certified remembers where the certificate of an order lies.
func (a *Authority) certified(id string, answer *httptest.ResponseRecorder) {
	var o order
	if json.Unmarshal(answer.Body.Bytes(), &o) != nil || o.Certificate == "" || a.placed[id] == nil {
		return
	}
	if at, err := url.Parse(o.Certificate); err == nil && a.placed[at.Path] == nil {
		a.placed[at.Path] = a.placed[id]
	}
}

// Placed are all orders that were placed, in their order.
func (a *Authority) Placed() []Order {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []Order
	for at, o := range a.placed {
		if !strings.HasPrefix(at, Certificate) {
			out = append(out, *o)
		}
	}
	slices.SortFunc(out, func(x, y Order) int { return x.Placed.Compare(y.Placed) })
	return out
}

// Root is the name of one of the roots to which chains lead: 0 is that of the chain which is
// offered first.
func (a *Authority) Root(n int) (string, error) {
	w := httptest.NewRecorder()
	a.manage.ServeHTTP(w, httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/roots/"+strconv.Itoa(n), nil))
	block, _ := pem.Decode(w.Body.Bytes())
	if block == nil {
		return "", fmt.Errorf("%d %s", w.Code, w.Body)
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "", err
	}
	return c.Subject.CommonName, nil
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
	req := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/set-renewal-info/", bytes.NewReader(body))
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

// Alter makes a function change answers before they are given; nil changes none.
func (a *Authority) Alter(change func(r *http.Request, answer *httptest.ResponseRecorder)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.alter = change
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
		a.refused(r)
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"type":"urn:ietf:params:acme:error:%s","detail":%q,"status":%d}`, kind, detail, status)
		return true
	}
}

// refused counts an order that Refuse has refused.
func (a *Authority) refused(r *http.Request) {
	if strings.HasPrefix(r.URL.Path, NewOrder) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.orders++
	}
}

// DNS is a name server, one for all tests, that says 127.0.0.1 to everything.
func DNS(t *testing.T) (addr string) {
	t.Helper()
	addr, err := NameServer()
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

// NameServer is DNS for what is no test; it may take a moment until it answers.
func NameServer() (addr string, err error) { return startDNS() }

var startDNS = sync.OnceValues(func() (string, error) { //nolint:gochecknoglobals // it has no state of a test's
	listen, err := net.Listen("tcp", "127.0.0.1:0")
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
