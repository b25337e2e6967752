package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/wagglehq/waggle/listener/internal/instances"
	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/picture"
)

const (
	// usualEvents and mostEvents are how many are told to whoever does not follow.
	usualEvents, mostEvents = 100, 1000
	// mostFollowers is how many may follow at once: each has three readers on the bus.
	mostFollowers = 32
	// quietFor is after how long a follower hears that there is nothing to hear, which finds
	// those that have gone, and writePatience how long one may take to read.
	quietFor, writePatience = 15 * time.Second, 10 * time.Second
	// backlog is how many events may wait for a follower; one that is slower begins anew.
	backlog = 1000
)

// Bus is what events are read from.
type Bus interface {
	Last(ctx context.Context, stream string, n int) ([]bus.Message, error)
	TailStream(ctx context.Context, stream string, n bus.News, tell func(bus.TailMessage)) error
	TailBucket(ctx context.Context, bucket string, n bus.News, tell func(bus.TailMessage)) error
}

// Events tells what happens: changes of the swarm, what components say of services,
// decisions, reloads.
type Events struct {
	Bus Bus
	// Statuses are the entries of the status bucket.
	Statuses func() (map[string]bus.Value, bool)
	// Ended is closed when those who follow are to be let go.
	Ended <-chan struct{}

	followers atomic.Int32
}

// Routes adds the handler.
func (e *Events) Routes(r chi.Router) { r.Get("/v1/events", e.serve) }

// serve answers with the last events, the newest first, or follows them for whoever accepts a
// stream of events.
func (e *Events) serve(w http.ResponseWriter, r *http.Request) {
	since, limit, err := asked(r)
	switch {
	case err != nil:
		app.WriteError(w, http.StatusBadRequest, err)
	case strings.Contains(r.Header.Get("Accept"), "text/event-stream"):
		e.follow(w, r, since)
	default:
		e.newest(w, r, since, limit)
	}
}

func asked(r *http.Request) (since time.Time, limit int, err error) {
	limit = usualEvents
	if text := r.URL.Query().Get("limit"); text != "" {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > mostEvents {
			return since, limit, fmt.Errorf("limit=%q: want a number from 1 to %d", text, mostEvents)
		}
	}
	if text := r.URL.Query().Get("since"); text != "" {
		if since, err = time.Parse(time.RFC3339Nano, text); err != nil {
			return since, limit, fmt.Errorf("since=%q: want a time such as 2026-01-02T15:04:05Z", text)
		}
	}
	return since, limit, nil
}

func (e *Events) newest(w http.ResponseWriter, r *http.Request, since time.Time, limit int) {
	service := r.URL.Query().Get("service")
	out := []picture.Event{}
	add := func(event picture.Event, ok bool) {
		if ok && event.About(service) && event.Time.After(since) {
			out = append(out, event)
		}
	}
	for stream, read := range streams() {
		messages, err := e.Bus.Last(r.Context(), stream, mostDecisions)
		if err != nil {
			app.WriteError(w, http.StatusServiceUnavailable, err)
			return
		}
		for _, m := range messages {
			add(read(m.Time, bus.Tokens(stream, m.Subject), m.Value))
		}
	}
	values, _ := e.Statuses()
	for key, v := range values {
		add(ofStatus(v.Time, key, v.Data))
	}
	slices.SortStableFunc(out, func(a, b picture.Event) int { return b.Time.Compare(a.Time) })
	app.WriteJSON(w, http.StatusOK, map[string]any{"events": out[:min(len(out), limit)]})
}

// reading makes an event of a message under its tokens, false if it is about nothing that is told.
type reading func(at time.Time, tokens string, value []byte) (picture.Event, bool)

// streams are those whose messages are told.
func streams() map[string]reading {
	return map[string]reading{bus.EventsStream: ofEvent, bus.DecisionsStream: ofDecision}
}

