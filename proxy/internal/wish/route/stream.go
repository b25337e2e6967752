package route

import (
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
)

// Stream is one way into a service below HTTP: the connections of a port, all of
// them, or those that ask for a name by TLS, which is passed through.
type Stream struct {
	Service catalog.Service
	// Index is that of the labels, 0 for those without.
	Index int
	// Port of the proxy on which connections come in.
	Port int
	// Names decide which of them are the service's; nil means those that fit no
	// name of others.
	Names []ServerName
	// Order is the service's aclName, empty if it has none.
	Order string
	// Group is the name under which services share their ports and one backend.
	Group   string
	Backend string
	// TimeoutClient is 0 for the default.
	TimeoutClient time.Duration
	// KeepAlive has the kernel find out which clients are gone.
	KeepAlive bool
}

// Shares reports whether the stream can have a port together with the proxy, which speaks
// TLS there for its own hosts: it must say which server names it wants, whole ones or all
// below a name.
func (s Stream) Shares() bool {
	for _, n := range s.Names {
		if n.Match != MatchExact && n.Match != MatchSuffix {
			return false
		}
	}
	return s.Names != nil
}

// ServerName is what the name that a client asks for by TLS (SNI) is compared
// with, in any case of letters.
type ServerName struct {
	Match Match
	Value string
}

// StreamBackend is what a backend has that is not HTTP.
type StreamBackend struct {
	// Spread is how connections are spread over the tasks.
	Spread Spread
	// TimeoutServer and TimeoutTunnel are 0 for the default.
	TimeoutServer, TimeoutTunnel time.Duration
	// Extra is a raw line, which only the operator's switch admits.
	Extra string
}

// Listener is a port on which connections come in that are not HTTP.
type Listener struct {
	Port          int
	TimeoutClient time.Duration
	KeepAlive     bool
	// Rules are tried in this order.
	Rules []StreamRule
	// Default is the backend of the connections that fit no rule; if it is empty
	// they are closed.
	Default string
}

// StreamRule leads to a backend if the server name fits.
type StreamRule struct {
	Name    ServerName
	Backend string
}
