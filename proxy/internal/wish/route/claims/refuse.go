package claims

import (
	"fmt"
	"maps"
	"slices"

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
// Others of the same service may be refused besides, such as those last accepted.
func (m *Settler) Refuse(svc catalog.Service, words string) {
	m.refused.add(svc, &RefusedError{Service: svc.Name, Words: words})
}

// Admit takes all refusals of a service back.
func (m *Settler) Admit(id string) { delete(m.refused, id) }

// AdmitAgain takes the refusal of the labels of a service back, and of no others of it.
func (m *Settler) AdmitAgain(svc catalog.Service) { m.refused.drop(svc) }

// refusals are label sets that are refused, by the ID of their service.
type refusals map[string][]refusal

type refusal struct {
	labels map[string]string
	err    error
}

// mostRefused is how many label sets of one service are remembered: the present ones, those
// last accepted, and some of a moment ago.
const mostRefused = 4

func (r refusals) add(svc catalog.Service, err error) {
	list := append(r.others(svc), refusal{svc.Labels, err})
	r[svc.ID] = list[max(0, len(list)-mostRefused):]
}

func (r refusals) drop(svc catalog.Service) {
	if r[svc.ID] = r.others(svc); len(r[svc.ID]) == 0 {
		delete(r, svc.ID)
	}
}

// others are the refusals of a service but that of these labels.
func (r refusals) others(svc catalog.Service) []refusal {
	return slices.DeleteFunc(slices.Clone(r[svc.ID]), func(old refusal) bool { return maps.Equal(old.labels, svc.Labels) })
}

// of returns why a service's labels are refused, nil if they are not.
func (r refusals) of(svc catalog.Service) error {
	for _, one := range r[svc.ID] {
		if maps.Equal(one.labels, svc.Labels) {
			return one.err
		}
	}
	return nil
}

// equal reports whether the very same is refused.
func (r refusals) equal(o refusals) bool {
	return maps.EqualFunc(r, o, func(a, b []refusal) bool {
		return slices.EqualFunc(a, b, func(a, b refusal) bool { return a.err == b.err }) //nolint:errorlint // the same refusal, not one of a kind
	})
}
