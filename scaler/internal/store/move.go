package store

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/scaler/internal/signal"
)

const (
	movePrefix = "_move."
	nodesKey   = "_nodes"

	// moveTTL bounds how long a wish stands that is held all the time.
	moveTTL = 24 * time.Hour
)

// AskMove has the tasks of a service spread anew.
func (s *Store) AskMove(ctx context.Context, m signal.Move) error {
	value, err := catalog.Encode(m)
	if err != nil {
		return err
	}
	_, err = s.bucket.Put(ctx, movePrefix+bus.Token(m.ServiceID), value, bus.WithTTL(moveTTL))
	return err
}

// EndMove ends such a wish, unless somebody has asked again meanwhile.
func (s *Store) EndMove(ctx context.Context, m signal.Move) error {
	err := conflict(s.bucket.Delete(ctx, movePrefix+bus.Token(m.ServiceID), bus.IfRevision(m.Revision)))
	if errors.Is(err, ErrConflict) || errors.Is(err, bus.ErrNotFound) {
		return nil
	}
	return err
}

// takeMove takes in a wish. One that cannot be read is passed over, and ends by itself.
func (a *Asked) takeMove(data []byte, revision uint64) {
	var m signal.Move
	if json.Unmarshal(data, &m) == nil && m.ServiceID != "" {
		m.Revision = revision
		a.Moves = append(a.Moves, m)
	}
}

// Nodes returns the IDs of the nodes that could take tasks when that was last written, and
// its revision; false if it never was.
func (s *Store) Nodes() (ids []string, revision uint64, known bool) {
	v, ok := s.mirror.Value(nodesKey)
	if !ok {
		return nil, 0, false
	}
	return ids, v.Revision, json.Unmarshal(v.Data, &ids) == nil
}

// SetNodes writes which nodes can take tasks, unless another instance has since a revision;
// the error is ErrConflict then.
func (s *Store) SetNodes(ctx context.Context, ids []string, revision uint64) error {
	value, err := catalog.Encode(ids)
	if err != nil {
		return err
	}
	_, err = s.bucket.Put(ctx, nodesKey, value, bus.IfRevision(revision))
	return conflict(err)
}