func ofEvent(at time.Time, tokens string, value []byte) (picture.Event, bool) {
	var event catalog.Event
	component, _, _ := strings.Cut(tokens, ".")
	if json.Unmarshal(value, &event) != nil || event.Kind == "" {
		return picture.Event{}, false
	}
	return picture.OfCatalog(at, component, event), true
}

func ofDecision(at time.Time, _ string, value []byte) (picture.Event, bool) {
	var d struct {
		picture.Decision
		Service string `json:"service"`
	}
	if json.Unmarshal(value, &d) != nil || d.Service == "" {
		return picture.Event{}, false
	}
	return picture.OfDecision(at, d.Service, d.Decision), true
}

func ofStatus(at time.Time, key string, value []byte) (picture.Event, bool) {
	var s catalog.Status
	if _, ok := instances.NameOf(key); !ok || json.Unmarshal(value, &s) != nil || s.Service == "" {
		return picture.Event{}, false
	}
	return picture.OfStatus(at, s), true
}

// follow tells each event until the other side goes. A comment says that from then on none is
// missed.
func (e *Events) follow(w http.ResponseWriter, r *http.Request, since time.Time) {
	if e.followers.Add(1) > mostFollowers {
		e.followers.Add(-1)
		app.WriteError(w, http.StatusTooManyRequests, fmt.Errorf("%d others follow already", mostFollowers))
		return
	}
	defer e.followers.Add(-1)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	events, ready := make(chan picture.Event, backlog), make(chan struct{}, 3)
	e.tail(ctx, cancel, since, r.URL.Query().Get("service"), events, ready)

	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no")
	writer := http.NewResponseController(w)
	write := func(text string) error {
		if err := writer.SetWriteDeadline(time.Now().Add(writePatience)); err != nil {
			return err
		}
		if _, err := fmt.Fprint(w, text); err != nil {
			return err
		}
		return writer.Flush()
	}
	if write(": connected\n\n") != nil {
		return
	}
	quiet := time.NewTicker(quietFor)
	defer quiet.Stop()
	for prepared := 0; ; {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-e.Ended:
			return
		case <-ready:
			if prepared++; prepared == cap(ready) {
				err = write(": ready\n\n")
			}
		case <-quiet.C:
			err = write(": quiet\n\n")
		case event := <-events:
			var text []byte
			if text, err = json.Marshal(event); err == nil {
				err = write(fmt.Sprintf("event: %s\nid: %s\ndata: %s\n\n", event.Kind, event.Time.UTC().Format(time.RFC3339Nano), text))
			}
		}
		if err != nil {
			return
		}
	}
}

// tail reads all that is told about a service until the context ends, and ends it if the
// other side is too slow.
func (e *Events) tail(ctx context.Context, end func(), since time.Time, service string, events chan<- picture.Event, ready chan<- struct{}) {
	tell := func(event picture.Event, ok bool) {
		if !ok || !event.About(service) {
			return
		}
		select {
		case events <- event:
		default:
			end()
		}
	}
	news := bus.News{After: since, Ready: func() { ready <- struct{}{} }}
	for stream, read := range streams() {
		go e.Bus.TailStream(ctx, stream, news, func(m bus.TailMessage) { tell(read(m.Time, m.Key, m.Value)) }) //nolint:errcheck // it ends with its context
	}
	words := map[string]string{}
	if since.IsZero() {
		words = e.words()
	}
	go e.Bus.TailBucket(ctx, bus.StatusBucket, news, func(m bus.TailMessage) { //nolint:errcheck // it ends with its context
		event, ok := ofStatus(m.Time, m.Key, m.Value)
		isNew := words[m.Key] != event.Text
		if m.Deleted {
			delete(words, m.Key)
		} else {
			words[m.Key] = event.Text
		}
		tell(event, ok && isNew)
	})
}

// words are what is said of each service now: to say it anew, of another revision, is no news.
func (e *Events) words() map[string]string {
	out := map[string]string{}
	values, _ := e.Statuses()
	for key, v := range values {
		if event, ok := ofStatus(v.Time, key, v.Data); ok {
			out[key] = event.Text
		}
	}
	return out
}
