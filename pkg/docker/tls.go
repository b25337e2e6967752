package docker

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/containerd/errdefs"
	"github.com/wagglehq/waggle/pkg/app"
)

// TLS says how a daemon at tcp:// proves itself, and how we do. Each text is the name of
// a file or, as an environment variable with _FILE gives it, what is in it (PEM). What
// the daemon shows is always verified. The zero value is no TLS.
type TLS struct {
	// CA are the authorities that may have signed the daemon's certificate; without
	// it those of the system.
	CA string
	// Cert and Key are what we show to a daemon that asks for it.
	Cert string
	Key  app.Secret
	// CertPath is a folder in which the three are ca.pem, cert.pem and key.pem, as far
	// as they are not given.
	CertPath string
	// Verify asks for TLS although none of the others is given.
	Verify Switch
}

// Switch is a flag that is on if it is given any text, as docker takes its variables
// (DOCKER_TLS_VERIFY), but for "0" and "false".
type Switch bool

// String is "true" or "false".
func (s *Switch) String() string { return fmt.Sprint(bool(*s)) }

// Set never fails.
func (s *Switch) Set(text string) error {
	*s = Switch(text != "" && text != "0" && !strings.EqualFold(text, "false"))
	return nil
}

// IsBoolFlag lets the flag stand without a text.
func (s *Switch) IsBoolFlag() bool { return true }

// Flags declares the settings.
func (t *TLS) Flags(fs *flag.FlagSet) {
	fs.StringVar(&t.CA, "docker-ca", "", "authorities that sign the certificate of a Docker API at tcp://: a file, or its text; empty: those of the system")
	fs.StringVar(&t.Cert, "docker-cert", "", "certificate that is shown to a Docker API at tcp://: a file, or its text")
	fs.Var(&t.Key, "docker-key", "key of docker-cert: a file, or its text")
	fs.StringVar(&t.CertPath, "docker-cert-path", "", "folder with ca.pem, cert.pem and key.pem instead of the three")
	fs.Var(&t.Verify, "docker-tls-verify", "speak TLS to a Docker API at tcp:// although none of these is set; what it shows is verified in any case")
}

// WithTLS makes a client speak TLS if one of the settings asks for it. Files are read
// again for each new session, so that certificates can be renewed.
func WithTLS(t TLS) Option { return func(c *Client) { c.tls = t } }

func (t TLS) wanted() bool { return t != TLS{} }

// filled adds what the folder has.
func (t TLS) filled() TLS {
	if t.CertPath == "" {
		return t
	}
	file := func(name string) string {
		path := filepath.Join(t.CertPath, name)
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) && name != "ca.pem" {
			return "" // a daemon need not ask for a certificate
		}
		return path
	}
	if t.CA == "" {
		t.CA = file("ca.pem")
	}
	if t.Cert == "" && t.Key == "" {
		t.Cert, t.Key = file("cert.pem"), app.Secret(file("key.pem"))
	}
	return t
}

// config returns nil if TLS is not wanted.
func (t TLS) config() (*tls.Config, error) {
	if !t.wanted() {
		return nil, nil
	}
	t = t.filled()
	out := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CA != "" {
		text, err := pem("docker-ca", t.CA)
		if err != nil {
			return nil, err
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(text) {
			return nil, errors.New("docker: docker-ca: there is no certificate (PEM) in it")
		}
	}
	switch {
	case t.Cert == "" && t.Key == "":
		return out, nil
	case t.Cert == "":
		return nil, errors.New("docker: docker-key without docker-cert: set both, or none")
	case t.Key == "":
		return nil, errors.New("docker: docker-cert without docker-key: set both, or none")
	}
	cert, err := pem("docker-cert", t.Cert)
	if err != nil {
		return nil, err
	}
	key, err := pem("docker-key", string(t.Key))
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("docker: docker-cert and docker-key: %w", err)
	}
	out.Certificates = []tls.Certificate{pair}
	return out, nil
}

// pem returns the text of a setting, or that of the file that it names.
func pem(setting, text string) ([]byte, error) {
	if strings.Contains(text, "-----BEGIN ") {
		return []byte(text), nil
	}
	content, err := os.ReadFile(text)
	if err != nil {
		return nil, fmt.Errorf("docker: %s: %w", setting, err)
	}
	return content, nil
}

// whyNotConnected says what to do about a connection on which TLS failed.
func (c *Client) whyNotConnected(err error) error {
	if c.host.Scheme != "tcp" {
		return err
	}
	if !c.tls.wanted() {
		if errdefs.IsInvalidArgument(err) {
			return fmt.Errorf("%w: if the daemon speaks TLS, set docker-ca, docker-cert and docker-key", err)
		}
		return err
	}
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var alert *net.OpError
	switch {
	case errors.As(err, &authority):
		return fmt.Errorf("%w: docker-ca is not the authority that signed the daemon's certificate", err)
	case errors.As(err, &name):
		return fmt.Errorf("%w: docker-host must name the daemon as its certificate does", err)
	case errors.As(err, new(tls.RecordHeaderError)), errors.Is(err, http.ErrSchemeMismatch):
		return fmt.Errorf("%w: the daemon does not speak TLS at this port (2376, as a rule)", err)
	case errors.As(err, &alert) && alert.Op == "remote error", errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		if t := c.tls.filled(); t.Cert == "" {
			return fmt.Errorf("%w: the daemon wants a certificate: set docker-cert and docker-key", err)
		}
		return fmt.Errorf("%w: did an authority that the daemon trusts (its --tlscacert) sign docker-cert?", err)
	}
	return err
}
