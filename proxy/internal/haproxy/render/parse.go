package render

import (
	"fmt"
	"net/netip"
	"strings"
)

// Parse reads a configuration that Text wrote, without its maps: what a
// controller that starts anew finds.
func Parse(text string) (File, error) {
	marker := "\nbackend " + NoBackend + " from " + Defaults + "\n"
	end := strings.Index(text, marker)
	if end < 0 {
		return File{}, fmt.Errorf("config: not a configuration of ours: no backend %s", NoBackend)
	}
	end += len(marker)
	f := File{Frame: text[:end], Lists: listsIn(text[end:])}
	before, backends, _ := strings.Cut(text[end:], "\nbackend ")
	f.Profiles = parseProfiles(before)
	for block := range strings.SplitSeq(backends, "\nbackend ") {
		if strings.TrimSpace(block) == "" {
			continue
		}
		name, _, _ := strings.Cut(block, " ")
		b := Backend{Name: name}
		var own strings.Builder
		own.WriteString("backend ")
		for line := range strings.Lines(block) {
			rest, ok := strings.CutPrefix(line, serverLine)
			if !ok {
				own.WriteString(line)
				continue
			}
			server, rest, _ := strings.Cut(strings.TrimRight(rest, "\n"), " ")
			addr, options, _ := strings.Cut(rest, " ")
			at, err := netip.ParseAddrPort(addr)
			if err != nil {
				return File{}, fmt.Errorf("config: server %s of %s: %w", server, name, err)
			}
			b.Servers = append(b.Servers, Server{Name: server, Addr: at, Options: options})
		}
		b.Text = strings.TrimRight(own.String(), "\n") + "\n"
		b.From = from(name, b.Text)
		f.Backends = append(f.Backends, b)
	}
	return f, nil
}

const serverLine = "  server "

// WithoutServers drops the servers from a configuration's text. A container that
// starts anew must not use yesterday's addresses: they may be another tenant's.
func WithoutServers(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, serverLine) {
			b.WriteString(line)
		}
	}
	return b.String()
}
