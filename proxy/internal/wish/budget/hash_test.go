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
