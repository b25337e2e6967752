package controller

import (
	"maps"
	"slices"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/wish/manual"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/claims"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
)

// manual returns the services that came over HTTP. It is false while it is worth
// waiting for the bus to tell them; the bus of an older listener never does.
func (c *Controller) manual() (map[string]catalog.Service, bool) {
	if c.o.Source.Manual == nil {
		return nil, true
	}
	services, complete := c.o.Source.Manual()
	for id, svc := range services {
		svc.Networks = c.o.Route.Networks
		services[id] = svc
	}
	return services, complete || time.Since(c.started) > busPatience
}

// join adds the services that came over HTTP to those of a catalog, unless one with
// routes has their name. Apart from that they are settled like those of the swarm.
func join(services map[string]catalog.Service, extra map[string]catalog.Service, taken map[string]bool) (refused []claims.Verdict) {
	for _, svc := range slices.SortedFunc(maps.Values(extra), catalog.Older) {
		if taken[svc.Name] {
			refused = append(refused, claims.Verdict{Service: svc, Err: &manual.NameError{Name: svc.Name}})
			continue
		}
		services[svc.ID] = svc
	}
	return refused
}

// CheckLabels returns what is wrong with the labels of a service that would come over
// HTTP, without a look at the other services. It may be called from any goroutine.
func (c *Controller) CheckLabels(svc catalog.Service) error {
	svc.Networks = c.o.Route.Networks
	_, err := labels.FromService(svc, c.o.Route)
	return err
}
