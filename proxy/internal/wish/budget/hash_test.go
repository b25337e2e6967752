package budget_test

import (
	"strings"
	"testing"

	"github.com/wagglehq/waggle/proxy/internal/wish/budget"
)

// TestHashes: those that tools make by default are cheap enough, but for bcrypt at a cost
// beyond 10.
func TestHashes(t *testing.T) {
	salt := "k2XAnEHBqQ1Ct2aMXFKNa/"
	for _, c := range []struct {
		hash string
		dear bool
	}{
		{"abJnggxhB/yWI", false},
		{"$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/", false},
		{"$5$saltsalt$gOjOtoMpVhru2uyjeJSEc", false},
		{"$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSI", false},
		{"$6$rounds=50000$saltsalt$qFmFH", false},
		{"$6$rounds=150000$saltsalt$qFmFH", false},
		{"$6$rounds=160000$saltsalt$qFmFH", true},
		{"$apr1$saltsalt$qjXMvbEw8oaL.CzflDtaK/", false},
		{"$6$rounds=10000000$saltsalt$qFmFH", true},
		{"$5$rounds=999999999999999999999$saltsalt$qFmFH", true},
		{"$5$rounds=-1$saltsalt$qFmFH", true},
		{"$2y$05$" + salt, false}, {"$2b$08$" + salt, false}, {"$2y$10$" + salt, false}, {"$2y$11$" + salt, true}, {"$2y$20$" + salt, true}, {"$2y$31$" + salt, true},
		{"$2a$99$" + salt, true}, {"$2y$5$" + salt, true},
		{"$y$j9T$" + salt, false}, {"$y$j75$" + salt, false}, {"$y$jBT$" + salt, true}, {"$y$jFT$" + salt, true}, {"$gy$j9T$" + salt, false}, {"$y$j9T2$" + salt, true},
		{"$7$CU..../....$" + salt, true}, {"$7$6..../..../....", true}, {"$7$6/..../....", false}, {"$7$" + strings.Repeat("z", 20), true},
		{"$9$unknown$hash", true}, {"", true}, {"$y$", true}, {"$2y$", true}, {"$7$", true},
	} {
		if got := budget.DearHash(c.hash); got != c.dear {
			micros, ok := budget.HashCost(c.hash)
			t.Errorf("%s is too dear: %v, want %v (%d microseconds, %v)", c.hash, got, c.dear, micros, ok)
		}
	}
}

// TestShapes: what can be checked has the beginning of a form and what that form has behind it.
func TestShapes(t *testing.T) {
	digits := strings.Repeat("./Az", 20)
	for _, c := range []struct {
		name, text string
		is         bool
	}{
		{"DES", digits[:13], true},
		{"too short for DES", digits[:12], false},
		{"too long for DES", digits[:14], false},
		{"MD5", "$1$saltsalt$" + digits[:22], true},
		{"SHA-256", "$5$salt$" + digits[:43], true},
		{"SHA-512 with rounds", "$6$rounds=5000$salt$" + digits[:60], true},
		{"SHA-512 that was cut off", "$6$salt$" + digits[:10], false},
		{"yescrypt", "$y$j9T$salt$" + digits[:43], true},
		{"gost-yescrypt", "$gy$j9T$salt$" + digits[:43], true},
		{"scrypt", "$7$CU..../....salt$" + digits[:43], true},
		{"bcrypt", "$2y$05$" + digits[:53], true},
		{"bcrypt that was cut off", "$2y$05$" + digits[:52], false},
		{"bcrypt of a digit", "$2b$5$" + digits[:53], false},
		{"bcrypt of no kind", "$2z$05$" + digits[:53], false},
		{"htpasswd's", "$apr1$saltsalt$" + digits[:22], true},
		{"htpasswd's with a long salt", "$apr1$saltsalts$" + digits[:22], false},
		{"htpasswd's without a salt", "$apr1$$" + digits[:22], false},
		{"another method", "$8$salt$" + digits[:43], false},
		{"a password", "secret", false},
		{"a password of 13 characters", "correct horse", false},
		{"with what no hash has", "$6$salt$" + digits[:40] + ":", false},
		{"with a line behind it", "$6$salt$" + digits[:40] + "\n", false},
		{"nothing", "", false},
	} {
		if got := budget.IsHash(c.text); got != c.is {
			t.Errorf("%s, %q, is a hash: %v, want %v", c.name, c.text, got, c.is)
		}
	}
}

// FuzzHashCost: no text of a hash makes it fail, and no cost is negative.
func FuzzHashCost(f *testing.F) {
	for _, hash := range []string{"$6$rounds=5000$a$b", "$2y$05$a", "$y$j9T$a", "$7$CU..../....a", "abJnggxhB/yWI"} {
		f.Add(hash)
	}
	f.Fuzz(func(t *testing.T, hash string) {
		if micros, ok := budget.HashCost(hash); micros < 0 || ok && micros == 0 {
			t.Errorf("%q costs %d", hash, micros)
		}
	})
}
