package seal_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/wagglehq/waggle/proxy/internal/seal"
)

func key(t *testing.T, secret, purpose string) *seal.Key {
	t.Helper()
	k, err := seal.New(secret, purpose)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestWhatIsSealedOpensAtItsPlaceAlone(t *testing.T) {
	k := key(t, "secret", "certificates")
	sealed := k.Seal("a", []byte("the key of a"))
	if bytes.Contains(sealed, []byte("the key")) {
		t.Error("it can be read")
	}
	if bytes.Equal(sealed, k.Seal("a", []byte("the key of a"))) {
		t.Error("two of the same look the same")
	}
	// Another process with the same secret opens it.
	if value, err := key(t, "secret", "certificates").Open("a", sealed); err != nil || string(value) != "the key of a" {
		t.Errorf("got %q, %v", value, err)
	}
	changed := bytes.Clone(sealed)
	changed[len(changed)-1] ^= 1
	for name, open := range map[string]func() ([]byte, error){
		"another place":   func() ([]byte, error) { return k.Open("b", sealed) },
		"another secret":  func() ([]byte, error) { return key(t, "other", "certificates").Open("a", sealed) },
		"another purpose": func() ([]byte, error) { return key(t, "secret", "users").Open("a", sealed) },
		"changed":         func() ([]byte, error) { return k.Open("a", changed) },
		"cut":             func() ([]byte, error) { return k.Open("a", sealed[:5]) },
		"nothing":         func() ([]byte, error) { return k.Open("a", nil) },
		"in clear":        func() ([]byte, error) { return k.Open("a", []byte("the key of a")) },
	} {
		if value, err := open(); !errors.Is(err, seal.ErrOpen) || value != nil {
			t.Errorf("%s: got %q, %v", name, value, err)
		}
	}
}

func TestWithoutASecretThereIsNoKey(t *testing.T) {
	if _, err := seal.New("", "certificates"); err == nil {
		t.Error("a key of nothing")
	}
}
