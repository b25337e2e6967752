package route

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/wagglehq/waggle/proxy/internal/wish/budget"
)

// User is somebody with a password.
type User struct {
	Name string
	// Password is empty if it is to be found elsewhere.
	Password string
	// Encrypted says that Password is a hash of crypt(3).
	Encrypted bool
}

// Users are those who get into a backend, by basic authentication.
type Users struct {
	// List is the name of their list; backends with the same list ask for the same users.
	List string
	// Realm is what a browser shows when it asks.
	Realm string
	// Entries are those of the label, as they stand there, separated by newlines;
	// "name:password" or a name alone.
	Entries string
	// Secret is the name of the secret with more entries, empty if there is none.
	Secret string
	// Encrypted says that the passwords of both are hashes of crypt(3).
	Encrypted bool
}

// The list and realm of the operator's users, who get into every service that does
// not say who does.
const (
	OperatorUsers = "users"
	OperatorRealm = "defaultRealm"
)

// APR1 reports whether the password is a hash that crypt(3) does not know.
func (u User) APR1() bool { return u.Encrypted && strings.HasPrefix(u.Password, budget.APR1) }

// ParseUser reads "name:password" or a name alone. The second result says what would
// be right, and is empty if the text is.
func ParseUser(text string, encrypted bool) (User, string) {
	name, password, has := strings.Cut(text, ":")
	u := User{Name: strings.TrimSpace(name), Password: password, Encrypted: encrypted}
	switch {
	case u.Name == "" || strings.ContainsFunc(text, unicode.IsControl):
		return u, "name:password, or a name whose password stands elsewhere"
	case has && password == "":
		return u, "a password behind the colon"
	case has && encrypted && !budget.IsHash(password):
		return u, "a hash such as $6$salt$hash, or what htpasswd makes, behind the colon, because usersPassEncrypted is true"
	case has && encrypted && budget.DearHash(password):
		return u, budget.WantHash
	}
	return u, ""
}

// ParseUsers reads entries on lines or behind separators, each with its password, as
// settings and secrets have them. Those that are wrong are left out and named by
// the faults, without their passwords.
func ParseUsers(text, separator string, encrypted bool) (list []User, faults []string) {
	n, separator := 0, cmp.Or(separator, ",")
	for line := range strings.Lines(text) {
		for entry := range strings.SplitSeq(line, separator) {
			if entry = strings.TrimSpace(entry); entry == "" {
				continue
			}
			n++
			u, want := ParseUser(entry, encrypted)
			if want == "" && u.Password == "" {
				want = "name:password"
			}
			if want != "" {
				faults = append(faults, fmt.Sprintf("entry %d: want %s", n, want))
				continue
			}
			list = append(list, u)
		}
	}
	return list, faults
}

// TakesOperators reports whether passwords may be those of the operator's users.
func (u Users) TakesOperators() bool {
	return u.List == OperatorUsers || slices.ContainsFunc(strings.Split(u.Entries, "\n"), func(e string) bool { return e != "" && !strings.Contains(e, ":") })
}

// Resolve returns those who get in, sorted by name, and what is wrong, without any
// password. secret is the content of the secret, and there whether it is;
// operator are the operator's users. Nobody gets in whose password is not found.
func (u Users) Resolve(secret string, there bool, separator string, operator []User) (list []User, faults []string) {
	if u.List == OperatorUsers {
		return sorted(operator), slow("the setting users", operator)
	}
	var kept []User
	if u.Secret != "" {
		if !there {
			faults = append(faults, "there is no secret dfp_users_"+u.Secret)
		}
		var wrong []string
		kept, wrong = ParseUsers(secret, separator, u.Encrypted)
		for _, w := range wrong {
			faults = append(faults, "secret dfp_users_"+u.Secret+": "+w)
		}
		faults = append(faults, slow("secret dfp_users_"+u.Secret, kept)...)
	}
	if u.Entries == "" {
		return sorted(kept), faults
	}
	for i, entry := range strings.Split(u.Entries, "\n") {
		user, _ := ParseUser(entry, u.Encrypted)
		for _, from := range [][]User{kept, operator} {
			if at := slices.IndexFunc(from, func(k User) bool { return k.Name == user.Name }); at >= 0 && user.Password == "" {
				user = from[at]
			}
		}
		if user.Password == "" {
			faults = append(faults, fmt.Sprintf("com.df.users, entry %d: nothing says its password", i+1))
			continue
		}
		list = append(list, user)
	}
	return sorted(list), faults
}

// slow says so if HAProxy takes more time for the hashes of what the operator gives than one
// service's labels may ask for. It is told and no more: whoever gets in now must go on to.
func slow(from string, list []User) []string {
	micros := 0
	for _, u := range list {
		if u.Encrypted {
			cost, _ := budget.HashCost(u.Password)
			micros += cost
		}
	}
	limit := budget.Limits()[budget.Hashing]
	if micros <= limit.Service {
		return nil
	}
	seconds := func(micros int) float64 { return float64(micros) / 1e6 }
	return []string{fmt.Sprintf("%s: HAProxy takes some %.1f s to compute its hashes, at each check and reload: want at most %.0f s, so %s",
		from, seconds(micros), seconds(limit.Service), limit.Instead)}
}

// sorted sorts by name; of two entries with one name the first counts.
func sorted(list []User) []User {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b User) int { return strings.Compare(a.Name, b.Name) })
	return slices.CompactFunc(list, func(a, b User) bool { return a.Name == b.Name })
}
