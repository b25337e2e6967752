package route

import (
	"reflect"
	"time"
)

// Client says what of a verified client certificate counts: the common name of its subject. Its
// zero value lets each in.
type Client struct {
	// Names are the common names that get in, all if it is empty.
	Names []string
	// Header tells the task the name, empty for none. Clients cannot send it.
	Header string
}

// Handling is what a backend does with requests and answers besides passing them
// on. Its zero value does nothing.
type Handling struct {
	// HTTPSOnly redirects requests that came without TLS; RedirectCode is the status.
	HTTPSOnly    bool
	RedirectCode int
	// RedirectHTTPProto redirects what X-Forwarded-Proto calls http,
	// RedirectUnlessHTTPS whatever it does not call https.
	RedirectHTTPProto, RedirectUnlessHTTPS bool
	// DenyHTTP answers 403 without TLS, VerifyClient without a verified client certificate.
	DenyHTTP, VerifyClient bool
	// Client says whose certificates are meant.
	Client Client
	// AllowedMethods and DeniedMethods answer 403; empty means no such rule.
	AllowedMethods, DeniedMethods []string
	// ConnectionMode is an option of HAProxy ("http-keep-alive").
	ConnectionMode string
	// Headers are carried out in this order.
	Headers []HeaderAction
	// RawPath says that the tasks take paths as they come: an encoded slash is none.
	RawPath bool
	// Rewrites change the path, in this order.
	Rewrites []Rewrite
	// TimeoutServer and TimeoutTunnel are 0 for the default.
	TimeoutServer, TimeoutTunnel time.Duration
	// CompressionAlgo is empty without compression.
	CompressionAlgo  string
	CompressionTypes []string
	// Sticky pins a client to a task by a cookie of the service's name.
	Sticky bool
	// Cookie says what that cookie is like.
	Cookie Cookie
	// HTTP2 speaks HTTP/2 to the tasks, from the first byte or, with TLS, by ALPN.
	HTTP2 bool
	// MaxBody is how many bytes the body of a request may have; 0 is any number.
	MaxBody int64
	// TLS speaks TLS to the tasks; Verify and CA say whether and how they prove themselves.
	TLS, Verify bool
	CA          string
	ServerName  string
	// Access says who gets in.
	Access Access
	// Extra is a raw line, which only the operator's switch admits.
	Extra string
	// Spread is how requests are spread over the tasks.
	Spread Spread
}

// Cookie are the attributes of the cookie that pins a client to a task.
type Cookie struct {
	// Secure keeps it from being sent without TLS; Scripts lets them read it.
	Secure, Scripts bool
	// SameSite is Strict, Lax or None, empty if nothing is said.
	SameSite string
}

// HeaderAction changes one header.
type HeaderAction struct {
	// Verb is add, set or del.
	Verb     string
	Response bool
	Name     string
	Value    []Part
	If       *HeaderCondition
}

// Part is a piece of a header's value: text, or what HAProxy puts in its place.
type Part struct {
	Text  string
	Fetch string
}

// HeaderCondition is the condition behind a header action.
type HeaderCondition struct {
	Unless bool
	// Kind is ssl_fc, method or path_beg; Value is the latter two's operand.
	Kind, Value string
}

// Rewrite replaces what a regular expression finds in the path, once or wherever it fits.
type Rewrite struct {
	Search, Replace string
	All             bool
}

// SystemCA stands for the authorities that the system trusts.
const SystemCA = "@system-ca"

// Plain reports whether a backend does nothing but pass requests on.
func (h Handling) Plain() bool {
	h.RedirectCode = 0 // what redirects say, if there are any
	return reflect.ValueOf(h).IsZero()
}
