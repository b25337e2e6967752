package apply_test

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/render"
	"github.com/wagglehq/waggle/proxy/internal/settings/edge"
)

// revoke writes the list of certificates that an issuer has revoked.
func (i *issuer) revoke(path string, certs ...tls.Certificate) {
	i.t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour)}
	for _, c := range certs {
		cert, err := x509.ParseCertificate(c.Certificate[0])
		tooltest.Must(i.t, err)
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: cert.SerialNumber, RevocationTime: time.Now().Add(-time.Minute)})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, i.cert, i.key)
	tooltest.Must(i.t, err)
	tooltest.Must(i.t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}), 0o600))
}

// TestWhoseCertificate: one authority signs for all clients. A service says which of them it means,
// and learns which one it was; what is revoked opens nothing, and no other service is the worse for it.
func TestWhoseCertificate(t *testing.T) {
	dir := t.TempDir()
	authority := newIssuer(t, "authority")
	authority.file(filepath.Join(dir, "ca.pem"), authority.cert, nil)
	cert, key := authority.make(&x509.Certificate{DNSNames: []string{"a.example.com"}}, time.Hour)
	authority.file(filepath.Join(dir, "a.pem"), cert, key)
	tooltest.Must(t, os.WriteFile(filepath.Join(dir, "list"), []byte(filepath.Join(dir, "a.pem")+"\n"), 0o600))
	shop, jane, other := authority.clientOf("shop", time.Hour), authority.clientOf("Jane Doe", time.Hour), authority.clientOf("shop2", time.Hour)
	stolen, odd := authority.clientOf("shop", time.Hour), authority.clientOf("a\r\nX-Admin: yes", time.Hour)
	authority.revoke(filepath.Join(dir, "crl.pem"), stolen[0])

	port := tooltest.FreePort(t)
	w := newWorld(t, func(s *render.Settings) {
		parsed, err := edge.ParseTLS(edge.DefaultMinVer, "", edge.DefaultCiphers, edge.DefaultCiphersuites)
		tooltest.Must(t, err)
		parsed.CAFile, parsed.CRLFile = filepath.Join(dir, "ca.pem"), filepath.Join(dir, "crl.pem")
		s.Binds = append(s.Binds, edge.Bind{Port: port, TLS: true})
		s.CertList, s.TLS = filepath.Join(dir, "list"), parsed
	})
	tasks := task(t, false, false)
	deploy := func(name string, labels ...string) {
		w.deploy(name, []string{"127.0.0.2"}, append(labels, "servicePath", "/"+name, "port", tasks)...)
	}
	deploy("named", "verifyClientSsl", "true", "clientNames", "shop,Jane Doe", "clientHeader", "X-User")
	deploy("any", "verifyClientSsl", "true", "clientHeader", "X-User")
	deploy("open")
	w.apply()

	for _, c := range []struct {
		name, path string
		certs      []tls.Certificate
		status     int
		user       string
	}{
		{"one that is meant", "/named", shop, 200, "shop"},
		{"a name of two words", "/named", jane, 200, "Jane Doe"},
		{"a longer name", "/named", other, 403, ""},
		{"one that is revoked", "/named", stolen, 403, ""},
		{"nobody", "/named", nil, 403, ""},
		{"any of the authority", "/any", other, 200, "shop2"},
		{"a revoked one is not any", "/any", stolen, 403, ""},
		{"a name that would be two headers", "/any", odd, 403, ""},
		{"a revoked one where none is asked for", "/open", stolen, 200, "evil"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: "a.example.com", //nolint:gosec // the test's own certificates
				GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
					if c.certs == nil {
						return &tls.Certificate{}, nil
					}
					return &c.certs[0], nil
				}}}
			status, text := answer(t, tr, fmt.Sprintf("https://127.0.0.1:%d%s", port, c.path), http.NoBody, "X-User", "evil", "X_user", "evil")
			want := "HTTP/1.1 user=" + c.user + " body=0 0"
			if c.path == "/open" {
				want = "HTTP/1.1 user=" + c.user + c.user + " body=0 0"
			}
			if status != c.status || status == 200 && text != want {
				t.Errorf("%d %q, want %d %q", status, text, c.status, want)
			}
		})
	}
}
