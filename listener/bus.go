package listener

import (
	"fmt"
	"io"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bus/embedded"
)

// connect connects to the bus, starting one first if there is no other. writable says
// why an own one cannot write.
func (c Config) connect(sh app.Shell) (b *bus.Bus, stop func(), writable func() error, err error) {
	end := func() {}
	o := bus.Options{
		URL: c.NATSURL, Component: bus.Listener, Key: string(c.KeyListener), CA: c.NATSCA, ControlNetwork: c.ControlNetwork, Log: sh.Log,
	}
	writable = func() error { return nil }
	if c.NATSURL == "" {
		e := embedded.Options{Dir: c.DataDir, Host: c.NATSHost, Port: c.NATSPort, Log: sh.Log}
		if !c.NATSOpen {
			e.Keys = c.keys()
		}
		server, err := embedded.Start(e)
		if err != nil {
			return nil, nil, nil, err
		}
		sh.Log.Info("bus started", "url", server.URL(), "store", c.DataDir, "open", c.NATSOpen)
		end, writable, o.InProcess = server.Stop, server.Healthy, server.InProcess()
	}
	if b, err = bus.Connect(o); err != nil {
		end()
		return nil, nil, nil, err
	}
	return b, func() { b.Close(); end() }, writable, nil
}

// printNATSConfig prints what a nats-server of others needs to know.
func (c Config) printNATSConfig(to io.Writer) error {
	text, err := bus.ServerConfig(c.keys())
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(to, text)
	return err
}
