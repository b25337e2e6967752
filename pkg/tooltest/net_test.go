package tooltest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

// What is asked for arrives, and what is answered comes back.
func TestAskAndGet(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, "/", http.StatusFound)
		case "/no":
			http.Error(w, "not here", http.StatusNotFound)
		default:
			fmt.Fprintf(w, `{"said": "%s %s %s %s %s"}`, r.Method, r.Host, r.Header.Get("Authorization"), r.Header.Get("X-A"), body)
		}
	}))
	defer server.Close()
	var answer struct{ Said string }
	err := Get(t.Context(), Request{Method: "PUT", URL: server.URL, Host: "bee.example", Token: "t", Header: []string{"X-A", "1"}, Body: []byte("b")}, &answer)
	if want := "PUT bee.example Bearer t 1 b"; err != nil || answer.Said != want {
		t.Errorf("the server got %q (%v), want %q", answer.Said, err, want)
	}
	var text string
	if err := Get(t.Context(), Request{URL: server.URL, Host: "h"}, &text); err != nil || text != `{"said": "GET h   "}` {
		t.Errorf("got %q, %v", text, err)
	}
	if a, err := Ask(t.Context(), Request{URL: server.URL + "/away"}); err != nil || a.Status != http.StatusFound || a.Header.Get("Location") != "/" {
		t.Errorf("a redirect is followed: %+v, %v", a, err)
	}
	var wrong *StatusError
	if err := Get(t.Context(), Request{URL: server.URL + "/no"}, nil); !errors.As(err, &wrong) || wrong.Status != http.StatusNotFound || wrong.Body != "not here" {
		t.Errorf("an answer that is not good is %v", err)
	}
}

func TestPorts(t *testing.T) {
	ports, err := FreePorts(3)
	if err != nil || len(ports) != 3 || ports[0] == ports[1] || ports[1] == ports[2] || ports[0] == ports[2] {
		t.Fatalf("got %v, %v", ports, err)
	}
	ln := Listen(t, FreeAddress(t))
	go Accept(ln, func(c net.Conn) { fmt.Fprint(c, "hello") })
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", ln.Addr().String())
	Must(t, err)
	text, err := io.ReadAll(conn)
	if err != nil || string(text) != "hello" {
		t.Errorf("got %q, %v", text, err)
	}
}
