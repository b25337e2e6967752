package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/wagglehq/waggle/compose/waggle/internal/console"
	"github.com/wagglehq/waggle/pkg/app"
)

type consoleCommand struct {
	Listen  string `help:"Where it answers (variable WAGGLE_CONSOLE_LISTEN)." default:"${listen}" placeholder:"ADDRESS:PORT"`
	From    string `help:"Who is answered beside this machine: proxy, which asks people who they are, or anybody (variable WAGGLE_CONSOLE_FROM)." default:"${from}" placeholder:"WHO"`
	Network string `name:"control-network" help:"The network of Docker on which the listener's name is looked for, and nowhere else; none if it is empty (variable WAGGLE_CONTROL_NETWORK)." default:"${network}" placeholder:"NETWORK"`
}

// The times of the console's server. A page that is open is written to for as long as it is,
// with deadlines of its own.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 15 * time.Second
	writeTimeout  = time.Minute
	idleTimeout   = 2 * time.Minute
	drainTimeout  = time.Second
)

// Run serves the console until the command ends.
func (c *consoleCommand) Run(r *run) error {
	log := slog.New(slog.NewJSONHandler(r.Err, nil))
	listener := console.Listener{URL: r.url, Token: r.token}
	if c.Network != "" {
		listener.Client = console.OnNetwork(app.DockerNetwork(c.Network, "console"))
	}
	page, err := console.New(console.Options{Listener: listener, From: c.From, Log: log})
	if err != nil {
		return exit{code: Usage, text: err.Error()}
	}
	ln, err := (&net.ListenConfig{}).Listen(r.ctx, "tcp", c.Listen)
	if err != nil {
		return exit{code: Usage, text: err.Error()}
	}
	fmt.Fprintf(r.Out, "the console answers at http://%s/\n", ln.Addr())
	ctx, stop := context.WithCancel(r.ctx)
	defer stop()
	server := &http.Server{
		Handler: page.Handler(), ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn), BaseContext: func(net.Listener) context.Context { return ctx },
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(ln) }()
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		page.Follow(ctx)
	}()
	select {
	case err = <-failed:
	case <-r.ctx.Done():
	}
	stop() // pages that are open end, and what follows the listener
	<-followed
	drain, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), drainTimeout)
	defer cancel()
	return errors.Join(err, server.Shutdown(drain))
}
