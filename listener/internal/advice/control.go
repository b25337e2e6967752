package advice

import (
	"fmt"
	"slices"

	"github.com/wagglehq/waggle/pkg/catalog"
)

// Control is what belongs to Waggle itself: a network, on which its services talk to each
// other, and the stack that they are deployed by. Without a stack nobody's service is its own,
// and nothing is known of strangers.
type Control struct{ Network, Stack string }

// Own reports whether a service is one of Waggle's.
func (c Control) Own(svc catalog.Service) bool { return c.Stack != "" && svc.Stack == c.Stack }

// IsStranger reports whether a service of somebody else is on Waggle's network. The engine does
// not prevent that: a network that is not attachable is closed to containers alone.
func (c Control) IsStranger(svc catalog.Service) bool {
	return c.Stack != "" && !c.Own(svc) && slices.Contains(svc.Networks, c.Network)
}

// Warning is what is said of a stranger.
func (c Control) Warning() string {
	return fmt.Sprintf("the service is on %s, the network of Waggle's own services, and reaches their admin ports: "+
		"take it off that network, unless it reads metrics there on purpose", c.Network)
}
