// Package embedded runs a NATS server with JetStream inside the process. Only the
// listener, which offers it to the others, and tests use it.
package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
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
	// Keys are the settings of the components by name, each one or several keys; with
	// them the server proves itself by TLS, and each component is behind its walls.
	// Without any, everybody who can reach the port is admitted, which is for tests.
	Keys map[string]string
	Log  *slog.Logger
}

// Server is a server that runs until it is stopped.
type Server struct {
	o    Options
	lock *os.File
	stop chan struct{}
	done chan struct{}

	// mu guards the rest: the watch starts the server again, others ask about it.
	mu     sync.Mutex
	s      *server.Server
	health error
}

// Start starts a server and waits until it is ready, for at most 10 s. If another
// process uses the folder, it waits for that one to end, for at most 10 s as well. A
// store that cannot be read is moved aside, which is said in the log.
func Start(o Options) (*Server, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	// The server itself would only log what is wrong with its folder, and not start.
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("embedded NATS: folder of the store: %w", err)
	}
	lock, err := lockFolder(o.Dir, lockPatience)
	if err != nil {
		return nil, err
	}
	s := &Server{o: o, lock: lock, stop: make(chan struct{}), done: make(chan struct{})}
	if s.s, err = startWhole(o); err != nil {
		_ = lock.Close()
		return nil, err
	}
	if o.Port < 0 {
		// Started again, it is to be found where it was.
		s.o.Port = s.s.Addr().(*net.TCPAddr).Port
	}
	go s.watch()
	return s, nil
}

// startWhole starts a server on a store that it could read. Damaged blocks of messages are mended
// first. What it could not read is moved aside: the broken streams alone, since certificates in one are not to be lost with
// another one's settings, and all if that does not help.
func startWhole(o Options) (*server.Server, error) {
	if err := mend(o); err != nil {
		return nil, err
	}
	s, err := start(o)
	for _, find := range []func(*server.Server) []string{unread, func(*server.Server) []string { return nil }} {
		if err != nil {
			return nil, err
		}
		broken := stillIll(s)
		if broken == nil {
			return s, nil
		}
		streams := find(s)
		end(s)
		if err := setAside(o, streams, broken); err != nil {
			return nil, err
		}
		s, err = start(o)
	}
	return s, err
}

// setAside moves the folders of some streams out of the store, or the whole store if none
// is named.
func setAside(o Options, streams []string, broken error) error {
	store := filepath.Join(o.Dir, server.JetStreamStoreDir)
	aside := newAside(o.Dir)
	move := map[string]string{}
	for _, stream := range streams {
		move[filepath.Join(store, stream)] = filepath.Join(aside, stream)
	}
	consequence := "the streams that are broken are moved aside and begin empty"
	if len(streams) == 0 {
		move[store], consequence = aside, "it is moved aside, and the bus begins with an empty one"
	}
	for from, to := range move {
		err := os.MkdirAll(filepath.Dir(to), 0o700)
		if err == nil {
			err = os.Rename(from, to)
		}
		if err != nil {
			return fmt.Errorf("embedded NATS: the store cannot be read (%w) nor moved aside: %w", broken, err)
		}
	}
	o.Log.Error("the store cannot be read", "consequence", consequence, "error", broken, "streams", streams, "moved", aside)
	return nil
}

func start(o Options) (*server.Server, error) {
	opts := &server.Options{}
	if len(o.Keys) > 0 {
		accounts, err := bus.ServerAccounts(o.Keys)
		if err != nil {
			return nil, err
		}
		if err := opts.ProcessConfigString(accounts); err != nil {
			return nil, fmt.Errorf("embedded NATS: accounts: %w", err)
		}
		if opts.TLSConfig, err = bus.ServerTLS(o.Keys); err != nil {
			return nil, err
		}
		// Nothing is said before the server has proven itself. Who does not begin with
		// TLS is told after a moment that it is asked for.
		opts.TLSHandshakeFirst, opts.TLSHandshakeFirstFallback = true, 50*time.Millisecond
		opts.TLSTimeout = 2
	}
	opts.ServerName, opts.JetStream, opts.StoreDir, opts.NoSigs = "waggle", true, o.Dir, true
	opts.Host, opts.Port, opts.DontListen = o.Host, o.Port, o.Port == 0
	opts.JetStreamMaxMemory, opts.JetStreamMaxStore = 64<<20, bus.StoreSize
	// What was acknowledged is there after a power cut, too.
	opts.SyncAlways = true
	opts.WriteDeadline, opts.MaxPayload = 5*time.Second, 1<<20
	s, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("embedded NATS: %w", err)
	}
	s.SetLoggerV2(logger{o.Log.With("part", "nats")}, false, false, false)
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		end(s)
		return nil, fmt.Errorf("embedded NATS: not ready within 10 s (port %d taken, or folder %s not writable?)", o.Port, o.Dir)
	}
	if !s.JetStreamEnabled() {
		end(s)
		return nil, errors.New("embedded NATS: JetStream did not start")
	}
	return s, nil
}

func end(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

// URL is where others connect.
func (s *Server) URL() string { return s.present().ClientURL() }

// Last returns the number of the last message of each stream, by the stream's name.
func (s *Server) Last() (map[string]uint64, error) {
	z, err := s.present().Jsz(&server.JSzOptions{Accounts: true, Streams: true})
	if err != nil {
		return nil, fmt.Errorf("embedded NATS: %w", err)
	}
	out := map[string]uint64{}
	for _, a := range z.AccountDetails {
		for _, stream := range a.Streams {
			out[stream.Name] = stream.State.LastSeq
		}
	}
	return out, nil
}

// InProcess connects without a network.
func (s *Server) InProcess() nats.InProcessConnProvider { return s }

// InProcessConn is for the client of NATS.
func (s *Server) InProcessConn() (net.Conn, error) { return s.present().InProcessConn() }

func (s *Server) present() *server.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.s
}

// Stop ends the server and waits until it is gone.
func (s *Server) Stop() {
	close(s.stop)
	<-s.done
	end(s.present())
	if err := noteSizes(s.o.Dir); err != nil {
		s.o.Log.Warn("what is shorter at the next start will not be noticed", "error", err)
	}
	_ = s.lock.Close()
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
