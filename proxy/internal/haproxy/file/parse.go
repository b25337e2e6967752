package file

import (
	"fmt"
	"net/netip"
	"strings"
)

// Parse reads a configuration that Text wrote, without its maps: what a controller that
// starts anew finds. dir is where it lies.
func Parse(text, dir string) (File, error) {
	f := File{Lists: map[string][]string{}}
	framed := false
	for _, s := range sections(text) {
		var servers []Server
		for i := len(s.Lines) - 1; i >= 0 && framed && s.Kind == KindBackend && s.Lines[i].word(0) == serverWord; i-- {
			server, err := readServer(s.Lines[i])
			if err != nil {
				return File{}, fmt.Errorf("config: %s: %w", s.Name, err)
			}
			servers, s.Lines = append([]Server{server}, servers...), s.Lines[:i]
		}
		section := NewSection(dir, s.Kind, s.Name, s.From, s.Lines...)
		switch {
		case !framed:
			f.Frame = append(f.Frame, section)
			framed = s.Kind == KindBackend && s.Name == NoBackend
		case s.Kind == KindDefaults:
			f.Profiles = append(f.Profiles, section)
		default:
			f.Backends = append(f.Backends, Backend{section, servers})
		}
		for _, l := range s.Lines {
			if l.List != "" && framed {
				f.Lists[l.List] = nil
			}
		}
	}
	if !framed {
		return File{}, fmt.Errorf("config: not a configuration of ours: no backend %s", NoBackend)
	}
	return f, nil
}

// sections takes any configuration apart.
func sections(text string) []*Section {
	var out []*Section
	for l := range strings.Lines(text) {
		title := strings.TrimLeft(l, " .#\t\r\n") == l
		switch read := Read(l); {
		case len(read.Words) == 0:
		case title:
			s := &Section{Kind: read.word(0), Name: read.word(1)}
			if read.word(2) == "from" {
				s.From = read.word(3)
			}
			out = append(out, s)
		case len(out) > 0:
			out[len(out)-1].Lines = append(out[len(out)-1].Lines, read)
		}
	}
	return out
}

func readServer(l Line) (Server, error) {
	if len(l.Words) < 3 {
		return Server{}, fmt.Errorf("server without an address: %s", l)
	}
	s := Server{Name: l.word(1)}
	var err error
	if s.Addr, err = netip.ParseAddrPort(l.word(2)); err != nil {
		return Server{}, fmt.Errorf("server %s: %w", s.Name, err)
	}
	s.numbers(l.Words[3:])
	return s, nil
}

// ReadLines takes any text of HAProxy's apart into its lines.
func ReadLines(text string) []Line {
	var out []Line
	for l := range strings.Lines(text) {
		out = append(out, Read(l))
	}
	return out
}

// WithoutServers drops the servers from a configuration's text. A container that
// starts anew must not use yesterday's addresses: they may be another tenant's. A socket of
// HAProxy's own stays.
func WithoutServers(text string) string {
	var b strings.Builder
	for l := range strings.Lines(text) {
		if read := Read(l); !strings.HasPrefix(l, indent) || read.word(0) != serverWord || strings.HasPrefix(read.word(2), Socket) {
			b.WriteString(l)
		}
	}
	return b.String()
}
