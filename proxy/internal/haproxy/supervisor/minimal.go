package supervisor

import (
	"fmt"
	"strings"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/render"
)

// Minimal returns a configuration that answers every request at the ports with 503,
// so that clients and health checks see a proxy that has no routes yet instead of
// none. It has the socket by which the controller gives it another one, no
// statistics, and no port for TLS, because there is no certificate to show.
func Minimal(statsSocket string, ports []int) string {
	var binds strings.Builder
	for _, p := range ports {
		fmt.Fprintf(&binds, "  bind :%d\n", p)
	}
	local, peers := render.Peers(statsSocket)
	return fmt.Sprintf(`# The minimal configuration: there was no last good one.
global
  stats socket %s mode 660 level admin expose-fd listeners
  maxconn 1000
  log stderr format raw local0 notice
  %s

defaults
  mode http
  log global
  timeout connect 5s
  timeout client 10s
  timeout server 10s
  timeout http-request 5s
  option dontlognull
  option idle-close-on-response

%s
frontend http
%s  http-request return status 503 content-type text/plain hdr Retry-After 1 string "No routes yet.\n"
`, quote(statsSocket), local, peers, binds.String())
}

// quote makes one word of a path.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
