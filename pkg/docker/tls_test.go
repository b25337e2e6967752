package docker_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"flag"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/docker"
	"github.com/wagglehq/waggle/pkg/dockertest"
)

// authority is a CA that signs certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	a.cert = template
	a.pem, a.key = a.sign(template, nil)
	der, _ := pem.Decode([]byte(a.pem))
	var err error
	if a.cert, err = x509.ParseCertificate(der.Bytes); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *authority) sign(template *x509.Certificate, by *ecdsa.PrivateKey) (string, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	if by == nil {
		by = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, by)
	if err != nil {
		a.t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), key
}

// issue returns a certificate and its key, for an address if there is one.
func (a *authority) issue(address net.IP) (cert, key string) {
	a.t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "someone"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if address != nil {
		template.IPAddresses = []net.IP{address}
	}
	cert, private := a.sign(template, a.key)
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// secured is a daemon as dockerd --tlsverify makes it: it shows a certificate and wants one.
func secured(t *testing.T, ca *authority, address net.IP) *dockertest.Swarm {
	t.Helper()
	cert, key := ca.issue(address)
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AddCert(ca.cert)
	swarm := dockertest.New(t)
	swarm.ServeTLS(&tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients})
	return swarm
}

func TestTheDockerAPIByTLS(t *testing.T) {
	ca, stranger := newAuthority(t, "ours"), newAuthority(t, "a stranger")
	local := net.IPv4(127, 0, 0, 1)
	cert, key := ca.issue(nil)
	foreignCert, foreignKey := stranger.issue(nil)
	folder := t.TempDir()
	for name, text := range map[string]string{"ca.pem": ca.pem, "cert.pem": cert, "key.pem": key} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := func(name string) string { return filepath.Join(folder, name) }
	daemon, elsewhere, plain := secured(t, ca, local), secured(t, ca, net.IPv4(10, 0, 0, 1)), dockertest.New(t)
	for name, c := range map[string]struct {
		tls   docker.TLS
		swarm *dockertest.Swarm
		want  string
	}{
		"all is well":                       {tls: docker.TLS{CA: file("ca.pem"), Cert: file("cert.pem"), Key: app.Secret(file("key.pem"))}},
		"by the texts":                      {tls: docker.TLS{CA: ca.pem, Cert: cert, Key: app.Secret(key)}},
		"by the folder":                     {tls: docker.TLS{CertPath: folder, Verify: true}},
		"another authority":                 {tls: docker.TLS{CA: stranger.pem, Cert: cert, Key: app.Secret(key)}, want: "docker-ca is not the authority"},
		"the authorities of the system":     {tls: docker.TLS{Verify: true}, want: "docker-ca is not the authority"},
		"a daemon of another name":          {tls: docker.TLS{CertPath: folder}, swarm: elsewhere, want: "docker-host must name the daemon as its certificate does"},
		"no certificate of ours":            {tls: docker.TLS{CA: ca.pem}, want: "set docker-cert and docker-key"},
		"one that the daemon cannot know":   {tls: docker.TLS{CA: ca.pem, Cert: foreignCert, Key: app.Secret(foreignKey)}, want: "did an authority that the daemon trusts"},
		"TLS to one that does not speak it": {tls: docker.TLS{CertPath: folder}, swarm: plain, want: "does not speak TLS at this port"},
		"no TLS to one that does":           {want: "if the daemon speaks TLS, set docker-ca"},
	} {
		t.Run(name, func(t *testing.T) {
			swarm := c.swarm
			if swarm == nil {
				swarm = daemon
			}
			client := connect(t, swarm.Host(), docker.AllowScale, docker.WithTLS(c.tls))
			_, err := client.List(t.Context())
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
			if c.want == "" {
				name := strings.ReplaceAll(name, " ", "_")
				swarm.Create(dockertest.Service{Name: name, Replicas: 1, Labels: map[string]string{"com.df.notify": "true"}})
				_, version := swarm.Spec(name)
				if err := client.SetReplicas(t.Context(), name, version, 2); err != nil {
					t.Errorf("what goes past the SDK: %v", err)
				}
			}
		})
	}
}

func TestSettingsOfTLSThatCannotBeMeant(t *testing.T) {
	ca := newAuthority(t, "ours")
	cert, key := ca.issue(nil)
	_, other := ca.issue(nil)
	for name, c := range map[string]struct {
		tls        docker.TLS
		host, want string
	}{
		"a certificate alone":      {tls: docker.TLS{Cert: cert}, want: "docker-cert without docker-key"},
		"a key alone":              {tls: docker.TLS{Key: app.Secret(key)}, want: "docker-key without docker-cert"},
		"a key of something else":  {tls: docker.TLS{Cert: cert, Key: app.Secret(other)}, want: "docker-cert and docker-key: "},
		"a file that is not there": {tls: docker.TLS{CA: "/nowhere/ca.pem"}, want: "docker-ca: open /nowhere/ca.pem"},
		"a file of something else": {tls: docker.TLS{CA: "tls_test.go"}, want: "docker-ca: there is no certificate"},
		"an empty folder":          {tls: docker.TLS{CertPath: t.TempDir()}, want: "ca.pem"},
		"a socket":                 {tls: docker.TLS{CA: ca.pem}, host: docker.DefaultHost, want: "TLS is for tcp://"},
	} {
		if c.host == "" {
			c.host = "tcp://127.0.0.1:1"
		}
		if _, err := docker.Connect(c.host, docker.AllowRead, nil, docker.WithTLS(c.tls)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestTheVariablesOfDockerAreTaken(t *testing.T) {
	for text, want := range map[string]bool{"1": true, "yes": true, "": false, "0": false} {
		var got docker.TLS
		fs := flag.NewFlagSet("test", flag.ContinueOnError)
		got.Flags(fs)
		env := map[string]string{"DOCKER_CERT_PATH": "/certs", "DOCKER_TLS_VERIFY": text}
		err := app.Parse(fs, nil, func(name string) (string, bool) { text, ok := env[name]; return text, ok })
		if err != nil || got.CertPath != "/certs" || bool(got.Verify) != want {
			t.Errorf("DOCKER_TLS_VERIFY=%q: %+v, error %v", text, got, err)
		}
	}
}

func TestACertificateIsReadAgainForEachSession(t *testing.T) {
	ca := newAuthority(t, "ours")
	folder := t.TempDir()
	write := func(by *authority) {
		t.Helper()
		cert, key := by.issue(nil)
		for name, text := range map[string]string{"ca.pem": ca.pem, "cert.pem": cert, "key.pem": key} {
			if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(newAuthority(t, "a stranger"))
	swarm := secured(t, ca, net.IPv4(127, 0, 0, 1))
	c := connect(t, swarm.Host(), docker.AllowRead, docker.WithTLS(docker.TLS{CertPath: folder}))
	if _, err := c.List(t.Context()); err == nil {
		t.Error("a stranger's certificate was taken")
	}
	write(ca)
	if _, err := c.List(t.Context()); err != nil {
		t.Error(err)
	}
}
