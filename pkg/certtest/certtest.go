// Package certtest makes certificates for tests.
package certtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"testing"
	"time"
)

// Issued is a certificate with its key, each as PEM.
type Issued struct {
	Cert, Key string
	// PKCS1 is the key in the older form of its kind.
	PKCS1       string
	certificate *x509.Certificate
	key         crypto.Signer
}

// PEM is the certificate and the key.
func (i Issued) PEM() string { return i.Cert + i.Key }

// Options change what is issued; zero values are those of an ECDSA certificate, signed
// by itself, of the present month.
type Options struct {
	By        *Issued
	CA        bool
	RSA       int // bits
	NotBefore time.Time
	NotAfter  time.Time
}

// Self returns a certificate for hosts that is signed by itself.
func Self(t testing.TB, hosts ...string) Issued {
	t.Helper()
	return Issue(t, Options{}, hosts...)
}

// Issue returns a certificate for hosts.
func Issue(t testing.TB, o Options, hosts ...string) Issued {
	t.Helper()
	out, err := New(o, hosts...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// New is Issue for what is no test. A host may be an address.
func New(o Options, hosts ...string) (Issued, error) {
	var key crypto.Signer
	var err error
	if o.RSA > 0 {
		key, err = rsa.GenerateKey(rand.Reader, o.RSA)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		return Issued{}, err
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return Issued{}, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: hosts[0]}, DNSNames: hosts,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(30 * 24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true, IsCA: o.CA,
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		}
	}
	if o.CA {
		template.DNSNames, template.KeyUsage = nil, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	}
	if !o.NotBefore.IsZero() {
		template.NotBefore = o.NotBefore
	}
	if !o.NotAfter.IsZero() {
		template.NotAfter = o.NotAfter
	}
	parent, signer := template, key
	if o.By != nil {
		parent, signer = o.By.certificate, o.By.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return Issued{}, err
	}
	out := Issued{key: key, Cert: encode("CERTIFICATE", der)}
	if out.certificate, err = x509.ParseCertificate(der); err != nil {
		return Issued{}, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Issued{}, err
	}
	out.Key = encode("PRIVATE KEY", pkcs8)
	switch k := key.(type) {
	case *rsa.PrivateKey:
		out.PKCS1 = encode("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(k))
	case *ecdsa.PrivateKey:
		sec1, err := x509.MarshalECPrivateKey(k)
		if err != nil {
			return Issued{}, err
		}
		out.PKCS1 = encode("EC PRIVATE KEY", sec1)
	}
	return out, nil
}

func encode(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
