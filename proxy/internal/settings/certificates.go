package settings

import (
	"flag"
	"fmt"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/proxy/internal/certs"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/render"
)

// Certificates are the settings of certificates, and of HTTP/3, which goes with them.
type Certificates struct {
	Dir, Preferred, ListPath string
	// SealKey hides uploads on the bus; the token does if it is empty. SealKeyOther opens them
	// too.
	SealKey, SealKeyOther app.Secret
	H3                    bool
	H3Port                int
}

func (c *Certificates) flags(fs *flag.FlagSet) {
	fs.StringVar(&c.Dir, "certs-dir", "/certs", "folder whose files are certificates, each with its chain and its key; changes are seen while the proxy runs")
	fs.StringVar(&c.Preferred, "preferred-certificate", "", "names of certificates that come before all others, the first of which clients get whose name no certificate has; * stands for any text, separated by commas")
	fs.StringVar(&c.ListPath, "crt-list-path", "", "a crt-list of HAProxy's that is used instead of all other certificates, read at every reload")
	app.TokenVar(fs, &c.SealKey, "seal-key", "secret that hides uploaded and obtained certificates on the bus, of 16 bytes or more, the same on all replicas; empty: derived from the first token")
	app.TokenVar(fs, &c.SealKeyOther, "seal-key-other", "a further secret that opens uploaded and obtained certificates, while the one of seal-key is replaced; they are sealed anew")
	fs.BoolVar(&c.H3, "enable-h3", true, "offer HTTP/3 on ports with TLS, by UDP, where HAProxy has QUIC")
	fs.IntVar(&c.H3Port, "h3-port", 0, "the port of HTTP/3 that clients are told of, if it is published by another number; 0: that by which they came")
}

// settings checks the settings and adds them to those of HAProxy.
func (c *Certificates) settings(s *render.Settings) error {
	if err := oneWord(path{"certs-dir", c.Dir}, path{"crt-list-path", c.ListPath}); err != nil {
		return err
	}
	if err := readable("crt-list-path", c.ListPath); err != nil {
		return err
	}
	if c.H3Port < 0 || c.H3Port > 65535 {
		return fmt.Errorf("h3-port: %d: want a port", c.H3Port)
	}
	if _, err := certs.ParsePreferred(c.Preferred); err != nil {
		return fmt.Errorf("preferred-certificate: %w", err)
	}
	s.CertList, s.TLS.H3Port = c.ListPath, c.H3Port
	return nil
}

// PreferredNames are the patterns, which settings has checked.
func (c *Certificates) PreferredNames() []string {
	out, _ := certs.ParsePreferred(c.Preferred)
	return out
}
