package monitorcase

import (
	"context"
	"errors"
	"os"

	"github.com/wagglehq/waggle/compose/e2e/acceptance"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bus/embedded"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

const (
	busPort = 4222
	busURL  = "nats://127.0.0.1:4222"
	busDir  = acceptance.Hall + "/nats"
)

// store is the bus of a case, and what writes the catalog there as the listener does.
type store struct {
	server *embedded.Server
	bus    *bus.Bus
	writer *bus.CatalogWriter
	end    context.CancelFunc
	// newest is what was published last; none while the bus holds nothing, or is away.
	newest catalog.Revision
	known  bool
}

func (s *store) start() error {
	var err error
	s.server, err = embedded.Start(embedded.Options{Dir: busDir, Host: "127.0.0.1", Port: busPort})
	return err
}

func (s *store) stop() {
	s.disconnect()
	if s.server != nil {
		s.server.Stop()
		s.server = nil
	}
	s.known = false
}

func (s *store) disconnect() {
	if s.bus != nil {
		s.end()
		s.bus.Close()
		s.bus = nil
	}
}

// empty takes all content away.
func (s *store) empty() error {
	s.stop()
	return errors.Join(os.RemoveAll(busDir), s.start())
}

// write publishes a swarm, and makes the buckets if need be.
func (s *store) write(ctx context.Context, snapshot catalog.Snapshot) error {
	if err := s.connect(ctx); err != nil {
		return err
	}
	entries, tooLarge, err := catalog.EncodeAll(snapshot)
	for _, t := range tooLarge {
		err = errors.Join(err, t)
	}
	if err != nil {
		return err
	}
	err = tooltest.PollFor(ctx, limit, often, "the catalog to be written", func(ctx context.Context) error {
		seen, ok := s.writer.Seen()
		if !ok {
			return bus.ErrNotSynced
		}
		_, err := s.writer.Write(ctx, seen, seen.Plan(entries))
		return err
	})
	if err != nil {
		return err
	}
	seen, _ := s.writer.Seen()
	s.newest, s.known = seen.Revision, true
	return nil
}

func (s *store) connect(ctx context.Context) error {
	if s.bus != nil {
		return nil
	}
	b, err := bus.Connect(bus.Options{URL: busURL, Component: listener})
	if err != nil {
		return err
	}
	if err := tooltest.PollFor(ctx, limit, often, "buckets", func(ctx context.Context) error { return b.Prepare(ctx, 1) }); err != nil {
		b.Close()
		return err
	}
	var running context.Context
	running, s.end = context.WithCancel(context.WithoutCancel(ctx))
	s.bus, s.writer = b, b.CatalogWriter(func() {})
	go func(w *bus.CatalogWriter) { _ = w.Run(running) }(s.writer) // it follows the bucket until the bus is cut off
	return nil
}
