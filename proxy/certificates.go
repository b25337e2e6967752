package proxy

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/reconcile"
	"github.com/wagglehq/waggle/proxy/internal/certs"
	"github.com/wagglehq/waggle/proxy/internal/certs/sealed"
	"github.com/wagglehq/waggle/proxy/internal/certs/store"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/apply"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/render"
)

// Certificates are the settings of certificates, and of HTTP/3, which goes with them.
type Certificates struct {
	Dir, Preferred, ListPath string
	// SealKey hides uploads on the bus; the token does if it is empty.
	SealKey app.Secret
	H3      bool
	H3Port  int
}

// lookEvery is how often folders and secrets are looked at.
const lookEvery = 2 * time.Second

// sealPurpose keeps the key of uploads apart from other uses of the same secret.
const sealPurpose = "waggle proxy certificates"

func (c *Certificates) flags(fs *flag.FlagSet) {
	fs.StringVar(&c.Dir, "certs-dir", "/certs", "folder whose files are certificates, each with its chain and its key; changes are seen while the proxy runs")
	fs.StringVar(&c.Preferred, "preferred-certificate", "", "names of certificates that come before all others, the first of which clients get whose name no certificate has; * stands for any text, separated by commas")
	fs.StringVar(&c.ListPath, "crt-list-path", "", "a crt-list of HAProxy's that is used instead of all other certificates, read at every reload")
	fs.Var(&c.SealKey, "seal-key", "secret that hides uploaded certificates on the bus, the same on all replicas; empty: derived from token")
	fs.BoolVar(&c.H3, "enable-h3", true, "offer HTTP/3 on ports with TLS, by UDP, where HAProxy has QUIC")
	fs.IntVar(&c.H3Port, "h3-port", 0, "the port of HTTP/3 that clients are told of, if it is published by another number; 0: that by which they came")
}

// settings checks the settings and adds them to those of HAProxy.
func (c *Certificates) settings(s *render.Settings) error {
	for name, path := range map[string]string{"certs-dir": c.Dir, "crt-list-path": c.ListPath} {
		if strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return fmt.Errorf("%s: %q: want a path without spaces and control characters", name, path)
		}
	}
	if c.ListPath != "" {
		if _, err := os.ReadFile(c.ListPath); err != nil {
			return fmt.Errorf("crt-list-path: %w", err)
		}
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

// preferred are the patterns, which settings has checked.
func (c *Certificates) preferred() []string {
	out, _ := certs.ParsePreferred(c.Preferred)
	return out
}

// detectHTTP3 asks HAProxy whether it has QUIC.
func (c *Certificates) detectHTTP3(ctx context.Context, binary string, s *render.Settings, sh app.Shell) {
	if !c.H3 {
		return
	}
	can, err := apply.HasQUIC(ctx, binary)
	if err != nil {
		sh.Log.Warn("whether HAProxy has QUIC is not known, so there is no HTTP/3", "error", err)
	}
	s.TLS.H3 = can
}

// newStore returns the certificates that do not come by labels, and the loop that looks
// after them. It has looked already, so that what lies on the disk is known from the
// start.
func (c *Config) newStore(
	ctx context.Context, b *bus.Bus, catalog *bus.Catalog, changed func(), sh app.Shell,
) (*store.Store, *bus.Mirror, *reconcile.Loop, error) {
	var key *sealed.Key
	if secret := cmp.Or(string(c.Certs.SealKey), string(c.Token)); secret != "" {
		var err error
		if key, err = sealed.New(secret, sealPurpose); err != nil {
			return nil, nil, nil, err
		}
	}
	poke := reconcile.NewPoke()
	uploads := b.Bucket(bus.ManualBucket).Mirror(store.Prefix+">", poke.Now)
	keep := store.New(store.Options{
		CertsDir: c.Certs.Dir, SecretsDir: c.Edge.SecretsDir, Copy: filepath.Join(c.DataDir, "uploads.json"),
		Uploads: uploads, Key: key, Changed: changed, Log: sh.Log,
		Epoch: func() (string, bool) {
			s, ok := catalog.Snapshot()
			return s.Revision.Epoch, ok && s.Revision.Epoch != ""
		},
	})
	look := reconcile.New(reconcile.Options{Component: "proxy", Name: "certificates", Poke: poke, Log: sh.Log, Resync: lookEvery}, keep.Look)
	if err := keep.Look(ctx); err != nil && !errors.Is(err, context.Canceled) {
		sh.Log.Warn("not all certificates could be read", "error", err)
	}
	return keep, uploads, look, nil
}
