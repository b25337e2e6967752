package sealed_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/wagglehq/waggle/proxy/internal/certs/sealed"
)

func key(t *testing.T, purpose, secret string, others ...string) *sealed.Key {
	t.Helper()
	k, err := sealed.New(purpose, secret, others...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestWhatIsSealedOpensAtItsPlaceAlone(t *testing.T) {
	k := key(t, "certificates", "secret")
	text := k.Seal("a", []byte("the key of a"))
	if bytes.Contains(text, []byte("the key")) {
		t.Error("it can be read")
	}
	if bytes.Equal(text, k.Seal("a", []byte("the key of a"))) {
		t.Error("two of the same look the same")
	}
	// Another process with the same secret opens it.
	if value, _, err := key(t, "certificates", "secret").Open("a", text); err != nil || string(value) != "the key of a" {
		t.Errorf("got %q, %v", value, err)
	}
	changed := bytes.Clone(text)
	changed[len(changed)-1] ^= 1
	for name, open := range map[string]func() ([]byte, bool, error){
		"another place":   func() ([]byte, bool, error) { return k.Open("b", text) },
		"another secret":  func() ([]byte, bool, error) { return key(t, "certificates", "other").Open("a", text) },
		"another purpose": func() ([]byte, bool, error) { return key(t, "users", "secret").Open("a", text) },
		"changed":         func() ([]byte, bool, error) { return k.Open("a", changed) },
		"cut":             func() ([]byte, bool, error) { return k.Open("a", text[:5]) },
		"nothing":         func() ([]byte, bool, error) { return k.Open("a", nil) },
		"in clear":        func() ([]byte, bool, error) { return k.Open("a", []byte("the key of a")) },
	} {
		if value, _, err := open(); !errors.Is(err, sealed.ErrOpen) || value != nil {
			t.Errorf("%s: got %q, %v", name, value, err)
		}
	}
}

// TestASecretIsReplaced: while both are known, what either has sealed opens.
func TestASecretIsReplaced(t *testing.T) {
	old, both, renewed := key(t, "p", "old"), key(t, "p", "new", "older", "old"), key(t, "p", "new")
	text := old.Seal("a", []byte("x"))
	if value, byOther, err := both.Open("a", text); err != nil || string(value) != "x" || !byOther {
		t.Errorf("by the old one: %q, by another %t, %v", value, byOther, err)
	}
	if _, _, err := both.Open("b", text); !errors.Is(err, sealed.ErrOpen) {
		t.Errorf("at another place: %v", err)
	}
	text = both.Seal("a", []byte("x"))
	for name, k := range map[string]*sealed.Key{"both": both, "the new one": renewed} {
		if value, byOther, err := k.Open("a", text); err != nil || string(value) != "x" || byOther {
			t.Errorf("by the new one, with %s: %q, by another %t, %v", name, value, byOther, err)
		}
	}
	if _, _, err := old.Open("a", text); !errors.Is(err, sealed.ErrOpen) {
		t.Errorf("with the old one: %v", err)
	}
}

func TestWithoutASecretThereIsNoKey(t *testing.T) {
	for _, secrets := range [][]string{{""}, {"secret", ""}} {
		if _, err := sealed.New("certificates", secrets[0], secrets[1:]...); err == nil {
			t.Errorf("a key of %q", secrets)
		}
	}
}
