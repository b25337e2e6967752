// Package plan says what must be done to make a running HAProxy equal to a configuration,
// and shapes a configuration so that little of that needs a reload. It is pure.
package plan

import (
	"slices"
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

// Diff returns the plan from have to want.
func Diff(have, want file.File, can Abilities) Plan {
	var p Plan
	if !have.SameFrame(want) {
		return Plan{Reload: ReloadFrame}
	}
	because := map[string][]string{}
	i, j := 0, 0
	for i < len(have.Backends) || j < len(want.Backends) {
		switch order(have.Backends, i, want.Backends, j) {
		case -1:
			p.DelBackends = append(p.DelBackends, have.Backends[i])
			i++
		case 1:
			b := want.Backends[j]
			if reason, ok := can.add(b); !ok {
				because[reason] = append(because[reason], b.Name)
			}
			p.AddBackends = append(p.AddBackends, b)
			j++
		default:
			b := want.Backends[j]
			if !have.Backends[i].Section.Equal(b.Section) {
				because[ReloadBackend] = append(because[ReloadBackend], b.Name)
			} else if !p.diffServers(have.Backends[i], b) {
				because[ReloadServer] = append(because[ReloadServer], b.Name)
			}
			i++
			j++
		}
	}
	for _, reason := range []string{ReloadBackend, ReloadServer, ReloadVersion} {
		if names := because[reason]; len(names) > 0 {
			return Plan{Reload: reason, Because: names}
		}
	}
	// A backend that nothing leads to does no harm until the next reload.
	p.DelBackends = slices.DeleteFunc(p.DelBackends, func(b file.Backend) bool {
		stays := !can.DynamicBackends || b.Counts()
		if stays {
			p.diffServers(b, file.Backend{Section: b.Section})
		}
		return stays
	})
	if p.diffCertificates(have.Certificates, want.Certificates); p.Reload != "" {
		return p
	}
	if !p.diffLists(have, want) {
		return Plan{Reload: ReloadBackend}
	}
	p.diffMap(file.HostsMap, have.Maps[file.HostsMap], want.Maps[file.HostsMap])
	if !slices.Equal(have.Maps[file.WildcardsMap], want.Maps[file.WildcardsMap]) {
		p.ReplaceMaps = append(p.ReplaceMaps, MapChange{file.WildcardsMap, want.Maps[file.WildcardsMap]})
	}
	p.diffMap(file.RedirectsMap, have.Maps[file.RedirectsMap], want.Maps[file.RedirectsMap])
	p.diffMap(file.PathsMap, have.Maps[file.PathsMap], want.Maps[file.PathsMap])
	return p
}

// order is -1 if the next name is on the left alone, 1 if on the right alone.
func order(left []file.Backend, i int, right []file.Backend, j int) int {
	switch {
	case j == len(right):
		return -1
	case i == len(left):
		return 1
	}
	return strings.Compare(left[i].Name, right[j].Name)
}

// diffServers reports whether HAProxy can change the servers of a backend while it runs.
func (p *Plan) diffServers(have, want file.Backend) bool {
	if slices.EqualFunc(have.Servers, want.Servers, file.Server.Equal) {
		return true // as nearly all are
	}
	old := make(map[string]file.Server, len(have.Servers))
	for _, s := range have.Servers {
		old[s.Name] = s
	}
	for _, s := range want.Servers {
		was, ok := old[s.Name]
		delete(old, s.Name)
		switch {
		case !ok:
			p.AddServers = append(p.AddServers, ServerChange{want.Name, s})
		case was.Equal(s):
		case was.Becomes(s):
			p.SetServers = append(p.SetServers, ServerUpdate{want.Name, was, s})
		default:
			// All servers of a backend change at once, so that none would be left to serve
			// while the others are replaced.
			return false
		}
	}
	for _, s := range have.Servers {
		if _, gone := old[s.Name]; gone {
			p.DelServers = append(p.DelServers, ServerChange{have.Name, s})
		}
	}
	return true
}

func (p *Plan) diffMap(name string, have, want []route.Entry) {
	old := make(map[string]string, len(have))
	for _, e := range have {
		old[e.Key] = e.Value
	}
	for _, e := range want {
		switch value, ok := old[e.Key]; {
		case !ok && name == file.PathsMap:
			p.NewPaths = append(p.NewPaths, EntryChange{Map: name, Entry: e, New: true})
		case !ok || value != e.Value:
			p.SetEntries = append(p.SetEntries, EntryChange{Map: name, Entry: e, New: !ok})
		}
		delete(old, e.Key)
	}
	for _, e := range have {
		if _, ok := old[e.Key]; ok {
			p.DelEntries = append(p.DelEntries, EntryChange{Map: name, Entry: e})
		}
	}
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
