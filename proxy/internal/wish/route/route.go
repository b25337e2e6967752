// Package route has the values that labels are turned into: what a service wants of the
// proxy, what only one can have, and the tables by which a request finds its backend. It
// is pure; its sub-packages read labels, settle claims and compile tables.
//
// It is longer than others because it is the vocabulary of its sub-packages and of rendering: types
// with their checks, and little else.
package route

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/proxy/internal/certs"
	"github.com/wagglehq/waggle/proxy/internal/wish/budget"
)

// Service is what one service wants of the proxy.
type Service struct {
	ID, Name string
	Backends []Backend
	// MaySleep says that its number of tasks may go to 0.
	MaySleep bool
	Routes   []Route
	// Redirects are hosts whose requests are sent on to another.
	Redirects []Redirect
	Streams   []Stream
	// Certificate is nil if it brings none.
	Certificate *Certificate
	// ACME is what it says of certificates that are obtained for its hosts.
	ACME ACME
	// Claims are all that it claims.
	Claims []Claim
	// Shared are for which group a claim is, if it is for one; nil for most services.
	Shared map[Claim]Owner
	// Terms are what it says of what it shares with others.
	Terms []Term
	// Bill is how much of what is limited it asks for.
	Bill *budget.Bill
}

// Backend is where a route leads: the tasks of one service, at one port.
type Backend struct {
	// Name is unique among all backends ("shop_web-be8080_1").
	Name string
	// Service is the service's name: of its cookie, say.
	Service string
	// Lookup is the absolute DNS name of the addresses; an address stands for itself.
	Lookup string
	Port   int
	// Outbound says that Lookup is not the service's own name.
	Outbound bool
	Handling Handling
	// Sleeps says that requests wait for the tasks while there are none.
	Sleeps bool
	// Stream is nil if the backend is for HTTP; otherwise nothing of Handling is set but
	// how servers are spoken to.
	Stream *StreamBackend
	// Share tells which part of a group's backend this is.
	Share Share
}

// Literal returns the address that Lookup is, not ok if it is a name.
func (b Backend) Literal() (netip.Addr, bool) {
	addr, err := netip.ParseAddr(b.Lookup)
	return addr, err == nil
}

// Host is Lookup as a label has it: without the final dot.
func (b Backend) Host() string { return strings.TrimSuffix(b.Lookup, ".") }

// Redirect sends the requests of one host to another, with path and query.
type Redirect struct {
	From, To string
	// Group is the name under which several services may say so.
	Group string
}

// Route is one way into a service: any of the hosts with any of the paths.
type Route struct {
	Service catalog.Service
	// Index is that of the labels, 0 for those without.
	Index int
	// Hosts are exact names or "*.name", or what HostMatch compares with; nil means any host.
	Hosts     []string
	HostMatch Match
	// Paths are prefixes, compared as text, unless PathType says otherwise.
	Paths    []string
	PathType PathType
	// RawPath says that its backend takes paths as they come.
	RawPath bool
	// Conditions must all hold besides.
	Conditions []Condition
	// Redirected is for requests that are sent on to a port with TLS; all others that fit
	// come before it.
	Redirected bool
	// Default takes what no route fits.
	Default bool
	// Order is the service's aclName, empty if it has none.
	Order string
	// Group is the name under which services share their routes and one backend.
	Group   string
	Backend string
	// Claims are its own, kept because each pass needs them.
	Claims []Claim
}

// ElsewhereError says that a service asks for the routes of another proxy. It is an ErrNoRoute.
type ElsewhereError struct{ Asked, Own string }

// Error names both.
func (e *ElsewhereError) Error() string {
	return fmt.Sprintf("com.df.proxyInstanceName asks for the proxy %s, and this one is %s", label.Show(e.Asked, false), e.Own)
}

// Is makes it an ErrNoRoute.
func (e *ElsewhereError) Is(target error) bool { return target == ErrNoRoute }

// ErrNoRoute says that a service wants no route. That is not a fault: it may
// be there for the monitor or the scaler only.
var ErrNoRoute = errors.New("no com.df.servicePath or com.df.serviceDomain: the service asks for no route")

// NetworkError says that the proxy cannot reach a service.
type NetworkError struct {
	Service  string
	Networks []string
	Want     []string
}

// Error names the service's networks and the one that is missing.
func (e *NetworkError) Error() string {
	have := "no network"
	if len(e.Networks) > 0 {
		have = "only " + strings.Join(e.Networks, ", ")
	}
	return fmt.Sprintf("%s is on %s, and the proxy is on %s", e.Service, have, strings.Join(e.Want, ", "))
}

// Hint is the line to add to the stack file.
func (e *NetworkError) Hint() string {
	return fmt.Sprintf("add the service to the network in its stack file: `networks: [%[1]s]`, with `networks: {%[1]s: {external: true}}` at the end", e.Want[0])
}

// Certificate is what a service brings by its label.
type Certificate struct {
	certs.Certificate
	// Name is the first domain of the service, or its own name without one.
	Name string
}

// Share is what one service has of a backend that several share. Its zero value is
// that of a backend which is one service's alone.
type Share struct {
	// Group is empty for a backend of one service. Otherwise all services of the
	// group have a backend of the same name, which is one, with the servers of all;
	// Member tells them apart.
	Group, Member string
	// Weight is the share of the service, however many tasks it has; Weighted tells
	// that its labels say so.
	Weight   int
	Weighted bool
}

// backendOf is the name of the backend of a group for HTTP. No service can have a
// colon in its name.
func (s Share) BackendOf(suffix string) string { return "group:" + s.Group + ":http" + suffix }

// IndexOf is the index of the labels that lead to a backend, 0 for those without.
func (s Service) IndexOf(b Backend) int {
	for _, r := range s.Routes {
		if r.Backend == b.Name {
			return r.Index
		}
	}
	for _, r := range s.Streams {
		if r.Backend == b.Name {
			return r.Index
		}
	}
	return 0
}
