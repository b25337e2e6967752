package whycase

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/acceptance"
	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/picture"
)

// happenings are what the listener tells to those who follow. The world's lock guards it.
type happenings struct {
	followers map[chan picture.Event]bool
	services  map[string][]byte
	statuses  map[string]picture.Event
	decisions map[string]picture.Event
}

// tell compares the world with how it was, and tells those who follow what happened. Whoever
// calls holds the lock.
func (w *world) tell() error {
	s, err := w.snapshot()
	if err != nil {
		return err
	}
	now := time.Now()
	var events []picture.Event
	services := map[string][]byte{}
	for id, svc := range s.Services {
		if services[id], err = catalog.Encode(svc); err != nil {
			return err
		}
		event := catalog.Event{Kind: catalog.EventCreated, ServiceID: id, Service: svc.Name}
		switch before, isKnown := w.happened.services[id]; {
		case isKnown && string(before) == string(services[id]):
			continue
		case isKnown:
			event.Kind = catalog.EventChanged
		}
		events = append(events, picture.OfCatalog(now, "listener", event))
	}
	for id, before := range w.happened.services {
		var svc catalog.Service
		if _, isThere := services[id]; !isThere && json.Unmarshal(before, &svc) == nil {
			events = append(events, picture.OfCatalog(now, "listener", catalog.Event{Kind: catalog.EventRemoved, Service: svc.Name}))
		}
	}
	said, err := w.statuses(s)
	if err != nil {
		return err
	}
	statuses, decisions := map[string]picture.Event{}, map[string]picture.Event{}
	for _, one := range said {
		statuses[one.Component+" "+one.ServiceID] = picture.OfStatus(now, one.Status)
	}
	for name, d := range w.decisions {
		decisions[name] = picture.OfDecision(now, name, d)
	}
	events = slices.Concat(events, news(w.happened.statuses, statuses), news(w.happened.decisions, decisions))
	w.happened.services, w.happened.statuses, w.happened.decisions = services, statuses, decisions
	for follower := range w.happened.followers {
		for _, e := range events {
			follower <- e
		}
	}
	return nil
}

// news are the events that say something else than before.
func news(before, now map[string]picture.Event) (out []picture.Event) {
	for _, key := range slices.Sorted(maps.Keys(now)) {
		if before[key].Text != now[key].Text {
			out = append(out, now[key])
		}
	}
	return out
}

// follow answers as the listener does to whoever follows.
func (w *world) follow(rw http.ResponseWriter, r *http.Request) {
	events := make(chan picture.Event, 10000)
	w.mu.Lock()
	w.happened.followers[events] = true
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.happened.followers, events)
	}()
	rw.Header().Set("Content-Type", "text/event-stream")
	controller := http.NewResponseController(rw)
	if controller.Flush() != nil {
		return
	}
	for {
		select {
		case <-r.Context().Done():
			return
		case e := <-events:
			text, err := json.Marshal(e)
			if err != nil {
				app.WriteError(rw, http.StatusInternalServerError, err)
				return
			}
			if _, err := fmt.Fprintf(rw, "data: %s\n\n", text); err != nil || controller.Flush() != nil {
				return
			}
		}
	}
}

// tail is a program that tells what happens.
type tail struct {
	mu    sync.Mutex
	lines []string
}

// startTail starts one, and waits until it follows.
func (w *world) startTail(ctx context.Context) error {
	w.tail = &tail{}
	cmd := exec.CommandContext(ctx, w.program, "tail", "-o", "json")
	cmd.Env = []string{"WAGGLE_URL=http://" + address}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	go w.tail.read(out)
	go cmd.Wait() //nolint:errcheck // it ends with the case
	return acceptance.Poll(ctx, w, tailPatience, func(context.Context) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.happened.followers) == 0 {
			return errors.New("waggle tail does not follow")
		}
		return nil
	})
}

// tailPatience is how long a line may take.
const tailPatience = 10 * time.Second

func (t *tail) read(from io.Reader) {
	for lines := bufio.NewScanner(from); lines.Scan(); {
		t.mu.Lock()
		t.lines = append(t.lines, lines.Text())
		t.mu.Unlock()
	}
}

// tells waits until a line fits.
func (w *world) tells(ctx context.Context, wanted map[string]any) error {
	t := w.tail
	within := tailPatience
	if s, ok := wanted["within"].(float64); ok {
		within = time.Duration(s * float64(time.Second))
		wanted = maps.Clone(wanted)
		delete(wanted, "within")
	}
	return acceptance.Poll(ctx, w, within, func(context.Context) error {
		t.mu.Lock()
		defer t.mu.Unlock()
		for _, line := range t.lines {
			var got map[string]any
			if json.Unmarshal([]byte(line), &got) == nil && fits(got, any(wanted)) {
				return nil
			}
		}
		return fmt.Errorf("no line fits %v:\n%s", wanted, strings.Join(t.lines, "\n"))
	})
}
