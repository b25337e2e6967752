package controller

import (
	"strings"

	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// readUsers gives the renderer the secrets of the services in force. They are read
// anew for every configuration, so that a file that changes takes effect with the
// next pass. One that cannot be read counts as absent: then nobody gets in, which
// harms its service alone.
func (c *Controller) readUsers() {
	contents := map[string]string{}
	var unreadable []string
	for _, name := range secretsOf(c.desired.Services) {
		if c.o.Users == nil {
			break
		}
		content, ok, err := c.o.Users(name)
		if err != nil {
			unreadable = append(unreadable, err.Error())
		}
		if ok && err == nil {
			contents[name] = content
		}
	}
	if text := strings.Join(unreadable, "; "); text != c.unreadable {
		c.unreadable = text
		if text != "" {
			c.o.Log.Warn("secrets with users cannot be read", "error", text)
		}
	}
	c.renderer.SetSecrets(contents)
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

// tellUsers logs, once for each change, why somebody does not get in.
func (c *Controller) tellUsers(faults []string) {
	text := strings.Join(faults, "; ")
	if text != c.users && text != "" {
		c.o.Log.Warn("some users do not get in", "reason", shorten(text))
	}
	c.users = text
}
