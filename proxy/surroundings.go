package proxy

import (
	"time"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/place"
	"github.com/wagglehq/waggle/proxy/internal/controller"
)

// unheardAfter is how long the listener may say nothing: it writes its list every 30 s.
const unheardAfter = 75 * time.Second

// hearing tells whether the listener is heard of: the bus is there, and so is its list of
// not long ago. It goes by when a list arrives, since clocks of nodes differ. It belongs to
// the loop of routes.
type hearing struct {
	connected func() bool
	list      func() (catalog.List, bool)
	now       func() time.Time

	last time.Time // what the last list said
	at   time.Time // when it was first seen
}

func (h *hearing) current() bool {
	list, ok := h.list()
	if !ok || !h.connected() {
		return false
	}
	if !list.Time.Equal(h.last) {
		h.last, h.at = list.Time, h.now()
	}
	return h.now().Sub(h.at) < unheardAfter
}

// surroundings reads where the proxy runs, and says what that changes of what the operator
// said.
func surroundings(c *Config, sh app.Shell) (controller.Surroundings, error) {
	here, err := place.Look()
	if err != nil {
		return controller.Surroundings{}, err
	}
	c.Place = here
	if out := c.Untrusted(); len(out) > 0 {
		sh.Log.Info("networks of the proxy's own are no trusted proxies unless they are named", "networks", out)
	}
	return controller.Surroundings{Own: here.Own(), Shared: here.Shared(), Gateways: here.Ways(), Control: c.ControlNetwork}, nil
}
