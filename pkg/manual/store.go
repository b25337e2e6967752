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
	"slices"
	"strings"
	"sync"
	"time"

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
	// at is the day when the bus had just these.
	at time.Time
}

// kept is the form of the file. Versions that did not note the day kept the services alone.
type kept struct {
	At       time.Time                  `json:"at"`
	Services map[string]catalog.Service `json:"services"`
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
	var k kept
	if err := json.Unmarshal(content, &k); err == nil && k.Services != nil {
		s.last, s.at = k.Services, k.At
	} else if err := json.Unmarshal(content, &s.last); err != nil {
		return s, fmt.Errorf("%s: %w", filepath.Base(file), err)
	}
	s.saved = content
	return s, nil
}

// Run follows the bus until the context ends.
func (s *Store) Run(ctx context.Context) error { return s.mirror.Run(ctx) }

// Services returns all services by ID, and whether the bus says so: until it does,
// and while it has lost its store, they are those last known. Those that it has lost alone are among
// them.
func (s *Store) Services() (map[string]catalog.Service, bool) {
	values, complete := s.mirror.Values()
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, marked := values[s.prefix+mark]; complete && marked {
		there := s.decode(values)
		for _, svc := range s.lost(values) {
			there[svc.ID] = svc
		}
		s.last, s.at = there, time.Now().UTC().Truncate(24*time.Hour)
	}
	return maps.Clone(s.last), complete
}

// lost are the services that the bus has lost, as when a disk has gone bad: it has neither them nor
// the marks of their removal. mu is held.
func (s *Store) lost(values map[string]bus.Value) []catalog.Service {
	if time.Since(s.at) > bus.ManualRemembered {
		return nil
	}
	var out []catalog.Service
	for _, svc := range s.last {
		key := s.key(svc.Name)
		if _, ok := values[key]; ok {
			continue
		}
		if revision, _ := s.mirror.Deleted(key); revision == 0 {
			out = append(out, svc)
		}
	}
	return out
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
	known, _ := s.Services()
	if _, ok := s.mirror.Value(s.key(name)); !ok && known[ID(name)].Name != "" {
		// One that the bus has lost leaves a mark, too.
		return s.bucket.Delete(ctx, s.key(name))
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
	known, complete := s.Services()
	if complete {
		if err := s.bringBack(ctx); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	content, err := catalog.Encode(kept{s.at, known})
	if err != nil {
		return err
	}
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

// bringBack writes what the bus has lost. What another replica has written meanwhile stays.
func (s *Store) bringBack(ctx context.Context) error {
	values, complete := s.mirror.Values()
	if !complete {
		return nil
	}
	s.mu.Lock()
	lost := s.lost(values)
	s.mu.Unlock()
	return s.put(ctx, lost)
}

func (s *Store) put(ctx context.Context, services []catalog.Service) error {
	for _, svc := range services {
		value, err := catalog.Encode(svc)
		if err != nil {
			return err
		}
		if _, err := s.mirror.Put(ctx, s.key(svc.Name), value, bus.IfRevision(0)); err != nil && !errors.Is(err, bus.ErrConflict) {
			return err
		}
	}
	return nil
}

// mark puts the mark on a bucket that has none, and before it what this replica knows.
// Several replicas may do so at once: what one has written stays.
func (s *Store) mark(ctx context.Context) error {
	if _, ok := s.mirror.Value(s.prefix + mark); ok {
		return nil
	}
	s.mu.Lock()
	last := slices.Collect(maps.Values(s.last))
	s.mu.Unlock()
	if err := s.put(ctx, last); err != nil {
		return err
	}
	_, err := s.mirror.Put(ctx, s.prefix+mark, []byte("{}"))
	return err
}

func (s *Store) key(name string) string { return s.prefix + bus.Token(name) }
