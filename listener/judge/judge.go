// Package judge answers for a snapshot of the swarm what the listener makes of each
// service: whether it opted in, where its labels stand, which of them nobody reads. It is
// pure, and the running listener decides by the same functions.
package judge

import (
	"cmp"
	"slices"

	"github.com/wagglehq/waggle/listener/internal/advice"
	"github.com/wagglehq/waggle/listener/internal/known"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
)

// Question is what is judged.
type Question struct {
	Snapshot catalog.Snapshot
	// Large are the services that brought too much, by name.
	Large map[string]*catalog.TooLargeError
}

// Answer is what the listener makes of one service.
type Answer struct {
	catalog.Status
	// Misplaced are the labels that stand on the container alone, sorted.
	Misplaced []string
	// Unknown are the first labels that nobody reads, sorted, and More is how many others
	// there are.
	Unknown []label.Unknown
	More    int
	// Foreign says that all its labels belong to companions of Docker Flow.
	Foreign bool
}

// mostUnknown is how many unknown labels of one service are named.
const mostUnknown = 20

// Services judges all services with labels under com.df., sorted by name.
func Services(q Question) ([]Answer, error) {
	table, err := known.Table()
	if err != nil {
		return nil, err
	}
	var out []Answer
	for _, svc := range q.Snapshot.Services {
		if len(svc.Labels) == 0 && len(svc.ContainerLabels) == 0 {
			continue
		}
		said, _ := advice.On(svc, q.Large[svc.Name], table)
		a := Answer{
			Status: catalog.Status{
				Component: "listener", ServiceID: svc.ID, Service: svc.Name, State: catalog.State(said.State), Reason: said.Reason,
				Label: said.Label, Hint: said.Hint, Warnings: said.Warnings, Revision: q.Snapshot.RevisionOf(svc.ID),
			},
			Misplaced: advice.Misplaced(svc), Foreign: len(svc.ContainerLabels) == 0,
		}
		a.Unknown, a.More = label.FindUnknown(catalog.Prefix, svc.Labels, table, known.Foreign, mostUnknown)
		for full := range svc.Labels {
			a.Foreign = a.Foreign && known.Foreign(full[len(catalog.Prefix):])
		}
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b Answer) int { return cmp.Compare(a.Service, b.Service) })
	return out, nil
}

// Show returns labels as they may be shown: secret texts, and those that nobody here
// knows, are hidden.
func Show(labels map[string]string) (map[string]string, error) {
	table, err := known.Table()
	return known.Show(labels, table), err
}

// Hide returns a service as it may be shown: secret texts are left out, and their labels
// named by Withheld.
func Hide(svc catalog.Service) (catalog.Service, error) {
	table, err := known.Table()
	if err != nil {
		return svc, err
	}
	svc, _ = catalog.Split(svc, known.Secrets(table), func(string) string { return "" })
	return svc, nil
}
