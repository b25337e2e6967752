package acceptance

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"slices"
	"time"
)

// issuer signs certificates.
type issuer struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// certificates makes what cases name, by file name: of each certificate its own
// (.crt), its key (.key) and both together (.pem).
func certificates(now time.Time) (map[string][]byte, error) {
	files := map[string][]byte{}
	add := func(file, name string, by *issuer) (*issuer, error) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
		if err != nil {
			return nil, err
		}
		template := &x509.Certificate{
			SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
			NotBefore: now.Add(-time.Hour), NotAfter: now.Add(30 * 24 * time.Hour),
			KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		}
		if by == nil {
			template.IsCA, template.DNSNames, template.ExtKeyUsage = true, nil, nil
			template.KeyUsage |= x509.KeyUsageCertSign | x509.KeyUsageCRLSign
			by = &issuer{certificate: template, key: key}
		}
		der, err := x509.CreateCertificate(rand.Reader, template, by.certificate, &key.PublicKey, by.key)
		if err != nil {
			return nil, err
		}
		private, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, err
		}
		crt := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
		files[file+".crt"] = crt
		files[file+".key"] = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
		files[file+".pem"] = slices.Concat(crt, files[file+".key"])
		own, err := x509.ParseCertificate(der)
		return &issuer{certificate: own, key: key}, err
	}
	ca, err := add("ca", "Acceptance CA", nil)
	if err != nil {
		return nil, err
	}
	rogue, err := add("rogue-ca", "Rogue CA", nil)
	if err != nil {
		return nil, err
	}
	for _, c := range []struct {
		file, name string
		by         *issuer
	}{{"a.example.com", "a.example.com", ca}, {"b.example.com", "b.example.com", ca}, {"cl", "client", ca}, {"rogue", "rogue", rogue}} {
		if _, err := add(c.file, c.name, c.by); err != nil {
			return nil, err
		}
	}
	// A CA alone is known by its certificate, without the key.
	files["ca.pem"] = bytes.Clone(files["ca.crt"])
	return files, nil
}
