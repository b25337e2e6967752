// Package render makes HAProxy's configuration of routes, as data, and the plan of
// what must be done to make a running HAProxy equal to it. It is pure: the same
// input gives the same bytes.
//
// Models and serializers are those of client-native; the texts that come from
// labels are quoted here, because the library does not quote.
package render

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"

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
	Binds    []Bind
	CertList string
	TLS      TLS
	// Statistics are offered on a port of their own.
	Statistics Statistics
	// MaxConn is the number of connections at a time; 0 lets HAProxy follow the
	// limit of open files.
	MaxConn int
	// HTTPReuse says which connections to tasks may be used again; "safe" if empty.
	HTTPReuse string
	// TrustedProxies are addresses whose X-Forwarded-For is kept and added to.
	TrustedProxies []netip.Prefix
	// HardStopAfter ends old workers after a reload; 0 lets them finish.
	HardStopAfter time.Duration
	// MaxReloads is how many reloads an old worker may live through; 0 is no limit.
	MaxReloads int
	// AccessLog logs every request, not only failed ones. LogFormat is HAProxy's
	// log-format of requests, TCPLogFormat that of connections that are not HTTP; JSON
	// if empty. Captures are headers that JSON shows.
	AccessLog    bool
	LogFormat    string
	TCPLogFormat string
	Captures     []Capture
	// ConnectionMode and Compression are those of services that do not choose.
	ConnectionMode string
	Compression    Compression
	// ErrorFiles are sorted by status.
	ErrorFiles []ErrorFile
	// ExtraGlobal and ExtraFrontend are the operator's raw lines.
	ExtraGlobal, ExtraFrontend []string
	// SecretsDir is where the authorities of TLS to tasks lie.
	SecretsDir string
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

// Defaults is the named defaults section from which every section derives.
const Defaults = "waggle"

// NoBackend answers requests that fit no route.
const NoBackend = "waggle_none"

// The look-up tables, by file name in Settings.Dir.
const (
	HostsMap     = "hosts.map"
	WildcardsMap = "wildcards.map"
	PathsMap     = "paths.map"
	RedirectsMap = "redirects.map"
)

// MapNames are all tables, in the order in which they are written.
func MapNames() []string { return []string{HostsMap, WildcardsMap, PathsMap, RedirectsMap} }

// Backend is one backend section with its servers.
type Backend struct {
	Name string
	// Text is the section without its servers.
	Text string
	// Servers are sorted by name.
	Servers []Server
	// From is the defaults section of a backend that has no lines of its own, so that
	// HAProxy 3.4 can be told of it while it runs; empty for any other.
	From string
}

// Server is one task.
type Server struct {
	// Name is the address's text; it is unique within its backend.
	Name string
	Addr netip.AddrPort
	// Options are the words behind the address, each quoted where it must be.
	Options string
}

// File is a whole configuration.
type File struct {
	// Frame is everything but the services' backends.
	Frame string
	// Profiles are what the backends derive from, sorted by name.
	Profiles []Profile
	// Backends are sorted by name.
	Backends []Backend
	// Maps are the tables by file name.
	Maps map[string][]route.Entry
	// Certificates are what clients are shown, the default first.
	Certificates []Certificate
	// Lists are addresses by file name, and Scripts the contents of files.
	Lists   map[string][]string
	Scripts map[string]string
	// Faults say what is wrong with users, for the log.
	Faults []string
}

// Renderer renders configurations; sections that did not change are taken from
// its cache, which does not show in the result. It belongs to one goroutine.
type Renderer struct {
	settings Settings
	frame    string
	// tables are those of which the frame was made, as far as it shows them.
	tables       route.Tables
	sections     map[string]*section
	certificates []Certificate
	// dirty says that the frame is not of these settings any more.
	dirty   bool
	secrets map[string]string
}

// section is the text of a backend. from is where the backend stood when it was last
// seen: what stands there is not changed by anybody, so that one look tells that it
// is the same.
type section struct {
	of      route.Backend
	from    *route.Backend
	text    string
	profile Profile
}

// NewRenderer checks the settings by rendering the frame.
func NewRenderer(s Settings) (*Renderer, error) {
	frame, err := renderFrame(s, route.Tables{})
	if err != nil {
		return nil, err
	}
	return &Renderer{settings: s, frame: frame, sections: map[string]*section{}}, nil
}

