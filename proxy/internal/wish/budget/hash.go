package budget

import (
	"regexp"
	"strconv"
	"strings"
)

// MostHash is how long HAProxy may compute one hash, in microseconds: one of its threads does
// nothing else meanwhile, up to ten times a second.
const MostHash = 60_000

// WantHash says what would be right instead of a hash that is too dear, or not understood.
const WantHash = "a hash that takes at most 60 ms to compute, such as what htpasswd makes, $6$ or $5$ with at most 150000 rounds, $2y$ with a cost of at most 10, or $y$j9T$"

// form is one of hashes, by its beginning. What comes behind that has a shape, and a cost.
type form struct {
	prefix string
	shape  *regexp.Regexp
	cost   func(rest string) (micros int, ok bool)
}

// APR1 is the beginning of what htpasswd makes by default, which crypt(3) does not know.
const APR1 = "$apr1$"

// What comes behind the beginnings: of crypt(3)'s methods, of bcrypt, of APR1, and of the old
// method of DES, which has no beginning.
var (
	ofCrypt  = regexp.MustCompile(`^[./A-Za-z0-9$=,]{20,}$`)
	ofBcrypt = regexp.MustCompile(`^[0-9]{2}\$[./A-Za-z0-9]{53}$`)
	ofAPR1   = regexp.MustCompile(`^[./A-Za-z0-9]{1,8}\$[./A-Za-z0-9]{22}$`)
	ofDES    = regexp.MustCompile(`^[./A-Za-z0-9]{13}$`)
)

// forms are all that there are. One that is computed elsewhere than by crypt(3) is one more
// row.
//
// The times are those of one core of some 3 GHz.
func forms() []form {
	return []form{
		{"$1$", ofCrypt, fixed(300)},
		{APR1, ofAPR1, fixed(1000)}, // by a script
		{"$5$", ofCrypt, rounds}, {"$6$", ofCrypt, rounds},
		{"$2a$", ofBcrypt, bcrypt}, {"$2b$", ofBcrypt, bcrypt}, {"$2x$", ofBcrypt, bcrypt}, {"$2y$", ofBcrypt, bcrypt},
		{"$y$", ofCrypt, yescrypt}, {"$gy$", ofCrypt, yescrypt},
		{"$7$", ofCrypt, scrypt},
		{"", ofDES, des},
	}
}

// formOf is the form of a hash, and what comes behind its beginning.
func formOf(hash string) (f form, rest string) {
	for _, f = range forms() {
		if rest, found := strings.CutPrefix(hash, f.prefix); found {
			return f, rest
		}
	}
	return f, hash // not reached: the last form has no beginning
}

// IsHash reports whether a text has the form of a hash that can be checked.
func IsHash(text string) bool {
	f, rest := formOf(text)
	return f.shape.MatchString(rest)
}

// HashCost is how long a hash of a password takes to compute, in microseconds. It is not ok
// if that cannot be told.
func HashCost(hash string) (micros int, ok bool) {
	f, rest := formOf(hash)
	return f.cost(rest)
}

// DearHash reports whether a hash must not be computed.
func DearHash(hash string) bool {
	micros, ok := HashCost(hash)
	return !ok || micros > MostHash
}

func des(hash string) (int, bool) { return 20, ofDES.MatchString(hash) }

func fixed(micros int) func(string) (int, bool) {
	return func(string) (int, bool) { return micros, true }
}

// rounds are 5000 if the text does not say another number, at least 1000.
func rounds(rest string) (int, bool) {
	n := 5000
	if text, found := strings.CutPrefix(rest, "rounds="); found {
		number, _, _ := strings.Cut(text, "$")
		var err error
		if n, err = strconv.Atoi(number); err != nil || n < 0 {
			return most, false
		}
	}
	return Times(max(n, 1000), 4) / 10, true
}

// bcrypt doubles with each unit of its cost.
func bcrypt(rest string) (int, bool) {
	number, _, found := strings.Cut(rest, "$")
	n, err := strconv.Atoi(number)
	if !found || err != nil || len(number) != 2 || n < 4 || n > 31 {
		return most, false
	}
	return Times(55, 1<<n), true
}

// yescrypt has its parameters as numbers of variable length: the flavour, the logarithm of N,
// and r. Further ones, which make it dearer, are not taken.
func yescrypt(rest string) (int, bool) {
	params, _, found := strings.Cut(rest, "$")
	if !found || len(params) != 3 {
		return most, false
	}
	n, r := digit(params[1])+1, digit(params[2])+1
	if n < 1 || r < 1 || n > 30 {
		return most, false
	}
	return Times(1<<n, r) * 15 / 100, true
}

// scrypt has the logarithm of N as one digit, and r and p as five each, the least first.
func scrypt(rest string) (int, bool) {
	if len(rest) < 11 {
		return most, false
	}
	n, r, p := digit(rest[0]), number(rest[1:6]), number(rest[6:11])
	if n < 1 || n > 30 || r < 1 || p < 1 {
		return most, false
	}
	return Times(Times(1<<n, r), p) / 4, true
}

// number reads digits of 6 bits, the least first; negative if one is none.
func number(text string) int {
	out := 0
	for i := range len(text) {
		d := digit(text[i])
		if d < 0 {
			return -1
		}
		out |= d << (6 * i)
	}
	return out
}

// digit is one of crypt(3)'s digits of 6 bits; negative if it is none.
func digit(c byte) int {
	return strings.IndexByte("./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", c)
}
