package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"

	"github.com/wagglehq/waggle/pkg/app"
)

// offerStatistics has HAProxy's statistics, which are on loopback, answer on the control
// network too, until the context ends.
func offerStatistics(ctx context.Context, c Config, sh app.Shell) error {
	if c.Edge.StatsPort == 0 || c.Edge.StatsAddress != app.Control {
		<-ctx.Done()
		return nil
	}
	port := strconv.Itoa(c.Edge.StatsPort)
	handler := statistics(net.JoinHostPort("127.0.0.1", port), sh.Log)
	err := sh.Control.Listen(ctx, port, func(ctx context.Context, ln net.Listener) error {
		return app.ServeOn(ctx, ln, handler, sh.Log)
	}, sh.Log)
	if err != nil {
		return fmt.Errorf("stats-port: %w", err)
	}
	return nil
}

// statistics asks HAProxy, which knows who may see them.
func statistics(haproxy string, log *slog.Logger) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: haproxy})
			r.Out.Host = r.In.Host
		},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			app.WriteError(w, http.StatusBadGateway, fmt.Errorf("HAProxy does not answer: %w", err))
		},
	}
}
