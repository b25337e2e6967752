package route

import (
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
	Users   *Users
	Forward *ForwardAuth
	// SecurityHeaders adds what makes browsers careful to answers that lack it.
	SecurityHeaders bool
	// SendProxy is the version of the PROXY protocol that tasks are spoken to with,
	// 0 for none.
	SendProxy int
}

// AsksForClient reports whether the client's address decides, or is told.
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
	// URL is whom to ask.
	URL string
	// Headers of its answer, in lower case, separated by spaces, that the request
	// gets; what the client sent by these names is dropped.
	Headers string
}
