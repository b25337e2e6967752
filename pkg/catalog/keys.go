package catalog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Schema is the version of the encoding. A reader ignores fields that it does
// not know; the number rises only when that is not enough.
const Schema = 1

// MaxValue is the largest value, in bytes, that a service may bring to the bus.
const MaxValue = 64 << 10

// ListKey is the key under which the listener says what a complete catalog holds.
const ListKey = "_list"

const (
	servicePrefix = "service."
	nodePrefix    = "node."
	tasksPrefix   = "tasks."
)

// List is the value of ListKey, written after each full list.
type List struct {
	Schema int    `json:"schema"`
	Epoch  string `json:"epoch"`
	// Cluster is Swarm's ID of the cluster whose catalog this is.
	Cluster  string `json:"cluster,omitempty"`
	Services int    `json:"services"`
	Nodes    int    `json:"nodes"`
	// Keys is a hash of the keys of all services and nodes, sorted.
	Keys string `json:"keys,omitempty"`
	// Index is the highest of Swarm's versions on the list.
	Index uint64 `json:"index,omitempty"`
	// Writer names the listener that wrote it.
	Writer string    `json:"writer,omitempty"`
	Time   time.Time `json:"time"`
}

// Encode returns the canonical bytes of a value: JSON with sorted keys, without
// HTML escaping and without a final newline.
func Encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Entries are the keys and values of the catalog bucket, without ListKey.
type Entries map[string][]byte

// ServiceKey, NodeKey and TasksKey name the entry of an ID.
func ServiceKey(id string) string { return servicePrefix + id }

// NodeKey names the entry of a node.
func NodeKey(id string) string { return nodePrefix + id }

// TasksKey names the entry of the tasks of a service.
func TasksKey(serviceID string) string { return tasksPrefix + serviceID }

// Count returns how many services and nodes are among the entries.
func Count(e Entries) (services, nodes int) {
	for key := range e {
		switch {
		case strings.HasPrefix(key, servicePrefix):
			services++
		case strings.HasPrefix(key, nodePrefix):
			nodes++
		}
	}
	return services, nodes
}

// TooLargeError says that a service's value exceeds MaxValue.
type TooLargeError struct {
	Service string
	Bytes   int
}

// Error names the service and both sizes.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("service %s: its labels take %d bytes, at most %d are allowed", e.Service, e.Bytes, MaxValue)
}

// EncodeAll returns the entries of a snapshot. A service whose value is too
// large stays with its name and without labels, and is named in the second result.
func EncodeAll(s Snapshot) (Entries, []*TooLargeError, error) {
	out := make(Entries, len(s.Services)+len(s.Nodes)+len(s.Tasks))
	var large []*TooLargeError
	put := func(key string, v any) error {
		b, err := Encode(v)
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		out[key] = b
		return nil
	}
	for id, svc := range s.Services {
		if err := put(ServiceKey(id), svc); err != nil {
			return nil, nil, err
		}
		if n := len(out[ServiceKey(id)]); n > MaxValue {
			large = append(large, &TooLargeError{Service: svc.Name, Bytes: n})
			svc.Labels, svc.ContainerLabels = nil, nil
			if err := put(ServiceKey(id), svc); err != nil {
				return nil, nil, err
			}
		}
	}
	for id, n := range s.Nodes {
		if err := put(NodeKey(id), n); err != nil {
			return nil, nil, err
		}
	}
	for id, tasks := range s.Tasks {
		sorted := append([]Task{}, tasks...) // no tasks are an empty list, which is not the same as not known
		slices.SortFunc(sorted, func(a, b Task) int { return strings.Compare(a.ID, b.ID) })
		if err := put(TasksKey(id), sorted); err != nil {
			return nil, nil, err
		}
	}
	slices.SortFunc(large, func(a, b *TooLargeError) int { return strings.Compare(a.Service, b.Service) })
	return out, large, nil
}

// Changes is what must be written to make one set of entries equal to another.
type Changes struct {
	Put    []Entry
	Delete []string
}

// Entry is one key with its value.
type Entry struct {
	Key   string
	Value []byte
}

