// Package embedded runs a NATS server with JetStream inside the process. Only the
// listener, which offers it to the others, and tests use it.
package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/wagglehq/waggle/pkg/bus"
)

// Options say where the server keeps its store and whom it admits.
type Options struct {
	// Dir is the folder of the store.
	Dir string
	// Host and Port are where other components connect; Port -1 takes a free
	// one, 0 means that only this process can connect.
	Host string
	Port int
	// Keys are the secrets of the components by name. Without any, everybody
	// who can reach the port is admitted, which is for tests.
	Keys map[string]string
	Log  *slog.Logger
}

// Server is a running server.
type Server struct{ s *server.Server }

// Start starts a server and waits until it is ready, for at most 10 s.
func Start(o Options) (*Server, error) {
	opts := &server.Options{
		ServerName: "waggle", JetStream: true, StoreDir: o.Dir, NoSigs: true, NoLog: o.Log == nil,
		Host: o.Host, Port: o.Port, DontListen: o.Port == 0,
		JetStreamMaxMemory: 64 << 20, JetStreamMaxStore: 1 << 30,
		WriteDeadline: 5 * time.Second, MaxPayload: 1 << 20,
	}
	for component, key := range o.Keys {
		public, err := bus.PublicKey(component, key)
		if err != nil {
			return nil, err
		}
		opts.Nkeys = append(opts.Nkeys, &server.NkeyUser{Nkey: public, Permissions: permissions(component)})
	}
	// The server itself would only log what is wrong with its folder, and not start.
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("embedded NATS: folder of the store: %w", err)
	}
	s, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("embedded NATS: %w", err)
	}
	if o.Log != nil {
		s.SetLoggerV2(logger{o.Log.With("part", "nats")}, false, false, false)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		s.Shutdown()
		return nil, fmt.Errorf("embedded NATS: not ready within 10 s (port %d taken, or folder %s not writable?)", o.Port, o.Dir)
	}
	if !s.JetStreamEnabled() {
		s.Shutdown()
		return nil, errors.New("embedded NATS: JetStream did not start")
	}
	return &Server{s}, nil
}

// URL is where others connect.
func (s *Server) URL() string { return s.s.ClientURL() }

// InProcess connects without a network.
func (s *Server) InProcess() nats.InProcessConnProvider { return s.s }

// Stop ends the server and waits until it is gone.
func (s *Server) Stop() {
	s.s.Shutdown()
	s.s.WaitForShutdown()
}

// permissions lets a component read all buckets and write its own keys; only
// the listener may create buckets and write the catalog.
func permissions(component string) *server.Permissions {
	if component == "listener" {
		return nil
	}
	allow := []string{
		"$JS.API.INFO",
		"$JS.API.STREAM.INFO.>",
		"$JS.API.CONSUMER.CREATE.>",
		"$JS.API.CONSUMER.INFO.>",
		"$JS.API.CONSUMER.DELETE.>",
		"$JS.API.CONSUMER.MSG.NEXT.>",
		"$JS.API.STREAM.MSG.GET.>",
		"$JS.API.DIRECT.GET.>",
		"$JS.ACK.>", "$JS.FC.>",
		"$KV.waggle_accepted." + component + ".>",
		"$KV.waggle_manual." + component + ".>",
		"$KV.waggle_status." + component + ".>",
		"$KV.waggle_status.instance." + component + ".>",
		"waggle.events." + component + ".>",
	}
	if component == "scaler" {
		allow = append(allow, "$KV.waggle_signals.>", "waggle.decisions.>")
	}
	return &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: allow},
		Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX_" + component + ".>"}},
	}
}

// logger brings the server's log lines to slog; its informational lines are
// many and say nothing that an operator acts on.
type logger struct{ log *slog.Logger }

func (l logger) Noticef(format string, v ...any) { l.log.Debug(fmt.Sprintf(format, v...)) }
func (l logger) Warnf(format string, v ...any)   { l.log.Warn(fmt.Sprintf(format, v...)) }
func (l logger) Fatalf(format string, v ...any)  { l.log.Error(fmt.Sprintf(format, v...)) }
func (l logger) Errorf(format string, v ...any)  { l.log.Error(fmt.Sprintf(format, v...)) }
func (l logger) Debugf(format string, v ...any)  { l.log.Debug(fmt.Sprintf(format, v...)) }
func (l logger) Tracef(format string, v ...any)  { l.log.Debug(fmt.Sprintf(format, v...)) }
