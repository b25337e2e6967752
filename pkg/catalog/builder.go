package catalog

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
)

// Builder turns entries of the bucket into snapshots, decoding each value once.
// Its zero value is not usable; use NewBuilder or NewMergingBuilder. It belongs to
// one goroutine.
type Builder struct {
	list      List
	hasList   bool
	services  family[Service]
	revisions family[uint64]
	nodes     family[Node]
	tasks     family[[]Task]
	cut       family[int]
	// present are the keys of all services and nodes, also of those whose values
	// cannot be decoded; tally is of them, and nil if it is to be made anew.
	present map[string]struct{}
	tally   *tally
	// withheld are the services as they are on the bus, for those that withhold texts,
	// and secrets the texts; both are nil if texts are not to be merged.
	withheld map[string]revised
	secrets  map[string]Secrets
}

type tally struct {
	services, nodes int
	hash            string
}

type revised struct {
	svc      Service
	revision uint64
}

// NewBuilder returns an empty Builder. Services keep what they withhold.
func NewBuilder() *Builder { return &Builder{present: map[string]struct{}{}} }

// NewMergingBuilder returns an empty Builder that takes withheld texts in, too, under
// SecretKey, and returns services with them. While a text is missing the service counts
// as it was before; if it was never whole, it says in Withheld what is missing.
func NewMergingBuilder() *Builder {
	b := NewBuilder()
	b.withheld, b.secrets = map[string]revised{}, map[string]Secrets{}
	return b
}

// Put takes one entry in, with its revision. A value that cannot be decoded is reported,
// and counts as present, so that one broken value neither removes its service nor
// holds up the others; the service keeps its former state.
func (b *Builder) Put(key string, value []byte, revision uint64) error {
	if err := b.put(key, value, revision); err != nil {
		return fmt.Errorf("catalog: value of %s: %w", key, err)
	}
	return nil
}

func (b *Builder) put(key string, value []byte, revision uint64) error {
	if key == ListKey {
		return b.putList(value)
	}
	family, id, _ := strings.Cut(key, ".")
	switch family + "." {
	case servicePrefix:
		b.isPresent(key)
		svc, err := decode[Service](value)
		if err != nil {
			return err
		}
		b.putService(id, svc, revision)
	case nodePrefix:
		b.isPresent(key)
		node, err := decode[Node](value)
		if err != nil {
			return err
		}
		b.nodes.put(id, node)
	case tasksPrefix:
		tasks, err := decode[Tasks](value)
		if err != nil {
			return err
		}
		b.tasks.put(id, tasks.Tasks)
		if tasks.Total > len(tasks.Tasks) {
			b.cut.put(id, tasks.Total)
		} else {
			b.cut.delete(id)
		}
	case secretPrefix:
		if b.secrets == nil {
			return nil
		}
		delete(b.secrets, id)
		secrets, err := decode[Secrets](value)
		if err != nil {
			return err
		}
		b.secrets[id] = secrets
		if w, ok := b.withheld[id]; ok {
			b.putService(id, w.svc, w.revision)
		}
	}
	return nil
}

func (b *Builder) putList(value []byte) error {
	list, err := decode[List](value)
	if err != nil {
		return err
	}
	b.list, b.hasList = list, true
	return nil
}

// putService takes a service in, with what it withholds if that is there.
func (b *Builder) putService(id string, svc Service, revision uint64) {
	if b.withheld != nil {
		merged, whole := Merge(svc, b.secrets[id])
		if len(svc.Withheld) > 0 {
			b.withheld[id] = revised{svc, revision}
		} else {
			delete(b.withheld, id)
		}
		if old, known := b.services.m[id]; !whole && known && len(old.Withheld) == 0 {
			return
		}
		svc = merged
	}
	b.services.put(id, svc)
	b.revisions.put(id, revision)
}

func (b *Builder) isPresent(key string) {
	if _, ok := b.present[key]; !ok {
		b.present[key], b.tally = struct{}{}, nil
	}
}

func decode[T any](value []byte) (v T, err error) {
	err = json.Unmarshal(value, &v)
	return v, err
}

// Touch says that an entry has another revision and the same value.
func (b *Builder) Touch(key string, revision uint64) {
	id, ok := strings.CutPrefix(key, servicePrefix)
	if !ok {
		return
	}
	w, isWithheld := b.withheld[id]
	if isWithheld {
		b.withheld[id] = revised{w.svc, revision}
	}
	// One that counts as it was before has the revision that it had then.
	if old, ok := b.revisions.m[id]; ok && (!isWithheld || old == w.revision) {
		b.revisions.put(id, revision)
	}
}

// Delete takes one entry out.
func (b *Builder) Delete(key string) {
	if _, ok := b.present[key]; ok {
		delete(b.present, key)
		b.tally = nil
	}
	if key == ListKey {
		b.list, b.hasList = List{}, false
		return
	}
	family, id, _ := strings.Cut(key, ".")
	switch family + "." {
	case servicePrefix:
		b.services.delete(id)
		b.revisions.delete(id)
		delete(b.withheld, id)
	case nodePrefix:
		b.nodes.delete(id)
	case tasksPrefix:
		b.tasks.delete(id)
		b.cut.delete(id)
	case secretPrefix:
		delete(b.secrets, id)
	}
}

// Clear takes all entries out but the withheld texts.
func (b *Builder) Clear() {
	secrets := b.secrets
	*b = *NewBuilder()
	if secrets != nil {
		b.withheld, b.secrets = map[string]revised{}, secrets
	}
}

// ForgetSecrets takes all withheld texts out. Services that are whole stay so.
func (b *Builder) ForgetSecrets() { clear(b.secrets) }

// Complete reports whether everything that the listener's last list named is
// present, and nothing more. Nothing may be applied from an incomplete catalog.
func (b *Builder) Complete() bool {
	if !b.hasList || b.list.Schema < oldestSchema || b.list.Schema > Schema {
		return false
	}
	if b.tally == nil {
		services, nodes, hash := Tally(maps.Keys(b.present))
		b.tally = &tally{services, nodes, hash}
	}
	t := *b.tally
	return t.services == b.list.Services && t.nodes == b.list.Nodes && (b.list.Keys == "" || b.list.Keys == t.hash)
}

// List returns the last list, and whether there is one.
func (b *Builder) List() (List, bool) { return b.list, b.hasList }

// Snapshot returns the present state; sequence is that of the last entry taken in.
func (b *Builder) Snapshot(sequence uint64) Snapshot {
	return Snapshot{
		Revision:  Revision{Epoch: b.list.Epoch, Sequence: sequence},
		Services:  b.services.share(),
		Nodes:     b.nodes.share(),
		Tasks:     b.tasks.share(),
		Revisions: b.revisions.share(),
		Cut:       b.cut.share(),
	}
}

// family is a map that is copied only when it changes after somebody was given it.
type family[T any] struct {
	m        map[string]T
	isShared bool
}

func (f *family[T]) own() {
	switch {
	case f.m == nil:
		f.m = map[string]T{}
	case f.isShared:
		f.m = maps.Clone(f.m)
	}
	f.isShared = false
}

func (f *family[T]) put(id string, v T) {
	f.own()
	f.m[id] = v
}

func (f *family[T]) delete(id string) {
	if _, ok := f.m[id]; ok {
		f.own()
		delete(f.m, id)
	}
}

func (f *family[T]) share() map[string]T {
	if f.m == nil {
		f.m = map[string]T{}
	}
	f.isShared = true
	return f.m
}
