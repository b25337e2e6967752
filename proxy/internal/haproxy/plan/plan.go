// Package plan says what must be done to make a running HAProxy equal to a configuration,
// and shapes a configuration so that little of that needs a reload. It is pure.
//
// Files from top to bottom: diff.go, certificates.go, lists.go, plan.go, profile.go.
package plan

import (
	"strconv"
	"strings"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// Plan is what makes a running HAProxy equal to a configuration.
type Plan struct {
	// Reload says why HAProxy must reload ("frame", "backend", "certificate"); empty if the rest, in its order, suffices.
	Reload string
	// Because names the backends for which it must.
	Because []string
	// AddBackends are new backends, with their servers, that can be added at run time.
	AddBackends []file.Backend
	AddServers  []ServerChange
	// SetServers are servers whose weight or number of connections changes.
	SetServers []ServerUpdate
	// NewPaths are entries of the table of paths. They come before all that finds a class, so
	// that what is found leads somewhere.
	NewPaths []EntryChange
	// ReplaceMaps are replaced as a whole; their order matters.
	ReplaceMaps []MapChange
	// SetEntries come before DelEntries, so that no request falls between.
	SetEntries []EntryChange
	DelEntries []EntryChange
	// AddEntries and DropEntries are those of lists of addresses.
	AddEntries, DropEntries []ListChange
	DelServers              []ServerChange
	// DelBackends are backends that no table names any more.
	DelBackends []file.Backend
	// Certificates are those that change, in this order.
	Certificates []CertificateChange
}

// ServerChange is one server of one backend.
type ServerChange struct {
	Backend string
	Server  file.Server
}

// ServerUpdate is a server that becomes another one while it runs; see file.Server.Becomes.
type ServerUpdate struct {
	Backend   string
	Was, Then file.Server
}

// MapChange is the new content of one table.
type MapChange struct {
	Map     string
	Entries []route.Entry
}

// EntryChange is one entry of one table; New entries are added, others changed.
type EntryChange struct {
	Map string
	route.Entry
	New bool
}

// Empty reports whether nothing needs to be done.
func (p Plan) Empty() bool {
	return p.Reload == "" && len(p.AddBackends)+len(p.AddServers)+len(p.SetServers)+len(p.NewPaths)+len(p.ReplaceMaps)+len(p.SetEntries)+
		len(p.DelEntries)+len(p.AddEntries)+len(p.DropEntries)+len(p.DelServers)+len(p.DelBackends)+len(p.Certificates) == 0
}

// Abilities are what the running HAProxy can do without a reload.
type Abilities struct {
	// DynamicBackends: backends can be added and removed (HAProxy 3.4).
	DynamicBackends bool
	// Profiles are those that it has read; a backend can be added only from them.
	Profiles map[string]bool
}

// The reasons for which a plan wants a reload.
const (
	// ReloadFrame: a setting, a port, a condition or user list, the first redirect or certificate.
	ReloadFrame = "frame"
	// ReloadBackend: a backend does something else than before, or a new one
	// something that no other does.
	ReloadBackend = "backend"
	// ReloadServer: servers have options that HAProxy cannot change.
	ReloadServer = "server"
	// ReloadVersion: a new backend, and HAProxy is older than 3.4.
	ReloadVersion = "version"
)

// add reports whether a backend can be added to a running HAProxy, or else why not.
func (a Abilities) add(b file.Backend) (reason string, ok bool) {
	switch {
	case !a.DynamicBackends:
		return ReloadVersion, false
	case b.Plain() && (b.From == file.Defaults || b.From == file.StreamDefaults || a.Profiles[b.From]):
		return "", true
	}
	return ReloadBackend, false
}

// String tells the plan in the order in which it is carried out.
func (p Plan) String() string {
	var out []string
	add := func(words ...string) { out = append(out, strings.Join(words, " ")) }
	if p.Reload != "" {
		add("reload", p.Reload)
	}
	for _, b := range p.AddBackends {
		add("add", b.Name)
	}
	for _, s := range p.AddServers {
		add("add", s.Backend+"/"+s.Server.Name)
	}
	for _, s := range p.SetServers {
		weight, maxConn := s.Then.Weight(), s.Then.MaxConn
		add("set", s.Backend+"/"+s.Then.Name, "weight="+strconv.Itoa(weight), "maxconn="+strconv.Itoa(maxConn))
	}
	for _, e := range p.NewPaths {
		add("new", e.Map, e.Key+"="+e.Value)
	}
	for _, m := range p.ReplaceMaps {
		add("replace", m.Map)
	}
	for _, e := range p.SetEntries {
		verb := "set"
		if e.New {
			verb = "new"
		}
		add(verb, e.Map, e.Key+"="+e.Value)
	}
	for _, e := range p.DelEntries {
		add("del", e.Map, e.Key)
	}
	for _, e := range p.AddEntries {
		add("new", e.List, e.Entry)
	}
	for _, e := range p.DropEntries {
		add("del", e.List, e.Entry)
	}
	for _, s := range p.DelServers {
		add("del", s.Backend+"/"+s.Server.Name)
	}
	for _, b := range p.DelBackends {
		add("del", b.Name)
	}
	for _, c := range p.Certificates {
		add(c.Verb, "certificate", c.File)
	}
	return strings.Join(out, "; ")
}

// CertificateChange is what is done with one certificate: add, set or del, or list if
// only its hosts change.
type CertificateChange struct {
	Verb string
	file.Certificate
}

// ListChange is one entry of one list.
type ListChange struct{ List, Entry string }
