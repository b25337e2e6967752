package listener

import (
	"fmt"
	"io"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bus/embedded"
)

// connect connects to the bus, starting one first if there is no other. writable says
// why an own one cannot write.
func (c Config) connect(sh app.Shell) (b *bus.Bus, stop func(), writable func() error, err error) {
	end, aside := func() {}, newSetAside(sh.Registry)
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
		aside(server.SetAside)
		sh.Log.Info("bus started", "url", server.URL(), "store", c.DataDir, "open", c.NATSOpen)
		end, writable, o.InProcess = server.Stop, server.Healthy, server.InProcess()
	}
	if b, err = bus.Connect(o); err != nil {
		end()
		return nil, nil, nil, err
	}
	return b, func() { b.Close(); end() }, writable, nil
}

// newSetAside returns what tells the metric of it which parts of the own server's store were set
// aside.
func newSetAside(reg prometheus.Registerer) func(func() []string) {
	var folders atomic.Pointer[func() []string]
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "waggle", Subsystem: "listener", Name: "store_set_aside",
		Help: "Folders jetstream.bad-... in the data folder, with parts of the own server's store that were damaged; until somebody removes them.",
	}, func() float64 {
		if f := folders.Load(); f != nil {
			return float64(len((*f)()))
		}
		return 0
	}))
	return func(f func() []string) { folders.Store(&f) }
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
