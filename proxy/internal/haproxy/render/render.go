// Package render makes HAProxy's configuration of routes, as data. It is pure: the same
// input gives the same bytes.
//
// Models and serializers are those of client-native, behind the library of library.go;
// what comes from labels is quoted before it gets there, because they do not quote.
//
// The package is longer than others because it has one small file for each feature, and what
// they write with is the same: a section that is being made (rules.go) and the library. Were
// the frame and the backends two packages, that would have to be a third, public one, and
// who adds a label would look into three places.
//
// Files from top to bottom: render.go, frame.go, backend.go, access.go, streams.go,
// services.go, challenges.go, headers.go, tls.go, scripts.go, paths.go, conditions.go, needs.go, hold.go, maxbody.go,
// forwardauth.go, reuse.go, spread.go, users.go, clients.go, peers.go, cors.go, measured.go, lists.go,
// rules.go, logs.go, settings.go, library.go, tcp.go, weight.go.
package render

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"path"
	"reflect"
	"slices"
	"strings"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/plan"
	"github.com/wagglehq/waggle/proxy/internal/wish/outbound"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// Renderer renders configurations; sections that did not change are taken from
// its cache, which does not show in the result. It belongs to one goroutine.
type Renderer struct {
	settings Settings
	library  *library
	frame    frame
	// backends are those of the last configuration, by name.
	backends     map[string]*backend
	certificates []file.Certificate
	// challenges are the questions of authorities that HAProxy answers.
	challenges []route.Entry
	secrets    map[string]string
	// forbidden are the entries of the list forwardForbidden.
	forbidden []string
}

// backend is what is rendered of a backend. from is where the backend stood when it was last
// seen: what stands there is not changed by anybody, so that one look tells that it
// is the same.
type backend struct {
	of      route.Backend
	from    *route.Backend
	section *file.Section
	profile *file.Section
	lists   []addressList
	// options are those of each server, servers those of addresses.
	options   []file.Word
	addresses []netip.Addr
	servers   []file.Server
}

// NewRenderer checks the settings by rendering the frame.
func NewRenderer(s Settings) (*Renderer, error) {
	l, err := newLibrary()
	if err != nil {
		return nil, err
	}
	if file.W(s.Dir).Wrong() {
		return nil, fmt.Errorf("config: %q: want a folder whose name means nothing to HAProxy", s.Dir)
	}
	r := &Renderer{settings: s, library: l, backends: map[string]*backend{}}
	r.SetForbidden(outbound.Rules{}.Forbidden(nil))
	if r.frame, err = r.frame.of(s, l, route.Tables{}, needs{}); err != nil {
		return nil, err
	}
	return r, file.File{Frame: r.frame.with(s, needs{}, userLists{})}.Check()
}

// Render returns the configuration of services. addresses returns the present ones
// of a backend of a service.
func (r *Renderer) Render(services []route.Service, tables route.Tables, addresses func(route.Service, route.Backend) []netip.Addr) (file.File, error) {
	n := needsOf(services)
	frame, err := r.frame.of(r.settings, r.library, tables, n)
	if err != nil {
		return file.File{}, err
	}
	r.frame = frame
	f := file.File{Certificates: r.certificates, Maps: map[string][]route.Entry{
		file.HostsMap: tables.Hosts, file.WildcardsMap: tables.Wildcards, file.PathsMap: tables.Paths, file.RedirectsMap: tables.Redirects,
		file.ChallengesMap: r.challenges,
	}, Lists: map[string][]string{}}
	r.settings.addLists(f.Lists)
	lists := userListsOf(r.settings, r.secrets, n.users)
	f.Scripts = n.scripts(lists)
	if n.askElsewhere {
		f.Lists[forwardForbidden] = r.forbidden
	}
	f.Frame, f.Faults = r.frame.with(r.settings, n, lists), lists.faults
	backends := make(map[string]*backend, len(r.backends))
	members := map[string][]member{}
	sleep := sleeping(services)
	for _, svc := range services {
		for i, b := range svc.Backends {
			if slices.ContainsFunc(members[b.Name], func(m member) bool { return m.share.Member == b.Share.Member }) {
				continue // another index of the service leads to the same tasks
			}
			b.Sleeps = sleep[b.Name]
			one, ok := backends[b.Name] // there already for the other members of a group
			if !ok {
				one, ok = r.backends[b.Name]
				ok = ok && one.of.Sleeps == b.Sleeps && (one.from == &svc.Backends[i] || reflect.DeepEqual(one.of, b))
			}
			if !ok {
				if one, err = r.renderBackend(b); err != nil {
					return file.File{}, err
				}
			}
			one.from = &svc.Backends[i]
			backends[b.Name] = one
			for _, l := range one.lists {
				f.Lists[l.name] = l.entries
			}
			out := file.Backend{Section: one.section, Servers: one.serversOf(b, addresses(svc, b))}
			if b.Share.Group != "" {
				members[b.Name] = append(members[b.Name], member{b.Share, len(out.Servers)})
			}
			f.Backends = append(f.Backends, out)
			if b.Handling.VerifyClient && !r.knowsClients() {
				f.Faults = append(f.Faults, b.Name+": com.df.verifyClientSsl: the proxy has no CA_FILE, so every request is answered 403")
			}
		}
	}
	r.backends = backends
	slices.SortStableFunc(f.Backends, func(a, b file.Backend) int { return strings.Compare(a.Name, b.Name) })
	f.Backends = together(f.Backends)
	for i, b := range f.Backends {
		weigh(&f.Backends[i], members[b.Name])
	}
	f.Profiles = profiles(backends)
	return f, nil
}

