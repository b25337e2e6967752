package apply_test

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/tooltest"
)

// TestBusyServersDoNotHoldUpThePass: however many wait for their connections to end, a
// look at all takes about as long as at one.
func TestBusyServersDoNotHoldUpThePass(t *testing.T) {
	const busy = 30
	w := newWorld(t)
	var lc net.ListenConfig
	silent, err := lc.Listen(t.Context(), "tcp", net.JoinHostPort("127.0.0.5", strconv.Itoa(int(w.backend))))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	tasks := func(addr string) {
		for i := range busy {
			w.deploy(fmt.Sprintf("web%d", i), []string{addr}, "servicePath", fmt.Sprintf("/%d/", i))
		}
		w.apply()
	}
	tasks("127.0.0.5")
	var clients, held []net.Conn
	for i := range busy {
		var d net.Dialer
		client, err := d.DialContext(t.Context(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(w.hap.Port)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(client, "GET /%d/ HTTP/1.1\r\nHost: a\r\n\r\n", i); err != nil {
			t.Fatal(err)
		}
		server, err := silent.Accept()
		if err != nil {
			t.Fatal(err)
		}
		clients, held = append(clients, client), append(held, server)
	}
	tasks("127.0.0.2")
	begin := time.Now()
	_, more, err := w.h.Tidy(t.Context())
	if took := time.Since(begin); err != nil || !more || took > 300*time.Millisecond {
		t.Errorf("%v, more to do: %v, after %v; want it within 300ms, of which each server would take 20", err, more, took)
	}
	for i := range busy {
		_, _ = clients[i].Close(), held[i].Close()
	}
	tooltest.Eventually(t, "all have ended", func() error {
		_, more, err := w.h.Tidy(t.Context())
		if err == nil && more {
			err = errors.New("there is more")
		}
		return err
	})
}
