package manual

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/wagglehq/waggle/pkg/atomicfile"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
)

// The kinds of what is kept: services, and nodes, which have labels and a name as well.
const (
	Services = "service"
	Nodes    = "node"
)

// mark is the name under which stands nothing but that the bucket is in use: a bucket
// without it has lost what it held.
const mark = "_list"

// Store is the services on the bus, and what this replica knows of them without it.
type Store struct {
	mirror *bus.Mirror
	bucket *bus.Bucket
	// prefix is what the keys of the bucket begin with.
	prefix string
	file   string

	// mu guards the rest: the pass reads services while the reporting loop keeps them.
	mu    sync.Mutex
	last  map[string]catalog.Service
	saved []byte
}

// New returns the Store of a bus for one kind of what a component keeps. file is where
// that is kept for a start without it; poke is called after every change.
func New(b *bus.Bus, component, kind, file string, poke func()) (*Store, error) {
	bucket, prefix := b.Bucket(bus.ManualBucket), component+"."+kind+"."
	s := &Store{mirror: bucket.Mirror(prefix+">", poke), bucket: bucket, prefix: prefix, file: file, last: map[string]catalog.Service{}}
	content, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s, nil
	case err != nil:
		return nil, err
	}
	if err := json.Unmarshal(content, &s.last); err != nil {
		return s, fmt.Errorf("%s: %w", filepath.Base(file), err)
	}
	s.saved = content
	return s, nil
}

// Run follows the bus until the context ends.
func (s *Store) Run(ctx context.Context) error { return s.mirror.Run(ctx) }

// Services returns all services by ID, and whether the bus says so: until it does,
// and while it has lost its store, they are those last known.
func (s *Store) Services() (map[string]catalog.Service, bool) {
	values, complete := s.mirror.Values()
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, marked := values[s.prefix+mark]; complete && marked {
		s.last = s.decode(values)
	}
	return maps.Clone(s.last), complete
}

// decode reads the entries of the bucket. One of an unknown form is as good as none.
func (s *Store) decode(values map[string]bus.Value) map[string]catalog.Service {
	out := map[string]catalog.Service{}
	for key, v := range values {
		var svc catalog.Service
		if !strings.HasPrefix(key, s.prefix) || key == s.prefix+mark || json.Unmarshal(v.Data, &svc) != nil || svc.ID != ID(svc.Name) {
			continue
		}
		out[svc.ID] = svc
	}
	return out
}

// Put makes a service wanted. One that is wanted already keeps its age.
func (s *Store) Put(ctx context.Context, svc catalog.Service) error {
	if !s.mirror.Synced() {
		return bus.ErrNotSynced
	}
	if err := s.mark(ctx); err != nil {
		return err
	}
	known, _ := s.Services()
	if old, ok := known[svc.ID]; ok {
		svc.CreatedAt = old.CreatedAt
	}
	value, err := catalog.Encode(svc)
	if err != nil {
		return err
	}
	_, err = s.mirror.Put(ctx, s.key(svc.Name), value)
	return err
}

// Remove makes a service no longer wanted, which need not be there.
func (s *Store) Remove(ctx context.Context, name string) error {
	if !s.mirror.Synced() {
		return bus.ErrNotSynced
	}
	if err := s.mark(ctx); err != nil {
		return err
	}
	return s.mirror.Delete(ctx, s.key(name))
}

// Keep brings back to the bus what it has lost, and to the disk what it says.
func (s *Store) Keep(ctx context.Context) error {
	if s.mirror.Synced() {
		if err := s.mark(ctx); err != nil {
			return err
		}
	}
	known, _ := s.Services()
	content, err := catalog.Encode(known)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if string(content) == string(s.saved) || s.saved == nil && len(known) == 0 {
		return nil
	}
	// Labels may hold passwords.
	if _, err := atomicfile.Write(s.file, content, 0o600); err != nil {
		return err
	}
	s.saved = content
	return nil
}

// mark puts the mark on a bucket that has none, and before it what this replica knows.
// Several replicas may do so at once: what one has written stays.
func (s *Store) mark(ctx context.Context) error {
	if _, ok := s.mirror.Value(s.prefix + mark); ok {
		return nil
	}
	s.mu.Lock()
	last := maps.Clone(s.last)
	s.mu.Unlock()
	for _, svc := range last {
		value, err := catalog.Encode(svc)
		if err != nil {
			return err
		}
		if _, err := s.mirror.Put(ctx, s.key(svc.Name), value, bus.IfRevision(0)); err != nil && !errors.Is(err, bus.ErrConflict) {
			return err
		}
	}
	_, err := s.mirror.Put(ctx, s.prefix+mark, []byte("{}"))
	return err
}

func (s *Store) key(name string) string { return s.prefix + bus.Token(name) }
