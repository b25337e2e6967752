package app

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/wagglehq/waggle/pkg/tooltest"
)

// TestWhichAddressIsOnTheNetwork: a container on two networks knows its own address on one of
// them by an answer that names it. Whatever names others take, they answer with their own.
func TestWhichAddressIsOnTheNetwork(t *testing.T) {
	own := []netip.Prefix{netip.MustParsePrefix("10.90.0.7/16"), netip.MustParsePrefix("10.0.3.9/24")}
	for _, c := range []struct {
		name  string
		names map[string]string
		want  string
	}{
		{"by its host name", map[string]string{"c0ffee.waggle_control.": "10.0.3.9"}, "10.0.3.9/24"},
		{"by the tasks of its service", map[string]string{"tasks.waggle_proxy.waggle_control.": "10.0.3.5 10.0.3.9"}, "10.0.3.9/24"},
		{"not by another on that network", map[string]string{"tasks.waggle_proxy.waggle_control.": "10.0.3.5"}, ""},
		{"not by who takes such a name on a network of users", map[string]string{
			"waggle_listener.waggle_control.": "10.90.0.66", "tasks.waggle_proxy.waggle_control.": "10.90.0.66", "c0ffee.waggle_control.": "10.90.0.66"}, ""},
		{"not by who has that name on another network", map[string]string{"tasks.waggle_proxy.": "10.90.0.7", "c0ffee": "10.90.0.7"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := Network{Name: "waggle_control", Names: []string{"c0ffee", "tasks.waggle_proxy"}, Own: func() ([]netip.Prefix, error) { return own, nil },
				Lookup: func(_ context.Context, name string) (out []netip.Addr, err error) {
					for text := range strings.FieldsSeq(c.names[name]) {
						out = append(out, netip.MustParseAddr(text))
					}
					if out == nil {
						err = errors.New("no such name")
					}
					return out, err
				}}
			got, err := n.Address(t.Context())
			if c.want == "" && err == nil || c.want != "" && got.String() != c.want {
				t.Errorf("%s, %v; want %s", got, err, c.want)
			}
		})
	}
}

// TestDoors: loopback answers at once, the control network as soon as it is found and to
// those on it alone, and nothing else at all.
func TestDoors(t *testing.T) {
	port := strconv.Itoa(tooltest.FreePort(t))
	var known atomic.Bool
	n := Network{Name: "waggle_control", Names: []string{"c0ffee"},
		Own: func() ([]netip.Prefix, error) {
			return []netip.Prefix{netip.MustParsePrefix("127.9.0.1/24"), netip.MustParsePrefix("127.8.0.1/24")}, nil
		},
		Lookup: func(context.Context, string) ([]netip.Addr, error) {
			if !known.Load() {
				return nil, errors.New("not yet")
			}
			return []netip.Addr{netip.MustParseAddr("127.8.0.1")}, nil
		}}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "here") })
	go func() { ended <- ServeAt(ctx, "control:"+port, n, handler, slog.New(slog.DiscardHandler)) }()
	awaitAnswer(t, "", "127.0.0.1:"+port)
	if answers(t, "127.8.0.2", "127.8.0.1:"+port) {
		t.Error("it answers on the control network before that is found")
	}
	known.Store(true)
	awaitAnswer(t, "127.8.0.2", "127.8.0.1:"+port)
	// An address answers on all links of a container, to whoever has a route to it.
	if answers(t, "127.9.0.2", "127.8.0.1:"+port) {
		t.Error("it answers to somebody on another network")
	}
	for _, other := range []string{"127.9.0.1:" + port, "127.1.2.3:" + port} {
		if answers(t, "127.8.0.2", other) {
			t.Errorf("%s answers", other)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// answers asks from an address, or from any.
func answers(t *testing.T, from, addr string) bool {
	t.Helper()
	dialer := net.Dialer{}
	if from != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	client := http.Client{Transport: &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(req)
	if err != nil {
		return false
	}
	return res.Body.Close() == nil && res.StatusCode == http.StatusOK
}

func awaitAnswer(t *testing.T, from, addr string) {
	t.Helper()
	tooltest.Eventually(t, addr+" answers", func() error {
		if !answers(t, from, addr) {
			return errors.New("it does not")
		}
		return nil
	})
}
