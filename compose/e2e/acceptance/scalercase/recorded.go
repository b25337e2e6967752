package scalercase

import (
	"context"
	"log/slog"
	"net"
	"net/http"

	"github.com/wagglehq/waggle/pkg/clock"
	"github.com/wagglehq/waggle/pkg/docker"
)

// Recorded is the recorded swarm of the cases by itself, in real time, for what measures the
// scaler.
type Recorded struct{ swarm *swarm }

// NewRecorded returns a swarm without services.
func NewRecorded() *Recorded { return &Recorded{newSwarm(clock.Real())} }

// Create makes a service with labels, without their prefix, that has run for an hour.
func (r *Recorded) Create(name string, labels map[string]string, replicas uint64) error {
	return r.swarm.create(name, serviceOptions{Labels: labels, Replicas: replicas})
}

// Refuse has each update of a service refused.
func (r *Recorded) Refuse(name string) error {
	return r.swarm.breaks(dockerOptions{Fail: "update", Service: name})
}

// Replicas is the number in the specification.
func (r *Recorded) Replicas(name string) (n uint64) {
	_ = r.swarm.about(name, func(svc *service) error { // without it there are none
		r.swarm.revision--
		n, _ = replicasOf(svc.spec)
		return nil
	})
	return n
}

// Revision counts what has changed, Calls what the scaler has called.
func (r *Recorded) Revision() uint64 { return r.swarm.at() }

// Calls counts what the scaler has called.
func (r *Recorded) Calls() int { return r.swarm.called() }

// Faults are what the scaler has done wrong.
func (r *Recorded) Faults() error { return r.swarm.broken() }

// Serve serves the Docker API on a socket, for the scaler or for others, until the context
// ends.
func (r *Recorded) Serve(ctx context.Context, path string, isScaler bool) error {
	l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return err
	}
	srv := &http.Server{ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if isScaler {
			req.Header.Set(scalerSocket, path)
		}
		r.swarm.ServeHTTP(w, req)
	})}
	context.AfterFunc(ctx, func() { _ = srv.Close() })
	go func() { _ = srv.Serve(l) }() // it ends with the context
	return nil
}

// Reader connects to a socket of Serve, for whoever writes the catalog.
func Reader(path string) (*docker.Client, error) {
	return docker.Connect("unix://"+path, docker.AllowRead, slog.New(slog.DiscardHandler))
}
