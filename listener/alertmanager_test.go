package listener

import (
	"bytes"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

func TestTheFileByWhichAlertmanagerAsks(t *testing.T) {
	const password = "long-enough-for-that"
	var out bytes.Buffer
	if err := printAlertmanagerWeb(strings.NewReader(password+"\n"), &out); err != nil {
		t.Fatal(err)
	}
	hash, found := strings.CutPrefix(out.String(), "basic_auth_users:\n  waggle: ")
	if err := bcrypt.CompareHashAndPassword([]byte(strings.TrimSpace(hash)), []byte(password)); !found || err != nil {
		t.Errorf("%q: %v", out.String(), err)
	}
	for text, want := range map[string]string{"short": "want at least 16 bytes, and this has 5", strings.Repeat("x", 73): "72 bytes"} {
		if err := printAlertmanagerWeb(strings.NewReader(text), &out); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
