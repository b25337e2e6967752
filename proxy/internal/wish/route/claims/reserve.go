package claims

import (
	"slices"
	"strconv"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// Reserve keeps ports from services that do not have them yet: those on which the proxy
// itself speaks TLS, while it does. A port that a service had first stays with it. Services
// that say which server names they want share such a port with the proxy.
func (m *Settler) Reserve(ports []int) { m.reserved = ports }

// free returns the fault of a service whose labels are new and ask for a port that the
// proxy has, nil if there is none.
func (s *settler) free(svc, last catalog.Service) error {
	if len(s.reserved) == 0 {
		return nil
	}
	wants, err := s.read(svc)
	if err != nil || len(wants.Streams) == 0 {
		return nil //nolint:nilerr // whoever admits the service says what is wrong.
	}
	before, err := s.read(labelled(svc, last.Labels))
	if err != nil {
		before = route.Service{}
	}
	for _, stream := range wants.Streams {
		if stream.Shares() {
			continue
		}
		same := func(other route.Stream) bool { return other.Port == stream.Port && !other.Shares() }
		if slices.Contains(s.reserved, stream.Port) && !slices.ContainsFunc(before.Streams, same) && !s.streamed(stream.Port) {
			return reservedFault(svc, stream)
		}
	}
	return nil
}

// reservedFault names the label that asks for the port.
func reservedFault(svc catalog.Service, s route.Stream) error {
	name := catalog.Prefix + "srcPort"
	if indexed := name + "." + strconv.Itoa(s.Index); svc.Labels[indexed] != "" {
		name = indexed
	}
	return label.Faults{{Label: name, Text: strconv.Itoa(s.Port), Want: "a port that the proxy does not use itself: it speaks TLS there, by its certificates, and shares the port only for server names, whole or as *.acme.com"}}
}

// streamed reports whether a service has the port already.
func (s *settler) streamed(port int) bool {
	return slices.ContainsFunc(s.d.Services, func(svc route.Service) bool {
		return slices.ContainsFunc(svc.Streams, func(st route.Stream) bool { return st.Port == port && !st.Shares() })
	})
}
