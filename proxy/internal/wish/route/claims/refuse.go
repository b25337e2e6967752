package claims

import (
	"fmt"
	"maps"

	"github.com/wagglehq/waggle/pkg/catalog"
)

// RefusedError says that HAProxy does not take what the labels of a service make,
// although every single one was admitted.
type RefusedError struct {
	Service string
	// Words are HAProxy's.
	Words string
}

// Error carries HAProxy's words.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("HAProxy refuses what the labels make: %s", e.Words)
}

// Refuse makes the present labels of a service count as at fault until they are others.
func (m *Settler) Refuse(svc catalog.Service, words string) {
	m.refused[svc.ID] = refusal{labels: svc.Labels, err: &RefusedError{Service: svc.Name, Words: words}}
}

// Admit takes a refusal back.
func (m *Settler) Admit(id string) { delete(m.refused, id) }

type refusal struct {
	labels map[string]string
	err    error
}

// refusedNow returns why a service's labels are refused, nil if they are not.
func (m *Settler) refusedNow(svc catalog.Service) error {
	if r, ok := m.refused[svc.ID]; ok && maps.Equal(r.labels, svc.Labels) {
		return r.err
	}
	return nil
}
