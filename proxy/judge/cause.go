package judge

import (
	"errors"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// Cause is the kind of fault for which a service is rejected.
type Cause string

// The kinds of faults.
const (
	// CauseLabels: a label is at fault, or there is too much of them.
	CauseLabels Cause = "labels"
	// CauseNetwork: the proxy shares no network with it.
	CauseNetwork Cause = "network"
	// CauseTaken: somebody else has what it asks for.
	CauseTaken Cause = "taken"
)

// causeOf tells the kind of an error of a verdict, and all labels at fault.
func causeOf(err error) (Cause, []*label.Fault) {
	var (
		faults   label.Faults
		one      *label.Fault
		network  *route.NetworkError
		withheld *catalog.WithheldError
		large    *catalog.OversizeError
	)
	switch {
	case err == nil, errors.Is(err, route.ErrNoRoute):
		return "", nil
	case errors.As(err, &network):
		return CauseNetwork, nil
	case errors.As(err, &faults):
		return CauseLabels, faults
	case errors.As(err, &one):
		return CauseLabels, []*label.Fault{one}
	case errors.As(err, &withheld), errors.As(err, &large):
		return CauseLabels, nil
	}
	return CauseTaken, nil
}
