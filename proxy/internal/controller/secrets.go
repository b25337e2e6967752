package controller

import (
	"log/slog"
	"strings"

	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// secrets are those that hold users.
type secrets struct {
	// read returns the content of one, and whether it is there.
	read func(name string) (content string, ok bool, err error)
	log  *slog.Logger
	// unreadable and faults are what was last logged of secrets, and of users in them.
	unreadable, faults string
}

// of reads the secrets of the services in force. They are read anew for every
// configuration, so that a file that changes takes effect with the next pass. One that
// cannot be read counts as absent: then nobody gets in, which harms its service alone.
func (s *secrets) of(services []route.Service) map[string]string {
	contents := map[string]string{}
	if s.read == nil {
		return contents
	}
	var unreadable []string
	for _, name := range secretsOf(services) {
		content, ok, err := s.read(name)
		if err != nil {
			unreadable = append(unreadable, err.Error())
		}
		if ok && err == nil {
			contents[name] = content
		}
	}
	if text := strings.Join(unreadable, "; "); text != s.unreadable {
		s.unreadable = text
		if text != "" {
			s.log.Warn("secrets with users cannot be read", "error", text)
		}
	}
	return contents
}

// secretsOf names the secrets of services, some of them perhaps more than once.
func secretsOf(services []route.Service) []string {
	var out []string
	for _, s := range services {
		for _, b := range s.Backends {
			if u := b.Handling.Access.Users; u != nil && u.Secret != "" {
				out = append(out, u.Secret)
			}
		}
	}
	return out
}

// logFaults logs, once for each change, why somebody does not get in.
func (s *secrets) logFaults(faults []string) {
	text := strings.Join(faults, "; ")
	if text != s.faults && text != "" {
		s.log.Warn("some users do not get in, or take long", "reason", shorten(text))
	}
	s.faults = text
}
