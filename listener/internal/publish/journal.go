package publish

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
)

// maxEvents is how many events wait for the bus; the oldest are dropped first,
// for a stream to tail is not what anything depends on.
const maxEvents = 1000

// noted is an event that waits.
type noted struct {
	catalog.Event
	// mark is the same for whoever else tells of the same change.
	mark string
}

// subject is where it is told in the stream.
func (e noted) subject() string {
	if e.NodeID != "" {
		return "listener.node." + bus.Token(e.NodeID)
	}
	return "listener.service." + bus.Token(e.ServiceID)
}

// journal keeps events until they are told.
type journal struct {
	limit int
	// mu guards the rest: the loops that write note, another tells.
	mu      sync.Mutex
	waiting []noted
	dropped int
}

// note takes the services and nodes of a change that landed; have is what was there
// before, versions are Swarm's by key.
func (j *journal) note(have catalog.Entries, changes catalog.Changes, versions map[string]uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	add := func(kind, key string, value []byte) {
		e, ok := eventOf(key, value)
		if !ok {
			return
		}
		if kind == catalog.EventChanged && e.ServiceID != "" {
			e.Text = difference(have[key], value)
		}
		e.Kind, e.mark = kind, fmt.Sprintf("%s.%s.%d", kind, key, versions[key])
		j.waiting = append(j.waiting, e)
	}
	for _, e := range changes.Put {
		kind := catalog.EventCreated
		if old, ok := have[e.Key]; ok && !bytes.Equal(old, e.Value) {
			kind = catalog.EventChanged
		}
		add(kind, e.Key, e.Value)
	}
	for _, key := range changes.Delete {
		add(catalog.EventRemoved, key, have[key])
	}
	if more := len(j.waiting) - j.limit; more > 0 {
		j.waiting = j.waiting[more:]
		j.dropped += more
	}
}

// eventOf returns an event about the service or node of an entry, false for other entries.
// The name of one whose entry is broken is not known.
func eventOf(key string, value []byte) (noted, bool) {
	kind, id, _ := strings.Cut(key, ".")
	var names struct{ Name, Hostname string }
	if err := json.Unmarshal(value, &names); err != nil {
		names.Name, names.Hostname = "", ""
	}
	switch kind {
	case "service":
		return noted{Event: catalog.Event{ServiceID: id, Service: names.Name}}, true
	case "node":
		return noted{Event: catalog.Event{NodeID: id, Node: names.Hostname}}, true
	}
	return noted{}, false
}

// next returns the oldest event, if there is one.
func (j *journal) next() (noted, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.waiting) == 0 {
		return noted{}, false
	}
	return j.waiting[0], true
}

// told removes the oldest event, if it is still this one.
func (j *journal) told(e noted) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.waiting) > 0 && j.waiting[0].mark == e.mark {
		j.waiting = j.waiting[1:]
	}
}

// lost returns how many events were dropped since it was last asked.
func (j *journal) lost() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := j.dropped
	j.dropped = 0
	return n
}

// Stream takes messages; bus.Bus is one.
type Stream interface {
	Publish(ctx context.Context, stream, tokens string, value []byte, options ...bus.PutOption) error
}

// EventPass tells the events that wait. One that could not be told waits for the
// next pass.
func (p *Publisher) EventPass(ctx context.Context, to Stream) error {
	if n := p.journal.lost(); n > 0 {
		p.o.Log.Warn("events were dropped, since the bus was away for long", "dropped", n)
	}
	for {
		e, ok := p.journal.next()
		if !ok {
			return nil
		}
		value, err := catalog.Encode(e.Event)
		if err != nil {
			return err
		}
		limited, cancel := context.WithTimeout(ctx, writeTimeout)
		err = to.Publish(limited, bus.EventsStream, e.subject(), value, bus.WithID(e.mark))
		cancel()
		if err != nil {
			return fmt.Errorf("event: %w", err)
		}
		p.journal.told(e)
	}
}
