package claims

import (
	"cmp"
	"slices"

	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// mergeGroups gives all backends of a group the settings that any of its members
// has, so that it does not matter which of them is written. The values that are
// passed in may be remembered elsewhere and stay as they are.
func mergeGroups(services []route.Service) {
	merged := map[string]route.StreamBackend{}
	for i := range services {
		for j := range services[i].Backends {
			b := &services[i].Backends[j]
			if b.Stream == nil || b.Share.Group == "" {
				continue
			}
			m := merged[b.Name]
			m.Spread = mergeSpread(m.Spread, b.Stream.Spread)
			m.TimeoutServer = cmp.Or(m.TimeoutServer, b.Stream.TimeoutServer)
			m.TimeoutTunnel = cmp.Or(m.TimeoutTunnel, b.Stream.TimeoutTunnel)
			merged[b.Name] = m
		}
	}
	if len(merged) == 0 {
		return
	}
	for i, svc := range services {
		for j, b := range svc.Backends {
			m, ok := merged[b.Name]
			if !ok {
				continue
			}
			services[i].Backends = slices.Clone(services[i].Backends)
			services[i].Backends[j].Stream = &m
		}
	}
}

// mergeSpread adds to what one member of a group says what another says; they do
// not contradict each other.
func mergeSpread(a, b route.Spread) route.Spread {
	a.Balance = cmp.Or(a.Balance, b.Balance)
	a.Retries = cmp.Or(a.Retries, b.Retries)
	a.Redispatch = cmp.Or(a.Redispatch, b.Redispatch)
	a.TimeoutQueue = cmp.Or(a.TimeoutQueue, b.TimeoutQueue)
	a.TimeoutConnect = cmp.Or(a.TimeoutConnect, b.TimeoutConnect)
	a.SlowStart = cmp.Or(a.SlowStart, b.SlowStart)
	a.MaxConn = cmp.Or(a.MaxConn, b.MaxConn)
	a.MaxQueue = cmp.Or(a.MaxQueue, b.MaxQueue)
	switch {
	case b.Check == nil:
	case a.Check == nil:
		a.Check = b.Check
	default:
		a.Check = &route.Check{
			Interval: cmp.Or(a.Check.Interval, b.Check.Interval), Timeout: cmp.Or(a.Check.Timeout, b.Check.Timeout),
			Fall: cmp.Or(a.Check.Fall, b.Check.Fall), Rise: cmp.Or(a.Check.Rise, b.Check.Rise),
		}
	}
	return a
}
