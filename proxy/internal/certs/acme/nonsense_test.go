package acme_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/certtest"
	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/acmetest"
	"github.com/wagglehq/waggle/proxy/internal/certs/acme"
)

// alteration changes the answer to a request.
type alteration = func(r *http.Request, answer *httptest.ResponseRecorder)

// says makes an authority answer something else at a path; everywhere, if that is empty.
func says(path string, status int, kind, body string) alteration {
	return func(r *http.Request, answer *httptest.ResponseRecorder) {
		if strings.HasPrefix(r.URL.Path, path) {
			answer.Code = status
			answer.Header().Set("Content-Type", kind)
			answer.Body = bytes.NewBufferString(body)
		}
	}
}

// gives makes an authority give another certificate for the key of the one that it has made.
func gives(t *testing.T, change func(*x509.Certificate)) alteration {
	return func(r *http.Request, answer *httptest.ResponseRecorder) {
		if !strings.HasPrefix(r.URL.Path, acmetest.Certificate) {
			return
		}
		block, _ := pem.Decode(answer.Body.Bytes())
		real, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Error(err)
			return
		}
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Error(err)
			return
		}
		next := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "x"}, DNSNames: real.DNSNames, NotBefore: real.NotBefore, NotAfter: real.NotAfter, AuthorityKeyId: []byte{1, 2, 3}}
		var public crypto.PublicKey = real.PublicKey
		change(next)
		if next.PublicKey != nil {
			public = next.PublicKey
		}
		next.PublicKey = nil
		der, err := x509.CreateCertificate(rand.Reader, next, next, public, key)
		if err != nil {
			t.Error(err)
			return
		}
		answer.Body = bytes.NewBuffer(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
}

const problem = "application/problem+json"

