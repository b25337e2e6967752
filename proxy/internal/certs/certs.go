// Package certs reads certificates and decides which are served: for which names, and
// which one to clients that name none of these. It is pure.
package certs

import (
	"bytes"
	"crypto"
	"crypto/sha1" //nolint:gosec // HAProxy tells certificates apart by it; nothing is proven by it.
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// MaxBytes is the largest certificate with chain and key that is read.
const MaxBytes = 128 << 10

// Certificate is a certificate with its key.
type Certificate struct {
	// PEM is the leaf, what leads from it to its authority, and the key, in this order.
	PEM string
	// Subject is the name of the owner in words, Names are the hosts, in lower case.
	Subject string
	Names   []string
	// Fingerprint is the SHA-1 of the leaf as HAProxy writes it.
	Fingerprint         string
	NotBefore, NotAfter time.Time
}

// Parse reads PEM: a certificate, its chain and its key, in any order. The error says
// what is wrong in words, and never repeats what was read.
func Parse(data []byte) (Certificate, error) {
	if len(data) > MaxBytes {
		return Certificate{}, fmt.Errorf("it has %d bytes, and %d are the most", len(data), MaxBytes)
	}
	var (
		chain []*x509.Certificate
		key   crypto.Signer
		found bool
	)
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		found = true
		switch {
		case block.Type == "CERTIFICATE":
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return Certificate{}, errors.New("a certificate in it cannot be read")
			}
			if !slices.ContainsFunc(chain, c.Equal) {
				chain = append(chain, c)
			}
		case block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"):
			return Certificate{}, errors.New("its key is protected by a password: want the key without one")
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			k, err := parseKey(block)
			if err != nil {
				return Certificate{}, err
			}
			if key != nil && !equal(key.Public(), k.Public()) {
				return Certificate{}, errors.New("it has two keys: want the one of the certificate")
			}
			key = k
		}
	}
	switch {
	case !found:
		return Certificate{}, errors.New("it is not PEM: want a certificate, its chain and its key, each between BEGIN and END")
	case len(chain) == 0:
		return Certificate{}, errors.New("it has no certificate")
	case key == nil:
		return Certificate{}, errors.New("it has no key")
	}
	leaf := slices.IndexFunc(chain, func(c *x509.Certificate) bool { return equal(key.Public(), c.PublicKey) })
	if leaf < 0 {
		return Certificate{}, errors.New("its key does not belong to its certificate")
	}
	return assemble(ordered(chain, chain[leaf]), key)
}

// parseKey reads a key in any of its forms.
func parseKey(block *pem.Block) (crypto.Signer, error) {
	var (
		key any
		err error
	)
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	signer, ok := key.(crypto.Signer)
	if err != nil || !ok {
		return nil, errors.New("its key cannot be read: want RSA, ECDSA or Ed25519, as PKCS #1, SEC 1 or PKCS #8")
	}
	return signer, nil
}

// equal compares public keys.
func equal(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

// ordered is the leaf and what leads from it upwards. What does not belong to it is
// left out.
func ordered(all []*x509.Certificate, leaf *x509.Certificate) []*x509.Certificate {
	out := []*x509.Certificate{leaf}
	for len(out) < len(all) {
		last := out[len(out)-1]
		i := slices.IndexFunc(all, func(c *x509.Certificate) bool {
			return bytes.Equal(c.RawSubject, last.RawIssuer) && !slices.ContainsFunc(out, c.Equal) && last.CheckSignatureFrom(c) == nil
		})
		if i < 0 {
			break
		}
		out = append(out, all[i])
	}
	return out
}

func assemble(chain []*x509.Certificate, key crypto.Signer) (Certificate, error) {
	var text bytes.Buffer
	for _, c := range chain {
		text.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Certificate{}, errors.New("its key is of no kind that can be served")
	}
	text.Write(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	leaf := chain[0]
	sum := sha1.Sum(leaf.Raw) //nolint:gosec // see above.
	return Certificate{
		PEM: text.String(), Subject: leaf.Subject.String(), Names: names(leaf), Fingerprint: strings.ToUpper(hex.EncodeToString(sum[:])),
		NotBefore: leaf.NotBefore.UTC(), NotAfter: leaf.NotAfter.UTC(),
	}, nil
}

// names are the hosts of a certificate. A text that is no host name is none.
func names(c *x509.Certificate) []string {
	all := c.DNSNames
	if len(all) == 0 {
		all = []string{c.Subject.CommonName}
	}
	var out []string
	for _, n := range all {
		if n = strings.ToLower(n); hostName(n) && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// hostName reports whether a text is a name, or a wildcard, without anything in it that
// means something in a crt-list.
func hostName(text string) bool {
	rest := strings.TrimPrefix(text, "*.")
	return rest != "" && strings.Trim(rest, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == ""
}

// Expired says why a certificate is not served any more, nil if it is.
func (c Certificate) Expired(now time.Time) error {
	if now.After(c.NotAfter) {
		return fmt.Errorf("it has expired at %s", c.NotAfter.Format(time.RFC3339))
	}
	return nil
}

// maxName bounds a name, which is a file's too.
const maxName = 200

// CheckName says what is wrong with the name of an upload, nil if nothing is.
func CheckName(name string) error {
	switch {
	case name == "":
		return errors.New("want a name for the certificate")
	case len(name) > maxName || strings.HasPrefix(name, ".") || !plainName(name):
		return fmt.Errorf("the name %.80q: want letters, digits and . _ - that begin with no dot, at most %d", name, maxName)
	}
	return nil
}

func plainName(name string) bool {
	return strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == ""
}
