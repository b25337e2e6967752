package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"testing"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// TestStatisticsOnTheControlNetwork: HAProxy has them on loopback, and whoever is on the
// control network sees them too, with the password that HAProxy asks for.
func TestStatisticsOnTheControlNetwork(t *testing.T) {
	port := tooltest.FreePort(t)
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	haproxy := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != "secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, r.Host+r.URL.String())
	})
	go func() { ended <- app.ServeOn(ctx, ln, haproxy, log) }()
	control := netip.MustParsePrefix("127.8.0.1/24")
	var c Config
	c.Edge.StatsPort, c.Edge.StatsAddress = port, app.Control
	go func() {
		ended <- offerStatistics(ctx, c, app.Shell{Log: log, Control: app.Network{Name: "waggle_control", Names: []string{"one"},
			Own:    func() ([]netip.Prefix, error) { return []netip.Prefix{control}, nil },
			Lookup: func(context.Context, string) ([]netip.Addr, error) { return []netip.Addr{control.Addr()}, nil },
		}})
	}()
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.8.0.2")}}
	client := http.Client{Transport: &http.Transport{DialContext: from.DialContext, DisableKeepAlives: true}}
	ask := func(password string) (string, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s:%d/;csv?x=1", control.Addr(), port), nil)
		if err != nil {
			return "", err
		}
		req.Host = "stats.example.com"
		req.SetBasicAuth("adm", password)
		res, err := client.Do(req)
		if err != nil {
			return "", err
		}
		body, err := io.ReadAll(res.Body)
		return fmt.Sprint(res.StatusCode, " ", string(body)), errors.Join(err, res.Body.Close())
	}
	tooltest.Eventually(t, "HAProxy is asked", func() error {
		if got, err := ask("secret"); err != nil || got != "200 stats.example.com/;csv?x=1" {
			return fmt.Errorf("%q, %w", got, err)
		}
		return nil
	})
	if got, err := ask("wrong"); err != nil || got != "401 " {
		t.Errorf("with a wrong password: %q, %v", got, err)
	}
	stop()
	if err := errors.Join(<-ended, <-ended); err != nil {
		t.Error(err)
	}
}
