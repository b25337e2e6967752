package apply_test

import (
	"fmt"
	"net"
	"path/filepath"
	"testing"

	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/render"
)

// TestServicesGoWhileRequestsAreMeasured: HAProxy lives through the deletion of each backend,
// and of the next, whose requests were measured.
func TestServicesGoWhileRequestsAreMeasured(t *testing.T) {
	w := newWorld(t, func(s *render.Settings) {
		s.MeasuredSocket = filepath.Join(s.Dir, "measured.sock")
		var lc net.ListenConfig
		socket, err := lc.ListenPacket(t.Context(), "unixgram", s.MeasuredSocket)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = socket.Close() })
	})
	if err := w.h.Adopt(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.deploy("stays", []string{"127.0.0.2"}, "servicePath", "/stays")
	w.apply()
	w.want("any.com", "/stays", "2")
	pid := w.h.Running()
	for round := range 10 {
		for _, name := range []string{"a", "b", "c"} {
			w.deploy(name, []string{"127.0.0.3"}, "servicePath", "/"+name)
		}
		w.apply()
		for _, name := range []string{"a", "b", "c"} {
			w.want("any.com", "/"+name, "3")
			delete(w.services, name)
		}
		w.apply()
		tooltest.Eventually(t, fmt.Sprintf("they are gone, round %d", round), func() error {
			if _, more, err := w.h.Tidy(t.Context()); err != nil || more {
				return fmt.Errorf("more to do: %t, %w", more, err)
			}
			return nil
		})
		w.want("any.com", "/stays", "2")
		if now := w.h.Running(); now != pid {
			t.Fatalf("HAProxy was started anew in round %d: %d, before %d", round, now, pid)
		}
	}
}