// Empty reports whether nothing needs to be written.
func (c Changes) Empty() bool { return len(c.Put) == 0 && len(c.Delete) == 0 }

// Diff returns what makes have equal to want, sorted by key.
func Diff(have, want Entries) Changes {
	var c Changes
	for key, value := range want {
		if old, ok := have[key]; !ok || !bytes.Equal(old, value) {
			c.Put = append(c.Put, Entry{Key: key, Value: value})
		}
	}
	for key := range have {
		if _, ok := want[key]; !ok && key != ListKey {
			c.Delete = append(c.Delete, key)
		}
	}
	slices.SortFunc(c.Put, func(a, b Entry) int { return strings.Compare(a.Key, b.Key) })
	slices.Sort(c.Delete)
	return c
}

// Builder turns entries of the bucket into snapshots, decoding each value once.
// Its zero value is not usable; use NewBuilder. It belongs to one goroutine.
type Builder struct {
	list     List
	hasList  bool
	services map[string]Service
	nodes    map[string]Node
	tasks    map[string][]Task
	bad      map[string]error
}

// NewBuilder returns an empty Builder.
func NewBuilder() *Builder {
	return &Builder{
		services: map[string]Service{},
		nodes:    map[string]Node{},
		tasks:    map[string][]Task{},
		bad:      map[string]error{},
	}
}

// Put takes one entry in. A value that cannot be decoded is kept as bad: it
// counts as present, so that one broken value neither removes its service nor
// holds up the others; the service keeps its former state.
func (b *Builder) Put(key string, value []byte) error {
	var err error
	switch {
	case key == ListKey:
		var l List
		if err = json.Unmarshal(value, &l); err == nil {
			b.list, b.hasList = l, true
		}
	case strings.HasPrefix(key, servicePrefix):
		err = decodeInto(b.services, key[len(servicePrefix):], value)
	case strings.HasPrefix(key, nodePrefix):
		err = decodeInto(b.nodes, key[len(nodePrefix):], value)
	case strings.HasPrefix(key, tasksPrefix):
		err = decodeInto(b.tasks, key[len(tasksPrefix):], value)
	}
	delete(b.bad, key)
	if err != nil {
		b.bad[key] = err
		return fmt.Errorf("catalog: value of %s: %w", key, err)
	}
	return nil
}

func decodeInto[T any](m map[string]T, id string, value []byte) error {
	var v T
	if err := json.Unmarshal(value, &v); err != nil {
		return err
	}
	m[id] = v
	return nil
}

// Delete takes one entry out.
func (b *Builder) Delete(key string) {
	delete(b.bad, key)
	switch {
	case key == ListKey:
		b.list, b.hasList = List{}, false
	case strings.HasPrefix(key, servicePrefix):
		delete(b.services, key[len(servicePrefix):])
	case strings.HasPrefix(key, nodePrefix):
		delete(b.nodes, key[len(nodePrefix):])
	case strings.HasPrefix(key, tasksPrefix):
		delete(b.tasks, key[len(tasksPrefix):])
	}
}

// Complete reports whether everything that the listener's last list named is
// present, and nothing more. Nothing may be applied from an incomplete catalog.
func (b *Builder) Complete() bool {
	services, nodes := len(b.services), len(b.nodes)
	for key := range b.bad {
		id, isService := strings.CutPrefix(key, servicePrefix)
		if _, known := b.services[id]; isService && !known {
			services++
		}
		id, isNode := strings.CutPrefix(key, nodePrefix)
		if _, known := b.nodes[id]; isNode && !known {
			nodes++
		}
	}
	return b.hasList && b.list.Schema == Schema && services == b.list.Services && nodes == b.list.Nodes
}

// Epoch returns the epoch of the last list, empty if there was none.
func (b *Builder) Epoch() string { return b.list.Epoch }

// Snapshot copies the present state; sequence is that of the last entry taken in.
func (b *Builder) Snapshot(sequence uint64) Snapshot {
	return Snapshot{
		Revision: Revision{Epoch: b.list.Epoch, Sequence: sequence},
		Services: maps.Clone(b.services),
		Nodes:    maps.Clone(b.nodes),
		Tasks:    maps.Clone(b.tasks),
	}
}
