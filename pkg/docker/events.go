package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"
)

// The wait before the stream of events is opened again.
const (
	reopenMin = 50 * time.Millisecond
	reopenMax = 2 * time.Second
)

// Event says that something may have changed. The zero value says that the stream
// has been opened: what happened before was not told.
type Event struct {
	// Kind is "service" or "node", ID its ID.
	Kind, ID string
	// Removed says that it does not exist any more.
	Removed bool
}

// Events calls poke for every event of a service or node, and once with the zero
// value whenever the stream has been opened, since events are lost while it is not. It opens the
// stream again for ever and returns nil when the context ends. A stream that is
// dead without having been closed tells nothing: the caller lists now and then.
func (c *Client) Events(ctx context.Context, poke func(Event)) error {
	wait, level := reopenMin, slog.LevelWarn
	for {
		opened, err := c.stream(ctx, poke)
		if ctx.Err() != nil {
			return nil
		}
		if opened {
			wait, level = reopenMin, slog.LevelWarn
		}
		c.log.Log(ctx, level, "docker events interrupted", "error", err)
		level = slog.LevelDebug // one warning for each interruption is enough
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait/2 + rand.N(wait/2)):
		}
		wait = min(2*wait, reopenMax)
	}
}

// stream reads events until the stream ends, which is always an error. The SDK's
// own reader does not say when it has connected, which is when a list is due.
func (c *Client) stream(ctx context.Context, poke func(Event)) (opened bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slow := time.AfterFunc(c.Timeout, func() { cancel(fmt.Errorf("no answer within %s", c.Timeout)) })
	defer slow.Stop()
	var s *session
	fail := func(opened bool, err error) (bool, error) {
		if s != nil {
			c.drop(s)
		}
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return opened, fmt.Errorf("docker: events: %w", err)
	}
	if s, err = c.connected(ctx); err != nil {
		return fail(false, err)
	}
	query := url.Values{"filters": {`{"type":["node","service"]}`}}
	res, err := c.send(ctx, s, http.MethodGet, "/events", query, nil)
	if err != nil {
		return fail(false, err)
	}
	defer func() { _ = res.Body.Close() }()
	if !slow.Stop() {
		return fail(false, context.Cause(ctx))
	}
	poke(Event{})
	events := json.NewDecoder(res.Body)
	for {
		var event struct {
			Type, Action string
			Actor        struct{ ID string }
		}
		if err := events.Decode(&event); err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("the daemon ended the stream")
			}
			return fail(true, err)
		}
		poke(Event{Kind: event.Type, ID: event.Actor.ID, Removed: event.Action == "remove"})
	}
}
