package app

import (
	"bytes"
	"context"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Whoever may start a program in the container looks and acts by the binary itself,
// so that no port has to be opened for it.
func TestAskTheRunningService(t *testing.T) {
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		closed := RequireToken("geheim")
		switch r.Method + " " + r.URL.RequestURI() {
		case "GET /v1/services/shop_web?all=true":
			_, _ = io.WriteString(w, "applied")
		case "GET /v1/config", "POST /v1/scale?by=2", "DELETE /v1/certs/a.pem":
			closed(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "done") })).ServeHTTP(w, r)
		case "GET /v1/read":
			RequireToken("token-to-read-all")(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "done") })).ServeHTTP(w, r)
		case "PUT /v1/certs/a.pem":
			closed(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })).ServeHTTP(w, r)
		default:
			WriteError(w, http.StatusNotFound, io.ErrUnexpectedEOF)
		}
	}))
	defer admin.Close()
	// The address has no host, as in a container.
	addr := admin.Listener.Addr().String()
	addr = addr[strings.LastIndexByte(addr, ':'):]

	for _, c := range []struct {
		name   string
		args   []string
		env    map[string]string
		code   int
		stdout string
		// complaint is part of what is said on standard error.
		complaint string
	}{
		{name: "to look", args: []string{"-get", "/v1/services/shop_web?all=true"}, stdout: "applied"},
		{name: "with the token that the service has", args: []string{"-get", "/v1/config"}, env: map[string]string{"TOKEN": "geheim"}, stdout: "done"},
		{name: "with that for reading, if it has no other", args: []string{"-get", "/v1/read"}, env: map[string]string{"READ_TOKEN": "token-to-read-all"}, stdout: "done"},
		{name: "without one", args: []string{"-get", "/v1/config"}, code: 1, complaint: "401 Unauthorized: "},
		{name: "something that is not there", args: []string{"-get", "/v1/nonsense"}, code: 1, complaint: "404 Not Found: "},
		{name: "to change", args: []string{"-post", "/v1/scale?by=2"}, env: map[string]string{"TOKEN": "geheim"}, stdout: "done"},
		{name: "to give a file", args: []string{"-put", "/v1/certs/a.pem"}, env: map[string]string{"TOKEN": "geheim"}, stdout: "the input"},
		{name: "to remove", args: []string{"-delete", "/v1/certs/a.pem"}, env: map[string]string{"TOKEN": "geheim"}, stdout: "done"},
		{name: "no path", args: []string{"-get", "v1/services"}, code: 2, complaint: `-get "v1/services": want a path that begins with /`},
		{name: "two at once", args: []string{"-get", "/a", "-post", "/b"}, code: 2, complaint: "-get and -post at once"},
		{name: "where nothing listens", args: []string{"-admin", "127.0.0.1:1", "-get", "/"}, code: 1, complaint: "bee: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out, errs bytes.Buffer
			service := func(fs *flag.FlagSet) func(context.Context, Shell) error {
				var token Secret
				fs.Var(&token, "token", "a token")
				return func(context.Context, Shell) error {
					t.Error("the service was started")
					return nil
				}
			}
			env := func(name string) (string, bool) {
				if name == "ADMIN" {
					return addr, true
				}
				// A variable of this name is somebody else's.
				if name == "GET" {
					return "/nonsense", true
				}
				text, ok := c.env[name]
				return text, ok
			}
			edge := streams{strings.NewReader("the input"), &out, &errs}
			code := run(t.Context(), "bee", "v1", service, c.args, env, edge)
			if code != c.code || out.String() != c.stdout || !strings.Contains(errs.String(), c.complaint) {
				t.Errorf("code %d, stdout %q, stderr %q; want %d, %q, %q", code, out.String(), errs.String(), c.code, c.stdout, c.complaint)
			}
			if strings.Contains(errs.String(), "geheim") {
				t.Error("the token stands in the messages")
			}
		})
	}
}
