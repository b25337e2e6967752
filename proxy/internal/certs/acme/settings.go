// Package acme obtains certificates and renews them (RFC 8555), for any number of replicas of the
// proxy. All that is known lies on the bus, sealed, and on the disk of each replica; one replica at
// a time orders, any answers the authority's questions, all serve what comes of it.
//
// record.go says what is known of a name and plan.go, which is pure, what is due; order.go takes
// one order from step to step, each of which is written down before the next one begins, so that
// whoever takes over goes on with the same order; transport.go bounds what an authority answers, and
// runner.go is the loop.
//
// It is longer than others because the plan, the machine of an order and the records that it writes
// before each step are one thing, which is tried by ending it between any two of them. Providers
// of DNS are in dns.
package acme

import (
	"crypto/x509"
	"slices"
	"strings"
	"time"
)

// Authority gives certificates.
type Authority struct {
	// Name is for people, Directory the address of its directory.
	Name, Directory string
	// KeyID and MACKey bind an account to one that exists outside of ACME; both are empty
	// where the authority does not ask for that.
	KeyID, MACKey string
}

// The authorities that have a word of their own.
const (
	letsEncrypt = "https://acme-v02.api.letsencrypt.org/directory"
	staging     = "https://acme-staging-v02.api.letsencrypt.org/directory"
)

// words are the authorities that a setting may name by a word.
func words() map[string]Authority {
	return map[string]Authority{
		"letsencrypt": {Name: "Let's Encrypt", Directory: letsEncrypt},
		"staging":     {Name: "Let's Encrypt's staging", Directory: staging},
		"zerossl":     {Name: "ZeroSSL", Directory: "https://acme.zerossl.com/v2/DV90"},
		"google":      {Name: "Google Trust Services", Directory: "https://dv.acme-v02.api.pki.goog/directory"},
	}
}

// ParseAuthority reads a word or the address of a directory. It is false for anything else.
func ParseAuthority(text string) (Authority, bool) {
	if a, ok := words()[strings.ToLower(text)]; ok {
		return a, true
	}
	rest, ok := strings.CutPrefix(text, "https://")
	if !ok || rest == "" || strings.ContainsAny(text, " \t\"'\\") {
		return Authority{}, false
	}
	host, _, _ := strings.Cut(rest, "/")
	return Authority{Name: host, Directory: text}, true
}

// Staging is the authority for tests.
func Staging() Authority { return words()["staging"] }

// The kinds of keys.
const (
	EC256   = "ec256"
	EC384   = "ec384"
	RSA2048 = "rsa2048"
	RSA4096 = "rsa4096"
)

// KeyTypes are the words for them.
func KeyTypes() []string { return []string{EC256, EC384, RSA2048, RSA4096} }

// Settings are the operator's part.
type Settings struct {
	// Email is where the authority may write to, unless a service says another; empty: nowhere.
	Email string
	// Authorities are asked in this order: each further one if the one before is away or
	// refuses for a reason that another one need not have.
	Authorities []Authority
	// Staging is that for names which are to be tried only.
	Staging Authority
	// Roots vouch for the directories; nil: those that the system trusts.
	Roots *x509.CertPool
	// KeyType is one of KeyTypes, PreferredChain the name of the authority at the end of the
	// chain that is preferred, where there are several; empty: the one that is offered first.
	KeyType, PreferredChain string
	// RenewalInfo asks the authority when it is best to renew (RFC 9773).
	RenewalInfo bool
	// PerHour is how many orders all replicas together may begin in an hour.
	PerHour int
	// Pause is that after the first failure; it grows from one to the next.
	Pause time.Duration
}

// authorities are those to ask for a name.
func (s Settings) authorities(isTest bool) []Authority {
	if isTest {
		return []Authority{s.Staging}
	}
	return s.Authorities
}

// accepts reports whether a certificate of an authority may stay until it is renewed.
func (s Settings) accepts(directory string, isTest bool) bool {
	return slices.ContainsFunc(s.authorities(isTest), func(a Authority) bool { return a.Directory == directory })
}

// name is what people call an authority.
func (s Settings) name(directory string) string {
	for _, a := range append(slices.Clone(s.Authorities), s.Staging) {
		if a.Directory == directory {
			return a.Name
		}
	}
	return directory
}
