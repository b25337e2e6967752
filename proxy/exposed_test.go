package proxy

import (
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/supervisor"
)

// TestSecretsThatHAProxyCanRead: those that Docker mounts for everybody, or for its group, are
// named; authorities are none, nor is what the controller alone reads.
func TestSecretsThatHAProxyCanRead(t *testing.T) {
	certificate := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("a")}))
	key := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("b")}))
	dir := t.TempDir()
	for name, secret := range map[string]struct {
		text string
		mode os.FileMode
	}{
		"read_token":      {"0123456789abcdef", 0o444},
		"dfp_users_admin": {"ann:x", 0o440},
		"token":           {"0123456789abcdef", 0o440},
		"cert-shop":       {certificate + key, 0o444},
		"an-authority":    {certificate + certificate + "\n", 0o444},
		"no-authority":    {certificate + "ann:x", 0o444},
		"nothing":         {"", 0o400},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(secret.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, secret.mode); err != nil { // whatever the umask is
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	stranger := &supervisor.User{UID: 54321, GID: 54321}
	ofGroup := &supervisor.User{UID: 54321, GID: uint32(os.Getegid())}
	for _, c := range []struct {
		who  string
		user *supervisor.User
		dir  string
		want []string
	}{
		{"a user of its own", stranger, dir, []string{"cert-shop", "no-authority", "read_token"}},
		{"one of the group", ofGroup, dir, []string{"cert-shop", "dfp_users_admin", "no-authority", "read_token", "token"}},
		{"the only user", nil, dir, nil},
		{"without secrets", stranger, filepath.Join(dir, "none"), nil},
	} {
		got, err := exposed(c.dir, c.user)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s reads %q (%v), want %q", c.who, got, err, c.want)
		}
	}
}
