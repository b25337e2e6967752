package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/wagglehq/waggle/proxy/internal/certs"
	"github.com/wagglehq/waggle/proxy/internal/certs/vault"
)

// Prefix is what the keys of uploads in the bucket begin with.
const Prefix = "proxy.cert."

// What Put and Delete fail with, recognised with errors.Is.
var (
	// ErrNotReady means that the bus does not answer, so that nothing was changed.
	ErrNotReady = vault.ErrNotReady
	// ErrNotFound means that nothing of this name was uploaded.
	ErrNotFound = errors.New("no certificate of this name was uploaded")
	// ErrNoKey means that there is no secret by which uploads could be sealed.
	ErrNoKey = errors.New("neither seal-key nor token is set, so nothing can be uploaded")
	// ErrConflict means that somebody else has uploaded this name in the same moment.
	ErrConflict = errors.New("another upload of this name came in the same moment, so nothing was changed: upload it again if it is the newer one")
)

// errPutBack says that an upload on the bus is older than what was known of its name.
var errPutBack = errors.New("the upload on the bus is older than the last one of its name, or was removed: somebody has put it back. Upload it again if that is meant")

// uploads are those on the bus. look belongs to one goroutine, the rest to any.
type uploads struct {
	vault *vault.Vault
	// parsed are the certificates of the texts that were looked at last.
	parsed map[string]certs.Candidate
}

func newUploads(o Options) *uploads {
	return &uploads{vault: vault.New(vault.Options{
		Prefix: Prefix, Mirror: o.Uploads, Copy: o.Copy, What: "upload", Epoch: o.Epoch, Key: o.Key, Now: o.Now, Log: o.Log,
	})}
}

// look returns what was uploaded as candidates, sorted by name.
func (u *uploads) look(ctx context.Context) ([]certs.Candidate, error) {
	looked, err := u.vault.Look(ctx)
	var out []certs.Candidate
	parsed := make(map[string]certs.Candidate, len(looked.Values))
	for name, text := range looked.Values {
		c := certs.Candidate{Name: name, Source: certs.Upload}
		refused := looked.Refused[name]
		switch {
		case errors.Is(refused, vault.ErrPutBack):
			refused = errPutBack
		case refused != nil:
			refused = fmt.Errorf("the upload on the bus cannot be opened: %w", errors.Unwrap(refused))
		}
		if text == "" {
			c.Err = refused
		} else {
			known, ok := u.parsed[text]
			if !ok {
				known.Certificate, known.Err = certs.Parse([]byte(text))
			}
			parsed[text] = known
			c.Certificate, c.Err, c.Problem = known.Certificate, known.Err, refused
		}
		out = append(out, c)
	}
	u.parsed = parsed
	slices.SortFunc(out, func(a, b certs.Candidate) int { return strings.Compare(a.Name, b.Name) })
	return out, err
}

func (u *uploads) put(ctx context.Context, name, pem string) error {
	err := u.vault.Put(ctx, name, pem)
	switch {
	case errors.Is(err, vault.ErrNoKey):
		return ErrNoKey
	case errors.Is(err, vault.ErrConflict):
		return ErrConflict
	}
	return err
}

func (u *uploads) remove(ctx context.Context, name string) error {
	err := u.vault.Remove(ctx, name)
	if errors.Is(err, vault.ErrNotFound) {
		return ErrNotFound
	}
	return err
}
