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
	"sync"
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

// errReopened ends a stream that ReopenEvents was asked to end.
var errReopened = errors.New("it was silent and is opened again")

// present is the stream of events that is open.
type present struct {
	// mu guards end, which whoever asks for a new stream shares with it.
	mu  sync.Mutex
	end context.CancelCauseFunc
}

func (p *present) set(end context.CancelCauseFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end = end
}

// ReopenEvents ends the present stream of events, so that Events opens another at
// once and says so with the zero Event. It is for a caller who has seen a change that no event
// told of: a stream can die without being closed. Without a stream it does nothing.
func (c *Client) ReopenEvents() {
	c.stream.mu.Lock()
	defer c.stream.mu.Unlock()
	if c.stream.end != nil {
		c.stream.end(errReopened)
		c.stream.end = nil
	}
}

// Events calls poke for every event of a service or node, and once with the zero
// value whenever the stream has been opened, since events are lost while it is not. It opens the
// stream again for ever and returns nil when the context ends. A stream that is
// dead without having been closed tells nothing: the caller lists now and then, and
// calls ReopenEvents if there was something to tell.
func (c *Client) Events(ctx context.Context, poke func(Event)) error {
	wait, level := reopenMin, slog.LevelWarn
	for {
		opened, err := c.listen(ctx, poke)
		if ctx.Err() != nil {
			return nil
		}
		if opened {
			wait, level = reopenMin, slog.LevelWarn
		}
		c.log.Log(ctx, level, "docker events interrupted", "error", err)
		if errors.Is(err, errReopened) {
			continue
		}
		level = slog.LevelDebug // one warning for each interruption is enough
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait/2 + rand.N(wait/2)):
		}
		wait = min(2*wait, reopenMax)
	}
}

// listen reads events until the stream ends, which is always an error. The SDK's
// own reader does not say when it has connected, which is when a list is due.
func (c *Client) listen(ctx context.Context, poke func(Event)) (opened bool, err error) {
	stream, end := context.WithCancelCause(ctx)
	defer end(nil)
	s, body, err := c.open(ctx, stream, end)
	if err != nil {
		return false, err
	}
	defer func() { _ = body.Close() }()
	c.stream.set(end)
	defer c.stream.set(nil)
	c.down.stream(true)
	defer c.down.stream(false)
	poke(Event{})
	events := json.NewDecoder(body)
	for {
		var event struct {
			Type, Action string
			Actor        struct{ ID string }
		}
		if err := events.Decode(&event); err != nil {
			if cause := context.Cause(stream); cause != nil {
				return true, fmt.Errorf("docker: events: %w", cause)
			}
			c.drop(s)
			if errors.Is(err, io.EOF) {
				err = errors.New("the daemon ended the stream")
			}
			return true, fmt.Errorf("docker: events: %w", err)
		}
		if event.Type == "node" {
			c.down.forget()
		}
		poke(Event{Kind: event.Type, ID: event.Actor.ID, Removed: event.Action == "remove"})
	}
}

// open opens the stream within the deadline of a call; the stream itself has none.
func (c *Client) open(ctx, stream context.Context, end context.CancelCauseFunc) (*session, io.ReadCloser, error) {
	limit, start := c.calls.limit(kindEvents), time.Now()
	slow := time.AfterFunc(limit, func() { end(context.DeadlineExceeded) })
	defer slow.Stop()
	s, err := c.connected(stream)
	var res *http.Response
	if err == nil {
		res, err = c.send(stream, s, http.MethodGet, "/events", url.Values{"filters": {`{"type":["node","service"]}`}}, nil)
	}
	if err == nil && !slow.Stop() {
		_ = res.Body.Close()
		err = context.DeadlineExceeded
	}
	if err != nil {
		if cause := context.Cause(stream); cause != nil {
			err = cause
		}
		err = c.explain(stream, s, "events", limit, err)
	}
	c.done(ctx, kindEvents, wait{had: limit, took: time.Since(start)}, err)
	if err != nil {
		return nil, nil, err
	}
	return s, res.Body, nil
}
