package proxy

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

const (
	// mostReloads is how many reloads wait to be told; those beyond are not.
	mostReloads = 100
	// tellPatience bounds one attempt: nothing depends on what people are told.
	tellPatience = 2 * time.Second
)

// reloads tells people, on the bus, that HAProxy reloaded, and why.
type reloads struct {
	bus      *bus.Bus
	instance string
	queue    chan catalog.Event
	log      *slog.Logger
}

func newReloads(b *bus.Bus, instance string, log *slog.Logger) *reloads {
	return &reloads{bus: b, instance: instance, queue: make(chan catalog.Event, mostReloads), log: log}
}

// note has a reload told. It never blocks.
func (r *reloads) note(reason string, backends []string, services []route.Service) {
	select {
	case r.queue <- reloadEvent(r.instance, reason, backends, services):
	default:
	}
}

// run tells reloads until the context ends.
func (r *reloads) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-r.queue:
			value, err := catalog.Encode(e)
			if err != nil {
				return err
			}
			limited, cancel := context.WithTimeout(ctx, tellPatience)
			if err := r.bus.Publish(limited, bus.EventsStream, "proxy."+bus.Token(r.instance)+".reload", value); err != nil {
				r.log.Debug("a reload is not told on the bus", "error", err)
			}
			cancel()
		}
	}
}

// reloadEvent is the event of a reload for which these backends were the reason.
func reloadEvent(instance, reason string, backends []string, services []route.Service) catalog.Event {
	names := map[string]bool{}
	for _, s := range services {
		for _, r := range s.Routes {
			names[s.Name] = names[s.Name] || slices.Contains(backends, r.Backend)
		}
		for _, r := range s.Streams {
			names[s.Name] = names[s.Name] || slices.Contains(backends, r.Backend)
		}
	}
	maps.DeleteFunc(names, func(_ string, isReason bool) bool { return !isReason })
	words, isKnown := reloadWords()[reason]
	if !isKnown {
		words = reason
	}
	return catalog.Event{Kind: catalog.EventReload, Instance: instance, Text: words, Services: slices.Sorted(maps.Keys(names))}
}

// reloadWords say what the reasons of reloads mean.
func reloadWords() map[string]string {
	return map[string]string{
		"start":       "it is the first configuration since the proxy started",
		"frame":       "what all services share has changed, such as a port, a condition or a list of users",
		"backend":     "a service asks for something that no other does, or for something else than before",
		"server":      "a service has options for its tasks that HAProxy cannot change while it runs",
		"version":     "a service is new, and HAProxy is older than 3.4",
		"certificate": "a certificate is too large to be given to a running HAProxy",
		"runtime":     "a change at run time failed",
	}
}