// Render returns the configuration of services. addresses returns the present ones
// of a backend of a service.
func (r *Renderer) Render(services []route.Service, tables route.Tables, addresses func(route.Service, route.Backend) []netip.Addr) (File, error) {
	if shown := (route.Tables{Chains: tables.Chains, Listeners: tables.Listeners, Redirects: tables.Redirects}); r.dirty || !reflect.DeepEqual(shown, r.tables) {
		frame, err := renderFrame(r.settings, shown)
		if err != nil {
			return File{}, err
		}
		r.frame, r.tables, r.dirty = frame, shown, false
	}
	f := File{Frame: r.frame, Certificates: r.certificates, Maps: map[string][]route.Entry{
		HostsMap: tables.Hosts, WildcardsMap: tables.Wildcards, PathsMap: tables.Paths, RedirectsMap: tables.Redirects,
	}, Lists: map[string][]string{}}
	n := needsOf(services)
	f.Frame, f.Faults = r.withNeeds(r.frame, n)
	f.Scripts = n.scripts()
	sections := make(map[string]*section, len(r.sections))
	members := map[string][]member{}
	for _, svc := range services {
		for i, b := range svc.Backends {
			if slices.ContainsFunc(members[b.Name], func(m member) bool { return m.share.Member == b.Share.Member }) {
				continue // another index of the service leads to the same tasks
			}
			s, ok := sections[b.Name] // there already for the other members of a group
			if !ok {
				s, ok = r.sections[b.Name]
				ok = ok && (s.from == &svc.Backends[i] || reflect.DeepEqual(s.of, b))
			}
			if !ok {
				text, err := renderBackend(r.settings, b)
				if err != nil {
					return File{}, err
				}
				s = &section{of: b, text: text}
				if b.Handling.Extra == "" {
					s.text, s.profile, _ = profiled(b.Name, text)
				}
			}
			s.from = &svc.Backends[i]
			sections[b.Name] = s
			for _, l := range lists(b.Name, b.Handling.Access) {
				f.Lists[l.name] = l.entries
			}
			out := Backend{Name: b.Name, Text: s.text, From: from(b.Name, s.text)}
			options := strings.Join(serverOptions(b, r.settings.SecretsDir), " ")
			for _, a := range addresses(svc, b) {
				server := Server{Name: ServerName(b, a), Addr: netip.AddrPortFrom(a, uint16(b.Port)), Options: options}
				if b.Handling.Sticky {
					server.Options = strings.TrimLeft(options+" cookie "+cookieValue(b.Name, server.Name), " ")
				}
				out.Servers = append(out.Servers, server)
			}
			slices.SortFunc(out.Servers, func(a, b Server) int { return strings.Compare(a.Name, b.Name) })
			if b.Share.Group != "" {
				members[b.Name] = append(members[b.Name], member{b.Share, len(out.Servers)})
			}
			f.Backends = append(f.Backends, out)
		}
	}
	r.sections = sections
	slices.SortStableFunc(f.Backends, func(a, b Backend) int { return strings.Compare(a.Name, b.Name) })
	f.Backends = join(f.Backends)
	for i, b := range f.Backends {
		weigh(&f.Backends[i], members[b.Name])
	}
	f.Profiles = profiles(sections)
	return f, nil
}

// cookieValue stands for a task in a client's cookie without telling its address.
func cookieValue(backend, server string) string {
	sum := sha256.Sum256([]byte(backend + " " + server))
	return hex.EncodeToString(sum[:8])
}

// Text is haproxy.cfg.
func (f File) Text() string {
	var b strings.Builder
	b.WriteString(f.Frame)
	for _, p := range f.Profiles {
		b.WriteString("\n" + p.Text)
	}
	for _, be := range f.Backends {
		b.WriteByte('\n')
		b.WriteString(be.Text)
		for _, s := range be.Servers {
			b.WriteString(strings.TrimRight(serverLine+s.Name+" "+s.Addr.String()+" "+s.Options, " ") + "\n")
		}
	}
	return b.String()
}

// MapText is the content of one table's file.
func MapText(entries []route.Entry) string {
	var b strings.Builder
	for _, e := range entries {
		b.WriteString(e.Key + " " + e.Value + "\n")
	}
	return b.String()
}

// Hash names the configuration without its servers and places: replicas that agree on the
// routes have the same, although each looks addresses up by itself.
func (f File) Hash() string {
	h := sha256.New()
	write := func(parts ...string) {
		for _, p := range parts {
			_, _ = h.Write([]byte(p))
			_, _ = h.Write([]byte{0})
		}
	}
	write(shared(f.Frame))
	for _, p := range f.Profiles {
		write(shared(p.Text))
	}
	for _, b := range f.Backends {
		write(b.Name, shared(b.Text))
	}
	for _, name := range MapNames() {
		write(name, MapText(f.Maps[name]))
	}
	for _, name := range f.ListNames() {
		write(name, ListText(f.Lists[name]))
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// MapPath is the path of a table, by which the runtime API knows it.
func (s Settings) MapPath(name string) string { return path.Join(s.Dir, name) }
