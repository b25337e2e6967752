package route

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Access says who gets into a backend, and what it tells browsers about that. Its
// zero value lets everybody in.
type Access struct {
	// Allowed and Denied decide by the client's address.
	Allowed, Denied *Addresses
	Limit           *Limit
	CORS            *CORS
	// Users is nil if no name and password are asked for.
	Users *Users
	// UserHeader is the name of a header that tells who has signed in, empty for none.
	// Clients cannot send it, whether anybody has to sign in or not.
	UserHeader string
	Forward    *ForwardAuth
	// SecurityHeaders adds what makes browsers careful to answers that lack it.
	SecurityHeaders bool
	// SendProxy is the version of the PROXY protocol that tasks are spoken to with,
	// 0 for none.
	SendProxy int
}

// AsksForClient reports whether the client's address decides, or is passed on.
func (a Access) AsksForClient() bool {
	return a.Allowed != nil || a.Denied != nil || a.Limit != nil || a.Forward != nil
}

// Addresses are addresses and networks, in the form of their texts: sorted, each once.
type Addresses struct{ List []string }

// Limit is how many requests a client may make in a time.
type Limit struct {
	Requests int
	Per      time.Duration
}

// CORS says which pages of other origins may use a service, and how.
type CORS struct {
	// Origins are sorted, in lower case, separated by spaces; "*" alone means all.
	Origins string
	// Methods and Headers are lists as browsers get them; empty means not said.
	Methods, Headers string
	// Credentials lets them send cookies and the like.
	Credentials bool
	// MaxAge is how long browsers may remember all this; 0 is not said.
	MaxAge time.Duration
}

// AnyOrigin stands for all origins.
const AnyOrigin = "*"

// ForwardAuth lets another service decide about each request.
type ForwardAuth struct {
	// URL is whom to ask, Host and Port are those of it, the host in lower case and without
	// brackets.
	URL, Host string
	Port      int
	// Only are the networks in which the host must be, separated by spaces; empty: anywhere
	// outside. Anywhere says that it may be inside, too.
	Only     string
	Anywhere bool
	// Headers of its answer, in lower case, separated by spaces, that the request
	// gets; what the client sent by these names is dropped.
	Headers string
}

// ParseAddress writes an address or network in the one form that its equals have.
func ParseAddress(text string) (string, bool) {
	if !strings.Contains(text, "/") {
		a, err := netip.ParseAddr(text)
		return a.Unmap().String(), err == nil && a.Zone() == ""
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return "", false
	}
	if a := p.Addr(); a.Is4In6() {
		if p.Bits() < 96 {
			return "", false
		}
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	if p = p.Masked(); p.IsSingleIP() {
		return p.Addr().String(), true
	}
	return p.String(), true
}

// ValidOrigin reports whether a text is an origin as browsers send it.
func ValidOrigin(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Scheme+"://"+u.Host != text || !ValidHost(u.Hostname()) {
		return false
	}
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		n, err := strconv.Atoi(port)
		return err == nil && n > 0 && n < 1<<16
	}
	return u.Scheme != ""
}

// The bounds of a rateLimit.
const (
	mostRequests = 1_000_000
	leastPer     = time.Second
	mostPer      = 24 * time.Hour
)

// ParseLimit reads "100/10s". "100/s" is 100 in one second.
func ParseLimit(text string) (Limit, bool) {
	count, per, _ := strings.Cut(text, "/")
	n, err := strconv.Atoi(strings.TrimSpace(count))
	per = strings.TrimSpace(per)
	d, errTime := time.ParseDuration(per)
	if errTime != nil {
		d, errTime = time.ParseDuration("1" + per)
	}
	ok := err == nil && errTime == nil && n >= 1 && n <= mostRequests && d >= leastPer && d <= mostPer && d%time.Second == 0
	return Limit{Requests: n, Per: d}, ok
}
