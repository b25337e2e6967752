package render

import (
	"net/netip"
	"path"
	"time"

	"github.com/wagglehq/waggle/proxy/internal/settings/edge"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// Settings are the operator's part of the configuration.
type Settings struct {
	// Dir is where the look-up tables lie; the configuration names it.
	Dir string
	// StatsSocket is the runtime API's socket.
	StatsSocket string
	// Binds are where requests come in; those with TLS are open while CertList, the
	// path of a crt-list, is not empty, so that their ports never speak clear text.
	Binds    []edge.Bind
	CertList string
	TLS      edge.TLS
	// Statistics are offered on a port of their own.
	Statistics Statistics
	// MaxConn is the number of connections at a time; 0 lets HAProxy follow the
	// limit of open files.
	MaxConn int
	// Clients is how much one client may have.
	Clients Clients
	// HTTPReuse says which connections to tasks may be used again. If it is empty, that is
	// "always", but "safe" for services with HTTP/2 and with an older HAProxy.
	HTTPReuse string
	// Older says that HAProxy is older than 3.4, as which it does not know all words.
	Older bool
	// TrustedProxies are addresses whose X-Forwarded-For is kept and added to, Untrusted
	// those among them, and others, that are never trusted.
	TrustedProxies, Untrusted []netip.Prefix
	// NameServer replaces the system's in tests, for names that are looked up while HAProxy runs.
	NameServer netip.AddrPort
	// HardStopAfter ends old workers after a reload; 0 lets them finish.
	HardStopAfter time.Duration
	// MaxReloads is how many reloads an old worker may live through; 0 is no limit.
	MaxReloads int
	// HTTPSPort is the port that redirects to https name; 0 and 443 are not named.
	HTTPSPort int
	// AccessLog logs every request, not only failed ones. LogFormat is HAProxy's
	// log-format of requests, TCPLogFormat that of connections that are not HTTP; JSON
	// if empty. Captures are headers that JSON shows.
	AccessLog    bool
	LogFormat    string
	TCPLogFormat string
	Captures     []edge.Capture
	// ConnectionMode and Compression are those of services that do not choose.
	ConnectionMode string
	Compression    Compression
	// ErrorFiles are sorted by status.
	ErrorFiles []ErrorFile
	// ExtraGlobal and ExtraFrontend are the operator's raw lines.
	ExtraGlobal, ExtraFrontend []string
	// SecretsDir is where the authorities of TLS to tasks lie.
	SecretsDir string
	// MeasuredSocket takes lines that say how long requests took; empty: none are sent.
	MeasuredSocket string
	// WakeSocket takes the names of backends for which requests wait; empty: none does.
	WakeSocket string
	// Challenges says that HAProxy answers the questions of authorities, see SetChallenges.
	Challenges bool
	// Users are those of the operator, who get into services that name none.
	Users []route.User
	// Separator is that of lists, in secrets too.
	Separator string
	Timeouts  Timeouts
}

// Timeouts are HAProxy's; zero values are not allowed.
type Timeouts struct {
	Connect, Client, Server, Queue, Tunnel, HTTPRequest, HTTPKeepAlive time.Duration
}

// DefaultTimeouts are those of Docker Flow Proxy, but for that of connecting: tasks are
// near, and one that does not answer is dead. The kernel sends a lost first packet again
// after a second, for which there is just time.
func DefaultTimeouts() Timeouts {
	return Timeouts{
		Connect: 1200 * time.Millisecond, Client: 20 * time.Second, Server: 20 * time.Second, Queue: 30 * time.Second,
		Tunnel: time.Hour, HTTPRequest: 5 * time.Second, HTTPKeepAlive: 15 * time.Second,
	}
}

// MapPath is the path of a table or another file of ours, by which the runtime API knows it.
func (s Settings) MapPath(name string) string { return path.Join(s.Dir, name) }

// Statistics is HAProxy's own page. Its metrics, at /metrics of the same port, need
// no password.
type Statistics struct {
	// Address is where they are offered; empty: everywhere.
	Address string
	// Port is 0 if there is none.
	Port int
	// URI is what the page's path begins with.
	URI string
	// User and Password are empty if everybody may see it.
	User, Password string
}

// Compression is what services get that do not choose.
type Compression struct {
	Algo  string
	Types []string
}

// ErrorFile is the answer that replaces HAProxy's own to a status.
type ErrorFile struct {
	Status int
	Path   string
}

// Clients is how much one client may have, over all ports and services. A client is an
// address, with IPv6 the network of 64 bits. The zero value is no limit.
type Clients struct {
	// Connections is how many it may have at a time, Rate how many new ones in a time.
	Connections int
	Rate        *route.Limit
}

func (c Clients) limited() bool { return c.Connections > 0 || c.Rate != nil }

// choosesProxies says that not everybody may send a header of the PROXY protocol to a port
// for them.
func (s Settings) choosesProxies() bool { return len(s.TrustedProxies)+len(s.Untrusted) > 0 }
