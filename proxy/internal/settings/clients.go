package settings

import (
	"flag"
	"fmt"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/render"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// clients are the settings of how much one client may have, over all services.
type clients struct {
	Connections int
	Rate        string
}

func (c *clients) flags(fs *flag.FlagSet) {
	fs.IntVar(&c.Connections, "client-connections", 0, "how many connections one client may have at a time, over all services and ports; further ones are closed. A client is an address, with IPv6 the network of 64 bits; trusted-proxies are not counted. Each replica counts for itself; 0: any number")
	fs.StringVar(&c.Rate, "client-connection-rate", "", "how many new connections one client may make in a time, such as 100/10s, in the way of client-connections; empty: any number")
}

// settings checks them and adds them to those of HAProxy.
func (c *clients) settings(s *render.Settings) error {
	if c.Connections < 0 {
		return fmt.Errorf("client-connections: %d: want a number of connections, or 0", c.Connections)
	}
	s.Clients.Connections = c.Connections
	if c.Rate == "" {
		return nil
	}
	l, ok := route.ParseLimit(c.Rate)
	if !ok {
		return fmt.Errorf("client-connection-rate: %q: want connections and whole seconds, minutes or hours, such as 100/10s", c.Rate)
	}
	s.Clients.Rate = &l
	return nil
}
