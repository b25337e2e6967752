package judge

import (
	"errors"

	"github.com/wagglehq/waggle/monitor/internal/desired"
	"github.com/wagglehq/waggle/pkg/label"
)

// Fault is why one job or alert of a service is not in force.
type Fault struct {
	// Item is "scrape", "scrape 3", "alert" or "alert 2", or "name" or "labels" for all that
	// the service asks for.
	Item string
	// Label is the label at fault, empty if none is by itself.
	Label string
	// Text says what is wrong, Fix what would be right.
	Text, Fix string
	// Kept reports that what was last accepted stays in force.
	Kept bool
}

func faultOf(f desired.Fault) Fault {
	out := Fault{Item: f.Item, Text: f.Err.Error(), Kept: f.Kept}
	if l := label.First(f.Err); l != nil {
		out.Label, out.Fix = l.Label, "set it to "+l.Want
	}
	if hinted := interface{ Hint() string }(nil); errors.As(f.Err, &hinted) {
		out.Fix = hinted.Hint()
	}
	return out
}