// knowsClients reports whether there may be an authority of client certificates: the
// operator's, or one in a list of certificates of his own.
func (r *Renderer) knowsClients() bool {
	list := r.settings.CertList
	return r.settings.TLS.CAFile != "" || list != "" && list != path.Join(r.settings.Dir, file.CertList)
}

// sleeping are the backends whose requests wait while there is no task: those of groups
// too, if one member may sleep.
func sleeping(services []route.Service) map[string]bool {
	out := map[string]bool{}
	for _, svc := range services {
		for i := range svc.Backends {
			if b := &svc.Backends[i]; b.Sleeps {
				out[b.Name] = true
			}
		}
	}
	return out
}

// serversOf are the servers of a backend. They are kept as long as its addresses are the
// same, but for those of groups, whose weights change.
func (one *backend) serversOf(b route.Backend, addresses []netip.Addr) []file.Server {
	if b.Share.Group == "" && one.servers != nil && slices.Equal(one.addresses, addresses) {
		return one.servers
	}
	var out []file.Server
	for _, a := range addresses {
		server := file.Server{
			Name: file.ServerName(b, a), Addr: netip.AddrPortFrom(a, uint16(b.Port)), MaxConn: spreadOf(b).MaxConn, Options: one.options,
		}
		if b.Handling.Sticky {
			server.Options = slices.Concat(one.options, bare("cookie", cookieValue(b.Name, server.Name)))
		}
		out = append(out, server)
	}
	slices.SortFunc(out, func(a, b file.Server) int { return strings.Compare(a.Name, b.Name) })
	if b.Share.Group == "" {
		one.addresses, one.servers = addresses, out
	}
	return out
}

// cookieValue stands for a task in a client's cookie without telling its address.
func cookieValue(backend, server string) string {
	sum := sha256.Sum256([]byte(backend + " " + server))
	return hex.EncodeToString(sum[:8])
}

// together makes one backend of neighbours with the same name: those of a group.
func together(backends []file.Backend) []file.Backend {
	out := backends[:0]
	for _, b := range backends {
		if n := len(out); n > 0 && out[n-1].Name == b.Name {
			servers := slices.Concat(out[n-1].Servers, b.Servers)
			slices.SortFunc(servers, func(a, b file.Server) int { return strings.Compare(a.Name, b.Name) })
			out[n-1].Servers = servers
			continue
		}
		out = append(out, b)
	}
	return out
}

// profiles are those of the backends, each once, sorted by name.
func profiles(backends map[string]*backend) []*file.Section {
	var out []*file.Section
	for _, b := range backends {
		if b.profile != nil {
			out = append(out, b.profile)
		}
	}
	slices.SortFunc(out, func(a, b *file.Section) int { return strings.Compare(a.Name, b.Name) })
	return slices.CompactFunc(out, func(a, b *file.Section) bool { return a.Name == b.Name })
}

// renderBackend returns what is rendered of a backend but for its servers.
func (r *Renderer) renderBackend(b route.Backend) (*backend, error) {
	section, err := r.library.backendSection(r.settings, b)
	if err != nil {
		return nil, err
	}
	out := &backend{of: b, section: section, lists: lists(b.Name, b.Handling.Access), options: serverOptions(r.settings, b)}
	if b.Handling.Extra == "" {
		out.section, out.profile = plan.Profile(r.settings.Dir, section)
	}
	return out, nil
}

// Certify makes the certificates part of what is rendered; the first is the default. With
// the first one the ports with TLS open, after the last one they close.
func (r *Renderer) Certify(certificates []file.Certificate) {
	list := ""
	if len(certificates) > 0 {
		list = path.Join(r.settings.Dir, file.CertList)
		def := file.Certificate{File: file.DefaultCert, PEM: certificates[0].PEM, Only: []string{noName}}
		certificates = slices.Concat([]file.Certificate{def}, certificates)
	}
	if list != r.settings.CertList {
		r.settings.CertList, r.frame = list, frame{}
	}
	r.certificates = certificates
}

// Challenge is a question of an authority with its answer.
type Challenge struct{ Host, Token, Answer string }

// SetChallenges gives the questions that HAProxy answers, each for its host alone. Whatever else
// is asked for below that path goes its usual way.
func (r *Renderer) SetChallenges(challenges []Challenge) {
	r.challenges = make([]route.Entry, 0, len(challenges))
	for _, c := range challenges {
		if plainToken(c.Token) && plainToken(strings.Replace(c.Answer, ".", "", 1)) {
			r.challenges = append(r.challenges, route.Entry{Key: strings.ToLower(c.Host) + challengePath + c.Token, Value: c.Answer})
		}
	}
	slices.SortFunc(r.challenges, func(a, b route.Entry) int { return strings.Compare(a.Key, b.Key) })
}

// noName is the filter of an entry that fits no name.
const noName = "!*"

// SetForbidden gives the networks in which nobody may be whom a label has asked about requests.
func (r *Renderer) SetForbidden(networks []netip.Prefix) {
	r.forbidden = entries(networks)
}

// SetSecrets gives the contents of secrets with users, by the names that labels call
// them by. One that is not there is no part of the map.
func (r *Renderer) SetSecrets(contents map[string]string) { r.secrets = contents }
