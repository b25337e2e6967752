package app

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"
)

// TestWhichAddressIsOnTheNetwork: a container on two networks knows its own by the subnet
// in which the names of one of them are.
func TestWhichAddressIsOnTheNetwork(t *testing.T) {
	own := []netip.Prefix{netip.MustParsePrefix("10.90.0.7/16"), netip.MustParsePrefix("10.0.3.9/24")}
	for _, c := range []struct {
		name  string
		names map[string]string
		want  string
	}{
		{"by the listener", map[string]string{"waggle_listener.waggle_control.": "10.0.3.2"}, "10.0.3.9"},
		{"by another, while the listener is away", map[string]string{"waggle_alertmanager.waggle_control.": "10.0.3.5"}, "10.0.3.9"},
		{"not by who has that name on another network", map[string]string{"waggle_listener.": "10.90.0.66", "waggle_listener": "10.90.0.66"}, ""},
		{"not by who is on a network that this container is not on", map[string]string{"waggle_listener.waggle_control.": "10.0.4.2"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := Network{Name: "waggle_control", Own: func() ([]netip.Prefix, error) { return own, nil },
				Lookup: func(_ context.Context, name string) ([]netip.Addr, error) {
					if text, ok := c.names[name]; ok {
						return []netip.Addr{netip.MustParseAddr(text)}, nil
					}
					return nil, errors.New("no such name")
				}}
			got, err := n.Address(t.Context())
			if c.want == "" && err == nil || c.want != "" && got.String() != c.want {
				t.Errorf("%s, %v; want %s", got, err, c.want)
			}
		})
	}
}

// TestDoors: loopback answers at once, the control network as soon as it is found, and
// nothing else at all.
func TestDoors(t *testing.T) {
	port := freePort(t)
	var known atomic.Bool
	n := Network{Name: "waggle_control",
		Own: func() ([]netip.Prefix, error) {
			return []netip.Prefix{netip.MustParsePrefix("127.9.0.1/24"), netip.MustParsePrefix("127.8.0.1/24")}, nil
		},
		Lookup: func(context.Context, string) ([]netip.Addr, error) {
			if !known.Load() {
				return nil, errors.New("not yet")
			}
			return []netip.Addr{netip.MustParseAddr("127.8.0.2")}, nil
		}}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "here") })
	go func() { ended <- ServeAt(ctx, "control:"+port, n, handler, slog.New(slog.DiscardHandler)) }()
	awaitAnswer(t, "127.0.0.1:"+port)
	if answers(t, "127.8.0.1:"+port) {
		t.Error("it answers on the control network before that is found")
	}
	known.Store(true)
	awaitAnswer(t, "127.8.0.1:"+port)
	for _, other := range []string{"127.9.0.1:" + port, "127.1.2.3:" + port} {
		if answers(t, other) {
			t.Errorf("%s answers", other)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	_, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func answers(t *testing.T, addr string) bool {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	return res.Body.Close() == nil && res.StatusCode == http.StatusOK
}

func awaitAnswer(t *testing.T, addr string) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !answers(t, addr) {
		select {
		case <-deadline:
			t.Fatalf("%s does not answer", addr)
		case <-tick.C:
		}
	}
}
