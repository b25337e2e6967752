package catalog

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"
)

// Schema is the version of the encoding. A reader ignores fields that it does
// not know; the number rises only when that is not enough. Readers know all versions
// from oldestSchema on: in 1, tasks are a plain array, and a list has no hash of its keys.
const (
	Schema       = 2
	oldestSchema = 1
)

// ListKey is the key under which the listener says what a complete catalog holds.
const ListKey = "_list"

const (
	servicePrefix = "service."
	nodePrefix    = "node."
	tasksPrefix   = "tasks."
	secretPrefix  = "secret."
)

// List is the value of ListKey, written after each full list.
type List struct {
	Schema int    `json:"schema"`
	Epoch  string `json:"epoch"`
	// Cluster is Swarm's ID of the cluster whose catalog this is.
	Cluster  string `json:"cluster,omitempty"`
	Services int    `json:"services"`
	Nodes    int    `json:"nodes"`
	// Keys is a hash of the keys of all services and nodes (see Tally).
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

// SecretKey names the texts of a service's labels that are withheld from its entry.
// They lie in a bucket of their own, under the service's ID alone.
func SecretKey(serviceID string) string { return secretPrefix + serviceID }

// SecretOf returns the service whose withheld texts have that key.
func SecretOf(key string) (serviceID string, ok bool) { return strings.CutPrefix(key, secretPrefix) }

// Tally counts the services and nodes among the keys, and hashes their keys: SHA-256 of
// all, sorted, each with a newline after it, in hexadecimal digits.
func Tally(keys iter.Seq[string]) (services, nodes int, hash string) {
	var listed []string
	for key := range keys {
		switch {
		case strings.HasPrefix(key, servicePrefix):
			services++
		case strings.HasPrefix(key, nodePrefix):
			nodes++
		default:
			continue
		}
		listed = append(listed, key)
	}
	slices.Sort(listed)
	sum := sha256.Sum256([]byte(strings.Join(append(listed, ""), "\n")))
	return services, nodes, hex.EncodeToString(sum[:])
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
