// Package sealed hides values from whoever can read the bus, and shows whether somebody
// else has written them.
package sealed

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
)

// version is the first byte of what is sealed, so that another form can follow.
const version = 1

// ErrOpen says that a value was sealed by another secret, for another place, or not at
// all.
var ErrOpen = errors.New("it was sealed by another secret, or changed since")

// Key seals and opens.
type Key struct {
	// aeads are one for each secret; the first seals.
	aeads []cipher.AEAD
}

// New derives a key from a secret. What was sealed by one of the others is opened too, so that
// a secret can be replaced. purpose keeps keys of one secret apart.
func New(purpose, secret string, others ...string) (*Key, error) {
	k := &Key{}
	for _, secret := range append([]string{secret}, others...) {
		if secret == "" {
			return nil, errors.New("seal: no secret")
		}
		key, err := hkdf.Key(sha256.New, []byte(secret), nil, purpose, 32)
		if err != nil {
			return nil, fmt.Errorf("seal: %w", err)
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, fmt.Errorf("seal: %w", err)
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, fmt.Errorf("seal: %w", err)
		}
		k.aeads = append(k.aeads, aead)
	}
	return k, nil
}

// Seal hides a value. It can be opened at the same place only, such as the key of a
// bucket, so that nobody can exchange two.
func (k *Key) Seal(place string, value []byte) []byte {
	return append([]byte{version}, k.aeads[0].Seal(nil, nil, value, []byte(place))...)
}

// Open returns what was sealed for a place, and whether by another secret than the one that
// seals; or ErrOpen.
func (k *Key) Open(place string, sealed []byte) (value []byte, byOther bool, err error) {
	if len(sealed) == 0 || sealed[0] != version {
		return nil, false, ErrOpen
	}
	for i, aead := range k.aeads {
		if value, err := aead.Open(nil, nil, sealed[1:], []byte(place)); err == nil {
			return value, i > 0, nil
		}
	}
	return nil, false, ErrOpen
}
