package bus

import (
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// pair returns the key pair of a component's secret. A text that is no NATS seed
// is hashed into one, so that any random secret serves; the component's name goes
// in, so that one secret used twice makes two keys.
func pair(component, key string) (nkeys.KeyPair, error) {
	key = strings.TrimSpace(key)
	if strings.HasPrefix(key, "SU") {
		if kp, err := nkeys.FromSeed([]byte(key)); err == nil {
			return kp, nil
		}
	}
	if len(key) < 16 {
		return nil, fmt.Errorf("bus: the key of %s is shorter than 16 characters", component)
	}
	sum := sha256.Sum256([]byte(component + "\x00" + key))
	kp, err := nkeys.FromRawSeed(nkeys.PrefixByteUser, sum[:])
	if err != nil {
		return nil, fmt.Errorf("bus: key of %s: %w", component, err)
	}
	return kp, nil
}

// PublicKey returns the public NATS user key of a component's secret, which a
// server's configuration needs.
func PublicKey(component, key string) (string, error) {
	kp, err := pair(component, key)
	if err != nil {
		return "", err
	}
	return kp.PublicKey()
}

func keyOption(component, key string) (nats.Option, error) {
	kp, err := pair(component, key)
	if err != nil {
		return nil, err
	}
	public, err := kp.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("bus: key of %s: %w", component, err)
	}
	return nats.Nkey(public, kp.Sign), nil
}
