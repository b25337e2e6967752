package proxy

import (
	"cmp"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"time"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/reconcile"
	"github.com/wagglehq/waggle/proxy/internal/certs/sealed"
	"github.com/wagglehq/waggle/proxy/internal/certs/store"
	"github.com/wagglehq/waggle/proxy/internal/controller"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/apply"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/render"
	"github.com/wagglehq/waggle/proxy/internal/settings"
)

// lookEvery is how often folders and secrets are looked at.
const lookEvery = 2 * time.Second

// sealPurpose keeps the key of uploads apart from other uses of the same secret.
const sealPurpose = "waggle proxy certificates"

// haproxySettings checks what the operator says, and asks HAProxy and the system for the
// rest: whether there is QUIC, and how many connections there may be.
func haproxySettings(ctx context.Context, c Config, sh app.Shell) (render.Settings, error) {
	s, err := c.HAProxySettings()
	if err != nil {
		return s, err
	}
	if s.Older, err = apply.Older(ctx, c.HAProxy, 3, 4); err != nil {
		s.Older = true
		sh.Log.Warn("HAProxy's version is not known, so clients have connections to tasks of their own", "error", err)
	}
	detectHTTP3(ctx, c, &s, sh)
	files, err := settings.OpenFiles()
	if err != nil {
		return s, err
	}
	var warning string
	if s.MaxConn, warning = settings.Connections(s.MaxConn, files); warning != "" {
		sh.Log.Warn("fewer connections than were asked for", "reason", warning)
	}
	return s, nil
}

// detectHTTP3 asks HAProxy whether it has QUIC.
func detectHTTP3(ctx context.Context, c Config, s *render.Settings, sh app.Shell) {
	if !c.Certs.H3 {
		return
	}
	can, err := apply.HasQUIC(ctx, c.HAProxy)
	if err != nil {
		sh.Log.Warn("whether HAProxy has QUIC is not known, so there is no HTTP/3", "error", err)
	}
	s.TLS.H3 = can
}

// certificateStore are the certificates that do not come by labels.
type certificateStore struct {
	*store.Store
	// uploads are those on the bus; look is the loop that looks after all.
	uploads *bus.Mirror
	look    *reconcile.Loop
	// obtained are those that the proxy obtains.
	obtained obtained
}

// source is what is chosen from.
func (s certificateStore) source(c Config) controller.CertificateSource {
	if c.Certs.ListPath != "" {
		return controller.CertificateSource{}
	}
	return controller.CertificateSource{Candidates: s.Candidates, Preferred: c.Certs.PreferredNames(), Obtained: s.obtained.source(c)}
}

// otherSecrets open uploads beside the one that seals: the one that is being replaced, and the
// tokens, of which the first was the one before a seal key was set.
func otherSecrets(c Config) []string {
	out := strings.Fields(string(c.Tokens()))
	if c.Certs.SealKeyOther != "" {
		out = append(out, string(c.Certs.SealKeyOther))
	}
	return out
}

// newStore returns the certificates that do not come by labels. It has looked already, so
// that what lies on the disk is known from the start.
func newStore(
	ctx context.Context, c Config, b *bus.Bus, catalog *bus.Catalog, changed func(), sh app.Shell,
) (certificateStore, error) {
	key, err := sealKey(c, sealPurpose)
	if err != nil {
		return certificateStore{}, err
	}
	poke := reconcile.NewPoke()
	uploads := b.Bucket(bus.ManualBucket).Mirror(store.Prefix+">", func() { poke.Now(); changed() })
	keep := store.New(store.Options{
		CertsDir: c.Certs.Dir, SecretsDir: c.Edge.SecretsDir, Copy: filepath.Join(c.DataDir, "uploads.json"),
		Uploads: uploads, Key: key, Changed: changed, Log: sh.Log,
		Epoch: epochOf(catalog),
	})
	look := reconcile.New(reconcile.Options{Component: "proxy", Name: "certificates", Poke: poke, Log: sh.Log, Resync: lookEvery}, keep.Look)
	if err := keep.Look(ctx); err != nil && !errors.Is(err, context.Canceled) {
		sh.Log.Warn("not all certificates could be read", "error", err)
	}
	return certificateStore{Store: keep, uploads: uploads, look: look}, nil
}

// sealKey is the key for a purpose, nil if there is no secret.
func sealKey(c Config, purpose string) (*sealed.Key, error) {
	secret := cmp.Or(string(c.Certs.SealKey), c.Token.First())
	if secret == "" {
		return nil, nil //nolint:nilnil // without a secret there is no key, and that is no error.
	}
	return sealed.New(purpose, secret, otherSecrets(c)...)
}

// epochOf tells the epoch of the store in which a catalog lies, as soon as it is known.
func epochOf(catalog *bus.Catalog) func() (string, bool) {
	return func() (string, bool) {
		s, ok := catalog.Snapshot()
		return s.Revision.Epoch, ok && s.Revision.Epoch != ""
	}
}
