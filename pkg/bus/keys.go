package bus

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// identity is what follows from one key of a component: what it signs with, and what
// the listener's own server shows to it.
type identity struct {
	component string
	sign      nkeys.KeyPair
	shown     ed25519.PrivateKey
}

// identities returns those of a setting, which may hold several keys, separated by
// white space: the first is the one to use, all are accepted. A key that stands there
// twice counts once, since a server admits no user twice.
func identities(component, setting string) ([]identity, error) {
	var out []identity
	seen := map[string]bool{}
	for _, key := range strings.Fields(setting) {
		if seen[key] {
			continue
		}
		seen[key] = true
		sign, err := pair(component, key)
		if err != nil {
			return nil, err
		}
		seed, err := hkdf.Key(sha256.New, []byte(key), nil, "waggle tls "+component, ed25519.SeedSize)
		if err != nil {
			return nil, fmt.Errorf("bus: key of %s: %w", component, err)
		}
		out = append(out, identity{component: component, sign: sign, shown: ed25519.NewKeyFromSeed(seed)})
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("bus: there is no key of %s", component)
	}
	return out, nil
}

// pair returns the key pair of a component's secret. A text that is no NATS seed
// is hashed into one, so that any random secret serves; the component's name goes
// in, so that one secret used twice makes two keys.
func pair(component, key string) (nkeys.KeyPair, error) {
	if strings.HasPrefix(key, "SU") {
		if kp, err := nkeys.FromSeed([]byte(key)); err == nil {
			return kp, nil
		}
	}
	if len(key) < 16 {
		return nil, fmt.Errorf("bus: a key of %s is shorter than 16 bytes (white space separates keys)", component)
	}
	sum := sha256.Sum256([]byte(component + "\x00" + key))
	kp, err := nkeys.FromRawSeed(nkeys.PrefixByteUser, sum[:])
	if err != nil {
		return nil, fmt.Errorf("bus: key of %s: %w", component, err)
	}
	return kp, nil
}

// publicKeys returns the public NATS user keys of a component's setting.
func publicKeys(component, setting string) ([]string, error) {
	all, err := identities(component, setting)
	if err != nil {
		return nil, err
	}
	var out []string
	var errs []error
	for _, id := range all {
		public, err := id.sign.PublicKey()
		out, errs = append(out, public), append(errs, err)
	}
	return out, errors.Join(errs...)
}

func signWith(id identity) (nats.Option, error) {
	public, err := id.sign.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("bus: key of %s: %w", id.component, err)
	}
	return nats.Nkey(public, id.sign.Sign), nil
}
