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
type Key struct{ aead cipher.AEAD }

// New derives a key from a secret. purpose keeps keys of one secret apart.
func New(secret, purpose string) (*Key, error) {
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
	return &Key{aead: aead}, nil
}

// Seal hides a value. It can be opened at the same place only, such as the key of a
// bucket, so that nobody can exchange two.
func (k *Key) Seal(place string, value []byte) []byte {
	return append([]byte{version}, k.aead.Seal(nil, nil, value, []byte(place))...)
}

// Open returns what was sealed for a place, or ErrOpen.
func (k *Key) Open(place string, sealed []byte) ([]byte, error) {
	if len(sealed) == 0 || sealed[0] != version {
		return nil, ErrOpen
	}
	value, err := k.aead.Open(nil, nil, sealed[1:], []byte(place))
	if err != nil {
		return nil, ErrOpen
	}
	return value, nil
}
