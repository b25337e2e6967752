package bus

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"
)

// The listener's own server proves itself to each component by a key that follows
// from that component's secret, which both know: nothing needs to be distributed,
// nothing expires, and nobody has to issue a certificate.

// serverName asks the server, as a TLS server name, for the key of that identity.
func (id identity) serverName() string {
	sum := sha256.Sum256(id.shown.Public().(ed25519.PublicKey))
	return hex.EncodeToString(sum[:8]) + suffix(id.component)
}

func suffix(component string) string { return "." + component + ".waggle" }

// certificate wraps the key; what it says besides the key counts for nothing.
func (id identity) certificate() (tls.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "waggle"}, DNSNames: []string{id.serverName()},
		NotBefore: time.Unix(0, 0), NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, id.shown.Public(), id.shown)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("bus: certificate for %s: %w", id.component, err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: id.shown}, nil
}

// ServerTLS returns what a server needs to prove itself to each component, from the
// components' settings by name.
func ServerTLS(keys map[string]string) (*tls.Config, error) {
	byName := map[string]*tls.Certificate{}
	for _, component := range slices.Sorted(maps.Keys(keys)) {
		all, err := identities(component, keys[component])
		if err != nil {
			return nil, err
		}
		for i, id := range all {
			certificate, err := id.certificate()
			if err != nil {
				return nil, err
			}
			byName[id.serverName()] = &certificate
			if i == 0 {
				byName[suffix(component)] = &certificate
			}
		}
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if c, ok := byName[hello.ServerName]; ok {
				return c, nil
			}
			// A client whose first key is newer than what this server knows may have
			// this one as its second.
			_, rest, _ := strings.Cut(hello.ServerName, ".")
			if c, ok := byName["."+rest]; ok {
				return c, nil
			}
			return nil, fmt.Errorf("nobody here is called %q", hello.ServerName)
		},
	}, nil
}

// ErrStranger says that a server does not hold the key that was expected of it.
var ErrStranger = errors.New("bus: the server does not hold the key that follows from this component's secret")

// pinned returns the TLS configuration of a client that believes a server with a key
// of these identities, and no other.
func pinned(all []identity) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ServerName: all[0].serverName(),
		//nolint:gosec // The public key itself is compared below, which no issuer and no name could make surer.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) == 0 {
				return ErrStranger
			}
			shown, ok := state.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
			if !ok {
				return ErrStranger
			}
			for _, id := range all {
				if id.shown.Public().(ed25519.PublicKey).Equal(shown) {
					return nil
				}
			}
			return ErrStranger
		},
	}
}
