package sealed_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/wagglehq/waggle/proxy/internal/certs/sealed"
)

func key(t *testing.T, secret, purpose string) *sealed.Key {
	t.Helper()
	k, err := sealed.New(secret, purpose)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestWhatIsSealedOpensAtItsPlaceAlone(t *testing.T) {
	k := key(t, "secret", "certificates")
	text := k.Seal("a", []byte("the key of a"))
	if bytes.Contains(text, []byte("the key")) {
		t.Error("it can be read")
	}
	if bytes.Equal(text, k.Seal("a", []byte("the key of a"))) {
		t.Error("two of the same look the same")
	}
	// Another process with the same secret opens it.
	if value, err := key(t, "secret", "certificates").Open("a", text); err != nil || string(value) != "the key of a" {
		t.Errorf("got %q, %v", value, err)
	}
	changed := bytes.Clone(text)
	changed[len(changed)-1] ^= 1
	for name, open := range map[string]func() ([]byte, error){
		"another place":   func() ([]byte, error) { return k.Open("b", text) },
		"another secret":  func() ([]byte, error) { return key(t, "other", "certificates").Open("a", text) },
		"another purpose": func() ([]byte, error) { return key(t, "secret", "users").Open("a", text) },
		"changed":         func() ([]byte, error) { return k.Open("a", changed) },
		"cut":             func() ([]byte, error) { return k.Open("a", text[:5]) },
		"nothing":         func() ([]byte, error) { return k.Open("a", nil) },
		"in clear":        func() ([]byte, error) { return k.Open("a", []byte("the key of a")) },
	} {
		if value, err := open(); !errors.Is(err, sealed.ErrOpen) || value != nil {
			t.Errorf("%s: got %q, %v", name, value, err)
		}
	}
}

func TestWithoutASecretThereIsNoKey(t *testing.T) {
	if _, err := sealed.New("", "certificates"); err == nil {
		t.Error("a key of nothing")
	}
}
