// Package swarm lets the engine read and set replicas through the Docker API.
package swarm

import (
	"context"
	"errors"

	"github.com/wagglehq/waggle/pkg/docker"
	"github.com/wagglehq/waggle/scaler/internal/engine"
)

// Swarm is an engine.Swarm.
type Swarm struct{ client *docker.Client }

// New returns the swarm that a client reaches.
func New(client *docker.Client) *Swarm { return &Swarm{client} }

// Scale reads a service.
func (s *Swarm) Scale(ctx context.Context, serviceID string) (engine.Scale, error) {
	scale, err := s.client.Scale(ctx, serviceID)
	return engine.Scale(scale), translate(err)
}

// SetReplicas sets the number of replicas of a service that is still at version.
func (s *Swarm) SetReplicas(ctx context.Context, serviceID string, version, replicas uint64) error {
	return translate(s.client.SetReplicas(ctx, serviceID, version, replicas))
}

func translate(err error) error {
	switch {
	case errors.Is(err, docker.ErrNotFound):
		return errors.Join(engine.ErrNotFound, err)
	case errors.Is(err, docker.ErrConflict):
		return errors.Join(engine.ErrConflict, err)
	case docker.IsAway(err):
		return errors.Join(engine.ErrAway, err)
	}
	return err
}
