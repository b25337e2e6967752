// Package app is the shell of every service: command line and environment,
// logger, metrics registry, signals, and the exit code.
package app

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Shell is what a service gets from its process.
type Shell struct {
	Name, Version string
	Log           *slog.Logger
	Registry      Registry
	// Admin is the address of the admin HTTP server, whose host may be Control.
	Admin string
	// Control is the network that Control means.
	Control Network
	// Reads are the tokens of which one must be sent to read what tells of services; without one
	// everybody reads.
	Reads Secret
	// Settings are those in force, as Settings returns them.
	Settings map[string]string
}

// Registry takes the metrics of a service and gives them to whoever asks for /metrics.
type Registry interface {
	prometheus.Registerer
	prometheus.Gatherer
}

// Chosen returns the settings of those names. A name that there is none of is left out.
func (sh Shell) Chosen(names []string) map[string]string {
	out := make(map[string]string, len(names))
	for _, name := range names {
		if text, ok := sh.Settings[name]; ok {
			out[name] = text
		}
	}
	return out
}

// Service declares its flags and returns what runs until the context ends.
type Service func(*flag.FlagSet) func(context.Context, Shell) error

// Main runs a service as a process and returns its exit code: 0 after a
// signal, 1 after a failure, 2 for a wrong command line.
func Main(name, version string, service Service, options ...Option) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return run(ctx, name, version, service, os.Args[1:], os.LookupEnv, streams{os.Stdin, os.Stdout, os.Stderr}, options...)
}

// streams are the standard ones of a process.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// Common are the settings that every service has.
type Common struct {
	// Admin is the address of the admin HTTP server.
	Admin string
	// readToken and readTokenOther let read what the admin server tells of services.
	readToken, readTokenOther Secret
	level                     slog.Level
	format                    string
	// healthcheck and version ask for something else than a running service.
	healthcheck, version bool
	// hold is for how long a health check goes on while nothing is wrong.
	hold     time.Duration
	question question
}

// Flags declares the flags with their defaults.
func (c *Common) Flags(fs *flag.FlagSet) {
	fs.StringVar(&c.Admin, "admin", Control+":8080", "address of the admin HTTP server: /healthz, /metrics, /v1; the host control is loopback and this container's address on the control network, and :8080 all addresses")
	TokenVar(fs, &c.readToken, "read-token", "bearer token that whoever reads anything but /healthz and /metrics of the admin server must send, of 16 bytes or more, or one that may change something; empty: everybody reads; of several, separated by white space, each counts")
	TokenVar(fs, &c.readTokenOther, "read-token-other", "a further read-token that is accepted as well, while one is replaced")
	fs.TextVar(&c.level, "log-level", slog.LevelInfo, "minimum level logged: debug, info, warn, error")
	fs.StringVar(&c.format, "log-format", "json", "json or text")
	fs.BoolVar(&c.healthcheck, "healthcheck", false, "ask the running service at -admin whether it is healthy, and exit")
	fs.DurationVar(&c.hold, "healthcheck-hold", 0, "with -healthcheck: while the service starts, for 30 s at most, and once Docker knows that it is healthy, go on asking for so long, and exit as soon as the answer is another; Docker's timeout must be longer")
	c.question.flags(fs)
	fs.BoolVar(&c.version, "version", false, "print the version and exit")
}

func run(ctx context.Context, name, version string, service Service, args []string, env lookup, std streams, options ...Option) int {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(std.err)
	var common Common
	common.Flags(fs)
	run := service(fs)
	complain := func(err error, code int) int {
		_, _ = fmt.Fprintf(std.err, "%s: %s\n", name, hideCredentials(err.Error()))
		return code
	}
	if err := Parse(fs, args, env, options...); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return complain(err, 2)
	}
	if err := common.question.read(); err != nil {
		return complain(err, 2)
	}
	switch {
	case common.version:
		_, _ = fmt.Fprintln(std.out, name, version)
		return 0
	case common.healthcheck:
		if err := checkHealth(ctx, common.Admin, common.hold); err != nil {
			return complain(err, 1)
		}
		return 0
	case common.question.method != "":
		if err := common.question.ask(ctx, common.Admin, cmp.Or(tokenOf(fs, "token"), tokenOf(fs, "read-token")), std.in, std.out); err != nil {
			return complain(err, 1)
		}
		return 0
	}
	sh := Shell{Name: name, Version: version, Admin: common.Admin, Control: DockerNetwork(controlOf(fs), name), Reads: common.reads(fs), Settings: Settings(fs)}
	var handler slog.Handler = slog.NewJSONHandler(std.err, &slog.HandlerOptions{Level: common.level})
	if common.format == "text" {
		handler = slog.NewTextHandler(std.err, &slog.HandlerOptions{Level: common.level})
	}
	sh.Log = slog.New(handler).With("service", name)
	sh.Registry = prometheus.NewRegistry()
	sh.Registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	sh.Log.Info("starting", "version", version, slog.Any("config", effective(fs)))
	if err := run(ctx, sh); err != nil && !errors.Is(err, context.Canceled) {
		sh.Log.Error("stopped", "error", hideCredentials(err.Error()))
		return 1
	}
	sh.Log.Info("stopped")
	return 0
}

// reads are all tokens with which somebody reads, none if everybody does: those that may change
// something may read, too.
func (c *Common) reads(fs *flag.FlagSet) Secret {
	own := c.readToken.And(c.readTokenOther)
	if own == "" {
		return ""
	}
	for _, name := range []string{"token", "token-other"} {
		if f := fs.Lookup(name); f != nil && IsSecret(f) {
			own = own.And(secretOf(f))
		}
	}
	return own
}

// controlOf is the name of the control network, by the service's setting if it has one.
func controlOf(fs *flag.FlagSet) string {
	if f := fs.Lookup("control-network"); f != nil {
		return f.Value.String()
	}
	return "waggle_control"
}
