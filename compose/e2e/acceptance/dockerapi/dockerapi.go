// Package dockerapi has what every Docker API of a case needs, whatever swarm it shows:
// paths without a version, answers, filters of lists, and streams of events. The form is
// that of the Docker Engine API 1.41.
package dockerapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Object is a JSON object.
type Object = map[string]any

// Path is what a call is about, without the version that a client puts before it.
func Path(r *http.Request) string {
	if rest, ok := strings.CutPrefix(r.URL.Path, "/v1."); ok {
		_, path, _ := strings.Cut(rest, "/")
		return "/" + path
	}
	return r.URL.Path
}

// Stamp is a moment as the API writes it.
func Stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// Answer answers a call with a value as JSON.
func Answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client has gone; there is nobody to tell
}

// Greet answers the calls by which a client learns whom it talks to, and reports whether
// this was one of them.
func Greet(w http.ResponseWriter, path string) bool {
	switch path {
	case "/_ping":
		w.Header().Set("Api-Version", "1.41")
		_, _ = w.Write([]byte("OK"))
	case "/version":
		Answer(w, http.StatusOK, Object{"Version": "20.10.24", "ApiVersion": "1.41", "MinAPIVersion": "1.12", "Os": "linux", "Arch": "amd64"})
	default:
		return false
	}
	return true
}

// Tasks are those of all that a call asks for by its filters.
func Tasks(r *http.Request, all []Object) []Object {
	var filters Object
	_ = json.Unmarshal([]byte(r.URL.Query().Get("filters")), &filters) // without filters all are meant
	keeps := func(name string, value any) bool {
		var words []string
		switch all := filters[name].(type) {
		case Object:
			words = slices.Collect(maps.Keys(all))
		case []any:
			for _, one := range all {
				words = append(words, fmt.Sprint(one))
			}
		}
		return len(words) == 0 || slices.Contains(words, fmt.Sprint(value))
	}
	out := []Object{}
	for _, t := range all {
		if keeps("desired-state", t["DesiredState"]) && keeps("service", t["ServiceID"]) && keeps("node", t["NodeID"]) && keeps("id", t["ID"]) {
			out = append(out, t)
		}
	}
	return out
}

// Events are the open streams of events. The zero value has none.
type Events struct {
	mu      sync.Mutex
	open    map[*stream]bool
	refused bool
}

// stream ends when end is closed.
type stream struct {
	events chan []byte
	end    chan struct{}
}

// Emit tells all streams of a change: an action upon a service or a node.
func (e *Events) Emit(kind, action, id, name string) {
	event, err := json.Marshal(Object{
		"Type": kind, "Action": action, "Actor": Object{"ID": id, "Attributes": Object{"name": name}},
		"scope": "swarm", "time": time.Now().Unix(), "timeNano": time.Now().UnixNano(),
	})
	if err != nil {
		return // it is made of texts
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for s := range e.open {
		select {
		case s.events <- append(event, '\n'):
		default: // whoever does not read lists anyway
		}
	}
}

// Refuse ends all streams and lets none open, until it is taken back.
func (e *Events) Refuse(yes bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.refused = yes
	if !yes {
		return
	}
	for s := range e.open {
		close(s.end)
	}
	e.open = nil
}

// ServeHTTP tells of changes until the client goes, or the stream is cut.
func (e *Events) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := &stream{events: make(chan []byte, 1000), end: make(chan struct{})}
	if !e.add(s) {
		panic(http.ErrAbortHandler) // the connection ends without an answer
	}
	defer func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.open, s)
	}()
	w.Header().Set("Content-Type", "application/json")
	flush := http.NewResponseController(w)
	for flush.Flush() == nil {
		select {
		case <-r.Context().Done():
			return
		case <-s.end:
			return
		case event := <-s.events:
			if _, err := w.Write(event); err != nil {
				return
			}
		}
	}
}

// add reports whether the stream may be opened.
func (e *Events) add(s *stream) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.refused {
		return false
	}
	if e.open == nil {
		e.open = map[*stream]bool{}
	}
	e.open[s] = true
	return true
}
