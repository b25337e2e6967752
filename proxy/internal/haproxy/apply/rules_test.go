package apply_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/render"
)

// spoken is what HAProxy answers to a request as it stands, on a connection of its own.
func spoken(t *testing.T, port int, lines ...string) *http.Response {
	t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := fmt.Fprint(conn, strings.Join(lines, "\r\n")+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

// TestRedirects: where a client is sent that came to another host, or without TLS.
func TestRedirects(t *testing.T) {
	const strange, known = "stranger", "trusted"
	for _, c := range []struct {
		name, from string
		lines      []string
		status     int
		location   string
	}{
		{"by the scheme they came by", strange, []string{"GET /a HTTP/1.1", "Host: www.acme.com"}, 301, "http://acme.com/a"},
		{"whatever a stranger says", strange, []string{"GET /a HTTP/1.1", "Host: www.acme.com", "X-Forwarded-Proto: https"}, 301, "http://acme.com/a"},
		{"or a trusted proxy says", known, []string{"GET /a HTTP/1.1", "Host: www.acme.com", "X-Forwarded-Proto: https"}, 301, "https://acme.com/a"},
		{"but no other word", known, []string{"GET /a HTTP/1.1", "Host: www.acme.com", "X-Forwarded-Proto: gopher"}, 301, "http://acme.com/a"},
		{"to the port they came to", strange, []string{"GET /a HTTP/1.1", "Host: www.acme.com:8080"}, 301, "http://acme.com:8080/a"},
		{"a host with a comma is no list of hosts", strange, []string{"GET /a HTTP/1.1", "Host: acme.com,www.acme.com"}, 400, ""},
		{"httpsOnly", strange, []string{"GET /safe HTTP/1.1", "Host: any.com:80"}, 302, "https://any.com/safe"},
		{"httpsOnly without a host has nowhere to send to", strange, []string{"GET /safe HTTP/1.0"}, 400, ""},
		{"nor with an empty one", strange, []string{"GET /safe HTTP/1.1", "Host:"}, 400, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, func(s *render.Settings) {
				if c.from == known {
					trusting(s)
				}
			})
			w.deploy("acme", []string{"127.0.0.2"}, "serviceDomain", "acme.com", "redirectFromDomain", "www.acme.com")
			w.deploy("safe", []string{"127.0.0.2"}, "servicePath", "/safe", "httpsOnly", "true")
			w.apply()
			res := spoken(t, w.hap.Port, c.lines...)
			if got := res.Header.Get("Location"); res.StatusCode != c.status || got != c.location {
				t.Errorf("%d to %q, want %d to %q", res.StatusCode, got, c.status, c.location)
			}
		})
	}
}

// TestHeaderLabels: what labels say about headers of requests and answers holds.
func TestHeaderLabels(t *testing.T) {
	w := newWorld(t)
	w.deploy("web", []string{"127.0.0.5"}, "servicePath", "/", "port", echo(t), "setReqHeader", "X-Id %[unique-id]",
		"setResHeader", "X-Api yes if { path_beg /api },X-Page yes unless { path_beg /api },X-Get yes if { method GET }",
		"reqPathSearchReplace", "^/api,/inner")
	w.apply()
	seen := map[string]bool{}
	for _, path := range []string{"/api/a", "/page", "/api/b"} {
		res := request(t, http.MethodGet, w.hap.URL(path))
		api := strings.HasPrefix(path, "/api")
		if got := res.Header.Get("X-Api") == "yes"; got != api {
			t.Errorf("%s: X-Api is there: %v, want %v", path, got, api)
		}
		if got := res.Header.Get("X-Page") == "yes"; got == api {
			t.Errorf("%s: X-Page is there: %v, want %v", path, got, !api)
		}
		if res.Header.Get("X-Get") != "yes" {
			t.Errorf("%s: X-Get is not there", path)
		}
		id := ""
		for body := bufio.NewScanner(res.Body); body.Scan(); {
			if value, ok := strings.CutPrefix(body.Text(), "X-Id: "); ok {
				id = value
			}
		}
		if len(id) < 32 || seen[id] {
			t.Errorf("%s: the task sees the id %q, want one that no other request has", path, id)
		}
		seen[id] = true
	}
}
