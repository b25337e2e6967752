package file

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// Defaults is the named defaults section from which every section derives, StreamDefaults
// that of what is not HTTP.
const (
	Defaults       = "waggle"
	StreamDefaults = "waggle_tcp"
)

// StreamFrontend is how the names of frontends for connections that are not HTTP begin; the
// number of the port follows.
const StreamFrontend = "tcp_"

// NoBackend answers requests that fit no route. It ends the frame.
const NoBackend = route.Nobody

// Ambiguous answers requests whose path can be read in two ways that lead to two places.
const Ambiguous = "waggle_ambiguous"

// The kinds of sections that others than HAProxy tell apart.
const (
	KindDefaults = "defaults"
	KindBackend  = "backend"
)

// The look-up tables, by file name in the folder of the configuration.
const (
	HostsMap     = "hosts.map"
	WildcardsMap = "wildcards.map"
	PathsMap     = "paths.map"
	RedirectsMap = "redirects.map"
	// ChallengesMap has the answers to the questions by which authorities find out whose a host
	// is, by host and path.
	ChallengesMap = "challenges.map"
)

// MapNames are all tables, in the order in which they are written.
func MapNames() []string {
	return []string{HostsMap, WildcardsMap, PathsMap, RedirectsMap, ChallengesMap}
}

// File is a whole configuration: haproxy.cfg in its three parts, and the files beside it.
type File struct {
	// Frame is everything but the services' backends.
	Frame []*Section
	// Profiles are the defaults sections that hold what backends do, sorted by name. All that
	// do the same derive from the same one, so that HAProxy 3.4, which is told nothing but
	// name and defaults section of a backend while it runs, can be told of a further one.
	Profiles []*Section
	// Backends are sorted by name.
	Backends []Backend
	// Maps are the tables by file name.
	Maps map[string][]route.Entry
	// Certificates are what clients are shown, the default first.
	Certificates []Certificate
	// Lists are addresses by file name, and Scripts the contents of files.
	Lists   map[string][]string
	Scripts map[string]string
	// Faults say why somebody does not get in, each after the name of a list of users, or of a
	// backend, and a colon.
	Faults []string
}

// parts are all sections in their order, with their servers.
func (f File) parts() iter.Seq2[*Section, []Server] {
	return func(yield func(*Section, []Server) bool) {
		for _, s := range slices.Concat(f.Frame, f.Profiles) {
			if !yield(s, nil) {
				return
			}
		}
		for _, b := range f.Backends {
			if !yield(b.Section, b.Servers) {
				return
			}
		}
	}
}

// Text is haproxy.cfg.
func (f File) Text() string {
	var b strings.Builder
	for s, servers := range f.parts() {
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(s.text)
		for _, server := range servers {
			b.WriteString(server.line().written() + "\n")
		}
	}
	return b.String()
}

// Lines are those of haproxy.cfg, each as a line of its own there; blank ones and the
// titles of sections are no words of any directive.
func (f File) Lines() iter.Seq[Line] {
	return func(yield func(Line) bool) {
		first := true
		for s, servers := range f.parts() {
			if !first && !yield(Line{}) || !yield(Line{as: s.title()}) {
				return
			}
			first = false
			for _, l := range s.Lines {
				if !yield(l) {
					return
				}
			}
			for _, server := range servers {
				if !yield(server.line()) {
					return
				}
			}
		}
	}
}

// Check finds the first line that HAProxy would not take, or not as it is meant; the error
// is a *LineError.
func (f File) Check() error {
	for s, servers := range f.parts() {
		if err := s.check(); err != nil {
			return err
		}
		for _, server := range servers {
			if err := server.line().check(s.title()); err != nil {
				return err
			}
		}
	}
	return nil
}

// Has reports whether a line of the frame names a file, as the runtime API wants to be told
// before it is asked for one.
func (f File) Has(path string) bool {
	return slices.ContainsFunc(f.Frame, func(s *Section) bool {
		return slices.ContainsFunc(s.Lines, func(l Line) bool {
			return slices.ContainsFunc(l.Words, func(w Word) bool {
				text := w.Text()
				// A converter may have what it says of anything else beside the file.
				return text == path || strings.Contains(text, "("+path+")") || strings.Contains(text, "("+path+",")
			})
		})
	})
}

// SameFrame reports whether two configurations differ in nothing but services.
func (f File) SameFrame(other File) bool {
	return slices.EqualFunc(f.Frame, other.Frame, (*Section).Equal)
}

// ProfileNames are the names of the profiles of a configuration.
func (f File) ProfileNames() map[string]bool {
	out := make(map[string]bool, len(f.Profiles))
	for _, p := range f.Profiles {
		out[p.Name] = true
	}
	return out
}

// ListNames are the names of a configuration's lists, sorted.
func (f File) ListNames() []string { return slices.Sorted(maps.Keys(f.Lists)) }

// MapText is the content of one table's file.
func MapText(entries []route.Entry) string {
	size := 0
	for _, e := range entries {
		size += len(e.Key) + len(e.Value) + 2
	}
	var b strings.Builder
	b.Grow(size)
	for _, e := range entries {
		b.WriteString(e.Key)
		b.WriteByte(' ')
		b.WriteString(e.Value)
		b.WriteByte('\n')
	}
	return b.String()
}

// ListText is the content of a list's file.
func ListText(entries []string) string {
	if len(entries) == 0 {
		return ""
	}
	return strings.Join(entries, "\n") + "\n"
}

// Hash names the configuration without its servers and places: replicas that agree on the
// routes have the same, although each looks addresses up by itself.
func (f File) Hash() string {
	h := sha256.New()
	out := bufio.NewWriter(h) // neither of them fails
	write := func(parts ...string) {
		for _, p := range parts {
			_, _ = out.WriteString(p)
		}
	}
	const end = "\x00"
	for s := range f.parts() {
		write(s.title(), end, s.shared, end)
	}
	for _, name := range MapNames() {
		write(name, end)
		for _, e := range f.Maps[name] {
			write(e.Key, " ", e.Value, "\n") // as MapText
		}
		write(end)
	}
	for _, name := range f.ListNames() {
		write(name, end, ListText(f.Lists[name]), end)
	}
	_ = out.Flush()
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// Fingerprint names what a section's lines say, wherever files lie. It is so long that nobody
// can search for labels whose section has the name of another service's.
func (s *Section) Fingerprint() string {
	sum := sha256.Sum256([]byte(s.shared))
	return hex.EncodeToString(sum[:12])
}