// TestAnAuthorityThatAnswersNonsense: whatever comes is told and breaks nothing: not the certificate
// that there is, nor the next attempt once the authority answers as it should.
func TestAnAuthorityThatAnswersNonsense(t *testing.T) {
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		alter  alteration
		told   []string
		orders int // more than this are not placed until all is well
	}{
		"a page of what stands before it": {says("", http.StatusServiceUnavailable, "text/html", "<h1>Be right back</h1>"), []string{"Pebble is away", "HTTP 503", "Be right back"}, 1},
		"that page in the midst":          {says(acmetest.OrderState, http.StatusBadGateway, "text/html", "<h1>Bad gateway</h1>"), []string{"Pebble is away", "HTTP 502"}, 1},
		"a directory without fields":      {says("/dir", http.StatusOK, "application/json", `{"newNonce":"https://127.0.0.1:1/nonce"}`), []string{"does not say where accounts"}, 1},
		"one without nonces":              {says("/dir", http.StatusOK, "application/json", `{"newOrder":"https://127.0.0.1:1/order","newAccount":"https://127.0.0.1:1/account"}`), []string{"does not say where accounts"}, 1},
		"a directory that is no JSON":     {says("/dir", http.StatusOK, "application/json", "{"), []string{"does not say where accounts"}, 1},
		"a directory of 10 MB":            {says("/dir", http.StatusOK, "application/json", "{"+strings.Repeat(" ", 10<<20)+"}"), []string{"too long"}, 1},
		"a directory that is elsewhere": {func(r *http.Request, answer *httptest.ResponseRecorder) {
			if r.URL.Path == "/dir" {
				answer.Code = http.StatusFound
				answer.Header().Set("Location", "http://127.0.0.1:1/dir")
			}
		}, []string{"leads to an address without TLS"}, 1},
		"a page for an order":              {says(acmetest.NewOrder, http.StatusOK, "text/html", "<h1>It works</h1>"), []string{"(odd)", "text/html"}, 20},
		"a problem of no known type":       {says(acmetest.NewOrder, http.StatusForbidden, problem, `{"type":"urn:ietf:params:acme:error:f7c1","detail":"no"}`), []string{"Pebble says: no (unknown)"}, 20},
		"a problem that calls itself ours": {says(acmetest.NewOrder, http.StatusForbidden, problem, `{"type":"urn:ietf:params:acme:error:bus","detail":"no"}`), []string{"Pebble says: no (unknown)"}, 20},
		"commands to a terminal":           {says(acmetest.NewOrder, http.StatusForbidden, problem, `{"type":"urn:ietf:params:acme:error:caa","detail":"\u001b[2Jgone\u0007"}`), []string{"Pebble says: [2Jgone (caa)"}, 20},
		"a chain of 10 MB":                 {says(acmetest.Certificate, http.StatusOK, "application/pem-certificate-chain", strings.Repeat("x", 10<<20)), []string{"too long"}, 1},
		"a chain of nothing":               {says(acmetest.Certificate, http.StatusOK, "application/pem-certificate-chain", ""), []string{"of no use"}, 20},
		"a chain that leads to itself": {func(r *http.Request, answer *httptest.ResponseRecorder) {
			if strings.HasPrefix(r.URL.Path, acmetest.Certificate) {
				answer.Header().Set("Link", "<https://"+r.Host+r.URL.Path+`>;rel="up"`)
				answer.Body = bytes.NewBufferString("x")
			}
		}, []string{"of no use"}, 20},
		"a certificate for others": {gives(t, func(c *x509.Certificate) { c.DNSNames = []string{"other.example.com"} }), []string{"the certificate is for other.example.com"}, 20},
		"one with another key":     {gives(t, func(c *x509.Certificate) { c.PublicKey = other.Public() }), []string{"its key does not belong to its certificate"}, 20},
		"one that is over": {gives(t, func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-time.Hour)
		}), []string{"of no use: it is good from"}, 20},
		"one that is over before it begins": {gives(t, func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(96*time.Hour), time.Now().Add(72*time.Hour)
		}), []string{"of no use: it is good from"}, 20},
		"a question for somebody else": {func(r *http.Request, answer *httptest.ResponseRecorder) {
			if strings.HasPrefix(r.URL.Path, acmetest.Authorization) {
				answer.Body = bytes.NewBuffer(bytes.ReplaceAll(answer.Body.Bytes(), []byte(`"www.example.com"`), []byte(`"other.example.com"`)))
			}
		}, []string{`the authority asks for "other.example.com"`}, 20},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.Alter(c.alter)
			// There is one that is good, and to be renewed.
			last := certtest.Issue(t, certtest.Options{NotBefore: time.Now().Add(-80 * 24 * time.Hour), NotAfter: time.Now().Add(10 * 24 * time.Hour)}, "www.example.com")
			r := w.start("one", t.TempDir(), nil, func(o *acme.Options) { o.Settings.Pause = 200 * time.Millisecond })
			if err := r.runner.Import(traefikFile(t, "le", last)); err != nil {
				t.Fatal(err)
			}
			w.want(service("web", "www.example.com"))
			w.all("www.example.com")
			first := r.serves("www.example.com")
			w.told("www.example.com", append(c.told, "is not renewed", "tried again at")...)
			if got := r.serves("www.example.com"); got == nil || !got.Equal(first) {
				t.Error("the good one is not served any more")
			}
			w.Alter(nil)
			tooltest.Eventually(t, "it is renewed", func() error {
				if got := r.serves("www.example.com"); got == nil || got.Equal(first) {
					return fmt.Errorf("not yet: %v", r.troubles())
				}
				return nil
			})
			if w.Orders() > c.orders || w.Accounts() != 1 {
				t.Errorf("%d orders, %d accounts", w.Orders(), w.Accounts())
			}
		})
	}
}

// TestAnAuthorityThatWantsToBeAskedInAYear is asked sooner.
func TestAnAuthorityThatWantsToBeAskedInAYear(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Alter(func(r *http.Request, answer *httptest.ResponseRecorder) {
		if r.Method == http.MethodPost {
			answer.Header().Set("Retry-After", "31536000")
		}
	})
	w.start("one", t.TempDir(), nil)
	w.want(service("web", "www.example.com"))
	w.all("www.example.com")
	if w.Orders() != 1 {
		t.Errorf("%d orders", w.Orders())
	}
}

// TestASlowAuthority: an order that takes long goes on, and is not thrown away for another one.
func TestASlowAuthority(t *testing.T) {
	for what, c := range map[string]struct{ path, from, to string }{
		"to look at an answer":  {acmetest.Authorization, `"status": "valid"`, `"status": "pending"`},
		"to make a certificate": {acmetest.OrderState, `"status": "valid"`, `"status": "processing"`},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			second := acmetest.Start(t, w.port, acmetest.DNS(t))
			w.Roots.AddCert(second.Cert)
			w.Alter(func(r *http.Request, answer *httptest.ResponseRecorder) {
				if strings.HasPrefix(r.URL.Path, c.path) {
					answer.Body = bytes.NewBuffer(bytes.Replace(answer.Body.Bytes(), []byte(c.from), []byte(c.to), 1))
				}
			})
			w.three(nil, func(o *acme.Options) {
				o.PollFor = 300 * time.Millisecond
				o.Settings.Authorities = append(o.Settings.Authorities, acme.Authority{Name: "Second", Directory: second.URL})
			})
			w.want(service("web", "www.example.com"))
			w.told("www.example.com", "Pebble is slow", "the same order goes on by itself")
			w.Alter(nil)
			w.all("www.example.com")
			if w.Orders() != 1 || second.Orders() != 0 {
				t.Errorf("%d orders, %d of another authority", w.Orders(), second.Orders())
			}
		})
	}
}

