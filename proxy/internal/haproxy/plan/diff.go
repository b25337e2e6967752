package plan

import (
	"slices"
	"strings"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

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
	p.diffMap(file.ChallengesMap, have.Maps[file.ChallengesMap], want.Maps[file.ChallengesMap])
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
