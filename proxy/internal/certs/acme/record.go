package acme

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"strings"
	"time"

	"github.com/wagglehq/waggle/proxy/internal/certs"
)

// Record is what is known of one name. It is one value in the vault, so that each change of it is
// whole, and made by whoever knows the last one.
type Record struct {
	Host string `json:"host"`
	// Chain and Key are PEM, of the certificate in use; Authority is the directory that it came
	// from, empty for one that was imported.
	Chain     string `json:"chain,omitempty"`
	Key       string `json:"key,omitempty"`
	Authority string `json:"authority,omitempty"`
	// From and Until are between which times it is valid.
	From  time.Time `json:"from,omitzero"`
	Until time.Time `json:"until,omitzero"`
	// Got is when it was obtained, by the clock of whoever did; zero for one that was imported.
	Got time.Time `json:"got,omitzero"`
	// Renewal is when the authority wants it to be renewed.
	Renewal *Renewal `json:"renewal,omitempty"`
	// Order is one that has begun and not ended.
	Order *Order `json:"order,omitempty"`
	// Failures counts those since the last certificate, and Last is the last of them. Next is
	// before when nothing is tried, With the number of the authority to be asked then.
	Failures int       `json:"failures,omitempty"`
	Last     *Failure  `json:"last,omitempty"`
	Next     time.Time `json:"next,omitzero"`
	With     int       `json:"with,omitempty"`
}

// Renewal is when an authority wants a certificate to be renewed.
type Renewal struct {
	// At is a moment in the window that it has named; zero: it names none.
	At time.Time `json:"at,omitzero"`
	// Ask is when it is asked again.
	Ask time.Time `json:"ask"`
}

// Order is an order that has begun.
type Order struct {
	Authority string    `json:"authority"`
	Begun     time.Time `json:"begun"`
	// Key is that of the certificate to be, as PEM. It is written down before the order is
	// placed, so that a certificate that somebody else has ordered can be used.
	Key string `json:"key"`
	// URL is where the order lies at the authority, empty before that is known.
	URL string `json:"url,omitempty"`
	// Token and Answer are of the question that the authority asks by HTTP; empty: none.
	Token  string `json:"token,omitempty"`
	Answer string `json:"answer,omitempty"`
}

// Failure is why there is no certificate, or no new one.
type Failure struct {
	Time      time.Time `json:"time"`
	Authority string    `json:"authority"`
	// Kind is the last word of the authority's type of problem, or one of ours.
	Kind string `json:"kind"`
	// Said are the words of the authority, or of whatever kept it from being asked.
	Said string `json:"said"`
}

// The names in the vault.
const (
	namePrefix    = "name/"
	accountPrefix = "account/"
	ordersName    = "orders"
)

func parseRecord(host, text string) (Record, error) {
	r := Record{Host: host}
	if text == "" {
		return r, nil
	}
	if err := json.Unmarshal([]byte(text), &r); err != nil || r.Host != host {
		return Record{Host: host}, errors.New("what is known of it cannot be read")
	}
	return r, nil
}

// leaf is the certificate itself, nil if there is none.
func (r *Record) leaf() *x509.Certificate {
	block, _ := pem.Decode([]byte(r.Chain))
	if block == nil {
		return nil
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	return c
}

// keep makes a certificate with its key the one in use, if it is one for the host.
func (r *Record) keep(chain, key, authority string, now time.Time) error {
	c, err := certs.Parse([]byte(chain + "\n" + key))
	if err != nil {
		return err
	}
	r.Chain, r.Key, r.Authority = chain, key, authority
	r.From, r.Until, r.Got = c.NotBefore, c.NotAfter, now.UTC()
	r.Renewal, r.Order, r.Failures, r.Last, r.Next, r.With = nil, nil, 0, nil, time.Time{}, 0
	return nil
}

// Candidate is the certificate as one that may be served; false if there is none.
func (r *Record) candidate() (certs.Candidate, bool) {
	if r.Chain == "" {
		return certs.Candidate{}, false
	}
	c := certs.Candidate{Name: fileName(r.Host), Source: certs.ACME, Host: r.Host, Text: r.Chain + r.Key}
	c.Certificate, c.Err = certs.Parse([]byte(r.Chain + "\n" + r.Key))
	return c, true
}

// fileName is the name of a certificate for a host.
func fileName(host string) string { return "acme-" + strings.Replace(host, "*", "_", 1) }
