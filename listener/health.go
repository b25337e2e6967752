package listener

import (
	"errors"
	"fmt"
	"time"

	"github.com/wagglehq/waggle/listener/internal/publish"
	"github.com/wagglehq/waggle/pkg/bus"
)

// withoutOthers is how long to wait for the bus of others, or for Docker, before the
// listener counts as healthy without: a restart would bring neither, and would take an
// own bus from everybody.
const withoutOthers = 20 * time.Second

// withoutDocker is how long to wait for Docker where a complete catalog is on the bus already,
// which may be long over.
const withoutDocker = 10 * time.Second

// health returns nil once a complete catalog is on the bus, whoever wrote it, and Docker has
// answered or was waited for. It stays nil then, while writable says of the listener's own server that it can write: whether Docker
// or a bus of others is there does not depend on this process. That the bus is another swarm's is never healthy.
func health(p *publish.Publisher, reader *bus.Catalog, b *bus.Bus, writable func() error, now func() time.Time) func() error {
	started := now()
	complete := false
	return func() error {
		if err := writable(); err != nil {
			return err
		}
		state := p.State()
		if state.Foreign != nil {
			return state.Foreign
		}
		if _, ok := reader.Snapshot(); ok && (!state.Answered.IsZero() || now().Sub(started) > withoutDocker) {
			complete = true
		}
		switch {
		case complete || now().Sub(started) >= withoutOthers && (!b.Connected() || state.Failure != ""):
			return nil
		case !b.Connected():
			return errors.New("the bus is not there yet")
		case state.Failure != "":
			return fmt.Errorf("the swarm has not been listed yet: %s", state.Failure)
		}
		return errors.New("the swarm has not been listed yet")
	}
}