// TestOneAccountWhateverTheAuthoritySays: one that says again and again that it does not know the
// account is told of it again, and no second one is opened.
func TestOneAccountWhateverTheAuthoritySays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Refuse(acmetest.NewOrder, "accountDoesNotExist", "who?", http.StatusBadRequest)
	w.three(nil)
	var hosts []string
	for i := range 8 {
		hosts = append(hosts, fmt.Sprintf("s%d.example.com", i))
	}
	w.want(service("web", hosts...))
	for _, host := range hosts {
		w.told(host, "after 2 tries", "who?")
	}
	w.Refuse("/no-path", "", "", 0)
	w.all(hosts...)
	if w.Accounts() != 1 {
		t.Errorf("%d accounts", w.Accounts())
	}
}

// TestTheAuthorityHasLostEverything: the account is opened again by itself.
func TestTheAuthorityHasLostEverything(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.three(nil)
	w.want(service("web", "www.example.com"))
	w.all("www.example.com")
	address := strings.TrimSuffix(strings.TrimPrefix(w.URL, "https://"), "/dir")
	w.Close()
	next := acmetest.StartWith(t, acmetest.Options{Address: address, InPlaceOf: w.Authority, Port: w.port, Resolver: acmetest.DNS(t)})
	w.want(service("web", "www.example.com", "two.example.com"))
	w.all("www.example.com", "two.example.com")
	if next.Accounts() != 1 {
		t.Errorf("%d accounts", next.Accounts())
	}
}

// TestServicesThatNameManyAddresses cause ten accounts at most; further names are obtained by the
// operator's.
func TestServicesThatNameManyAddresses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.three(nil)
	var hosts []string
	w.want(service("web", "www.example.com"))
	w.all("www.example.com")
	services := []string{}
	for i := range 20 {
		hosts, services = append(hosts, fmt.Sprintf("s%d.example.com", i)), append(services, fmt.Sprintf("me%d@example.com", i))
	}
	list := w.services
	for i, host := range hosts {
		s := service(host, host)
		s.ACME.Hosts, s.ACME.Email = []string{host}, services[i]
		list = append(list, s)
	}
	w.want(list...)
	w.all(hosts...)
	if got := w.Accounts(); got > 10 {
		t.Errorf("%d accounts", got)
	}
}

// TestAWindowThatCannotBe: an authority that would have certificates renewed long after their end,
// before they were made, or at a time that ends before it begins, makes none be lost, and causes no
// order after another.
func TestAWindowThatCannotBe(t *testing.T) {
	const day = 24 * time.Hour
	for what, window := range map[string][2]time.Duration{
		"far in the future": {10000 * day, 10001 * day}, "long ago": {-10000 * day, -9999 * day}, "inverted": {day, -day},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.Alter(func(r *http.Request, answer *httptest.ResponseRecorder) {
				if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "renewal") {
					answer.Header().Set("Retry-After", "31536000")
					answer.Body = bytes.NewBufferString(fmt.Sprintf(`{"suggestedWindow":{"start":%q,"end":%q}}`, time.Now().Add(window[0]).Format(time.RFC3339), time.Now().Add(window[1]).Format(time.RFC3339)))
				}
			})
			r := w.start("one", t.TempDir(), nil)
			w.want(service("web", "www.example.com"))
			w.all("www.example.com")
			first := r.serves("www.example.com")
			tooltest.Eventually(t, "the authority is asked", func() error { return contains(r.dir+"/acme.json", `\"ask\":`) })
			if w.Orders() != 1 {
				t.Errorf("%d orders at once", w.Orders())
			}
			w.ahead.Store(int64(23 * time.Hour))
			w.want(service("web", "www.example.com"))
			tooltest.Eventually(t, "it is renewed", func() error {
				if got := r.serves("www.example.com"); got == nil || got.Equal(first) {
					return errors.New("not yet")
				}
				return nil
			})
			if w.Orders() != 2 {
				t.Errorf("%d orders", w.Orders())
			}
		})
	}
}
