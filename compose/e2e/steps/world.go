// Package steps measures how soon an alert has become a change of a service, and what alerts
// cost that change nothing: the scaler as a process of its own, with a real bus, and with a
// recorded Docker API.
package steps

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/acceptance"
	"github.com/wagglehq/waggle/compose/e2e/acceptance/scalercase"
	"github.com/wagglehq/waggle/compose/e2e/proc"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bus/embedded"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/docker"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

const (
	token      = "token-of-the-measured-scaler"
	startLimit = 60 * time.Second
	stepLimit  = 20 * time.Second
	often      = 10 * time.Millisecond
	soon       = 500 * time.Microsecond
)

// World is a scaler and what it stands on.
type World struct {
	swarm  *scalercase.Recorded
	reader *docker.Client
	writer *bus.CatalogWriter
	server *embedded.Server
	url    string
	scaler *exec.Cmd
	end    context.CancelFunc
	all    sync.WaitGroup
	client *http.Client
}

// Open starts all of it in a folder, with these services.
func Open(ctx context.Context, dir string, services func(*scalercase.Recorded) error) (w *World, err error) {
	program, err := acceptance.Build(ctx, dir, "scaler")
	if err != nil {
		return nil, err
	}
	ctx, end := context.WithCancel(ctx)
	w = &World{swarm: scalercase.NewRecorded(), end: end, client: &http.Client{Timeout: stepLimit}}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	if err := services(w.swarm); err != nil {
		return nil, err
	}
	read, scale := filepath.Join(dir, "read.sock"), filepath.Join(dir, "scale.sock")
	if err := errors.Join(w.swarm.Serve(ctx, read, false), w.swarm.Serve(ctx, scale, true)); err != nil {
		return nil, err
	}
	if w.reader, err = scalercase.Reader(read); err != nil {
		return nil, err
	}
	if err := w.bus(ctx, dir); err != nil {
		return nil, err
	}
	if err := w.publish(ctx); err != nil {
		return nil, err
	}
	w.all.Go(func() { w.follow(ctx) })
	ports, err := tooltest.FreePorts(1)
	if err != nil {
		return nil, err
	}
	addr := fmt.Sprintf("127.0.0.1:%d", ports[0])
	w.url = "http://" + addr
	w.scaler = exec.CommandContext(ctx, program)
	w.scaler.Env = append(os.Environ(), "NATS_URL="+w.server.URL(), "NATS_KEY="+key("scaler"), "DOCKER_HOST=unix://"+scale, "TOKEN="+token, "ADMIN="+addr, "INSTANCE=measured")
	if err := w.scaler.Start(); err != nil {
		return nil, err
	}
	return w, tooltest.PollFor(ctx, startLimit, often, "the scaler is healthy", func(ctx context.Context) error {
		_, err := w.call(ctx, http.MethodGet, "/healthz", nil)
		return err
	})
}

func key(component string) string { return "key-of-the-" + component + "-that-is-measured" }

// bus starts the bus, and what writes the catalog there.
func (w *World) bus(ctx context.Context, dir string) error {
	var err error
	keys := map[string]string{bus.Listener: key(bus.Listener), "scaler": key("scaler")}
	if w.server, err = embedded.Start(embedded.Options{Dir: filepath.Join(dir, "nats"), Host: "127.0.0.1", Port: -1, Keys: keys, Log: slog.New(slog.DiscardHandler)}); err != nil {
		return err
	}
	listener, err := bus.Connect(bus.Options{URL: w.server.URL(), Component: bus.Listener, Key: key(bus.Listener), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	w.all.Go(func() {
		<-ctx.Done()
		listener.Close()
	})
	if err := tooltest.PollFor(ctx, startLimit, often, "buckets", func(ctx context.Context) error { return listener.Prepare(ctx, 1) }); err != nil {
		return err
	}
	w.writer = listener.CatalogWriter(func() {})
	w.all.Go(func() { _ = w.writer.Run(ctx) }) // it ends with the context
	return nil
}

// follow keeps the catalog as the swarm is.
func (w *World) follow(ctx context.Context) {
	tick := time.NewTicker(often)
	defer tick.Stop()
	var seen uint64
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if now := w.swarm.Revision(); now != seen && w.publish(ctx) == nil {
			seen = now
		}
	}
}

// publish writes the catalog as the swarm is.
func (w *World) publish(ctx context.Context) error {
	listing, err := w.reader.List(ctx)
	if err != nil {
		return err
	}
	if listing.Snapshot.Tasks, err = w.reader.Tasks(ctx); err != nil {
		return err
	}
	for id := range listing.Snapshot.Services {
		if listing.Snapshot.Tasks[id] == nil {
			listing.Snapshot.Tasks[id] = []catalog.Task{}
		}
	}
	entries, _, err := catalog.EncodeAll(listing.Snapshot)
	if err != nil {
		return err
	}
	return tooltest.PollFor(ctx, startLimit, often, "the catalog is written", func(ctx context.Context) error {
		seen, ok := w.writer.Seen()
		if !ok {
			return bus.ErrNotSynced
		}
		_, err := w.writer.Write(ctx, seen, seen.Plan(entries))
		return err
	})
}

// call asks the scaler.
func (w *World) call(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, w.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	res, err := w.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %d %s", path, res.StatusCode, answer)
	}
	return answer, err
}

// fire delivers alerts about services as one notification.
func (w *World) fire(ctx context.Context, status, direction string, services ...string) error {
	var alerts []any
	for _, name := range services {
		alerts = append(alerts, map[string]any{
			"status": status, "labels": map[string]string{"service": name, "scale": direction, "type": "service", "alertname": "measured"},
			"annotations": map[string]string{}, "startsAt": "2026-11-21T12:00:00Z", "fingerprint": name + " " + direction,
		})
	}
	body, err := json.Marshal(map[string]any{"version": "4", "status": status, "receiver": "scaler", "groupLabels": map[string]string{}, "commonLabels": map[string]string{}, "alerts": alerts})
	if err != nil {
		return err
	}
	_, err = w.call(ctx, http.MethodPost, "/v1/alerts", body)
	return err
}

// scaled waits until a service has another number than one.
func (w *World) scaled(ctx context.Context, services ...string) error {
	return tooltest.PollFor(ctx, stepLimit, soon, "the specification changes", func(context.Context) error {
		for _, name := range services {
			if w.swarm.Replicas(name) == 1 {
				return fmt.Errorf("%s has 1 replica", name)
			}
		}
		return nil
	})
}

// used is the processor time of the scaler so far.
func (w *World) used() (time.Duration, error) {
	return proc.Used(w.scaler.Process.Pid, "waggle-scaler")
}

// Close ends all of it.
func (w *World) Close() error {
	var errs []error
	if w.scaler != nil && w.scaler.Process != nil {
		_ = w.scaler.Process.Signal(os.Interrupt) // it may have ended
		if err := w.scaler.Wait(); err != nil && !strings.Contains(err.Error(), "signal") {
			errs = append(errs, fmt.Errorf("the scaler: %w", err))
		}
	}
	w.end()
	w.all.Wait()
	if w.server != nil {
		w.server.Stop()
	}
	if w.reader != nil {
		w.reader.Close()
	}
	return errors.Join(append(errs, w.swarm.Faults())...)
}
