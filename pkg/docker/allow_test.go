package docker

import (
	"errors"
	"net/http"
	"strings"
	"testing"
)

func TestAllow(t *testing.T) {
	const read, scale, nobody = "read and scale", "scale", "nobody"
	for call, who := range map[string]string{
		"HEAD /_ping":                              read,
		"GET /_ping":                               read,
		"GET /v1.51/info":                          read,
		"GET /v1.41/services":                      read,
		"GET /v1.41/services/abc123":               read,
		"GET /v1.41/nodes":                         read,
		"GET /v1.41/networks?filters=x":            read,
		"GET /v1.41/tasks":                         read,
		"GET /v1.41/events":                        read,
		"POST /v1.41/services/abc/update":          scale,
		"POST /services/shop_web/update?version=3": scale,
		"POST /v1.41/services/create":              nobody,
		"DELETE /v1.41/services/abc":               nobody,
		"PUT /v1.41/services/abc/update":           nobody,
		"POST /v1.41/services/abc/update/x":        nobody,
		"POST /v1.41/services/../nodes/update":     nobody,
		"GET /v1.41/services/abc/logs":             nobody,
		"GET /v1.41/services/..":                   nobody,
		"GET /v1.41/services/a%2fb":                nobody,
		"GET /v1.41/secrets":                       nobody,
		"GET /v1.41/configs":                       nobody,
		"GET /v1.41/swarm":                         nobody,
		"GET /v1.41/containers/json":               nobody,
		"POST /v1.41/containers/create":            nobody,
		"GET /v1.41/images/json":                   nobody,
		"POST /v1.41/nodes/abc/update":             nobody,
		"HEAD /v1.41/services":                     nobody,
		"GET /":                                    nobody,
	} {
		for allow, holder := range map[Allow]string{AllowRead: "read", AllowScale: "scale"} {
			method, target, _ := strings.Cut(call, " ")
			req, err := http.NewRequestWithContext(t.Context(), method, "http://d"+target, strings.NewReader(""))
			if err != nil {
				t.Fatal(err)
			}
			sent := false
			g := &guard{allow: allow, basePath: "/", next: roundTrip(func() { sent = true })}
			res, err := g.RoundTrip(req)
			if err == nil {
				_ = res.Body.Close()
			}
			if want := strings.Contains(who, holder); sent != want || (err == nil) != want {
				t.Errorf("%s by who may %s: sent %t, error %v; allowed for %s", call, holder, sent, err, who)
			}
			if err != nil && !errors.Is(err, ErrNotAllowed) {
				t.Errorf("%s: %v is not ErrNotAllowed", call, err)
			}
		}
	}
}

type roundTrip func()

func (f roundTrip) RoundTrip(*http.Request) (*http.Response, error) {
	f()
	return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
}

func TestGuardKnowsThePathBeforeTheAPI(t *testing.T) {
	g := &guard{allow: AllowRead, basePath: "/docker/", next: roundTrip(func() {})}
	for path, want := range map[string]bool{"/docker/v1.41/services": true, "/docker/v1.41/secrets": false} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://d"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := g.RoundTrip(req)
		if err == nil {
			_ = res.Body.Close()
		}
		if (err == nil) != want {
			t.Errorf("%s: %v", path, err)
		}
	}
}
