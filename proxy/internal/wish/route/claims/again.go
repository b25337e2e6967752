package claims

import (
	"maps"
	"slices"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
)

// settled is what was settled last, and from what.
type settled struct {
	services []catalog.Service
	accepted map[string]catalog.Service
	refused  refusals
	reserved []int
	at       time.Time
	desired  Desired
}

// judgedFor is how long what was settled holds without another look at the clock, which
// decides about certificates.
const judgedFor = 10 * time.Second

// again returns what was settled last if it is still right. Most passes come of tasks
// and addresses, of which nothing here depends.
func (m *Settler) again(services []catalog.Service, accepted map[string]catalog.Service) (Desired, bool) {
	l := m.last
	same := l != nil && m.now.Sub(l.at).Abs() < judgedFor && slices.Equal(l.reserved, m.reserved) &&
		l.refused.equal(m.refused) &&
		slices.EqualFunc(l.services, services, catalog.Service.Equal) && maps.EqualFunc(l.accepted, accepted, catalog.Service.Equal)
	if !same {
		return Desired{}, false
	}
	return l.desired, true
}

// keep remembers what was settled, of services in the order of their age. In another order
// they are not known again, which costs time alone.
func (m *Settler) keep(ordered []catalog.Service, accepted map[string]catalog.Service, d Desired) {
	m.last = &settled{
		services: ordered, accepted: maps.Clone(accepted), refused: maps.Clone(m.refused), reserved: slices.Clone(m.reserved), at: m.now, desired: d,
	}
}
