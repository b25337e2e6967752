package tooltest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Listen listens at an address until the test ends.
func Listen(t testing.TB, address string) net.Listener {
	t.Helper()
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln
}

// Accept serves each connection in a goroutine of its own, and closes it afterwards, until
// the listener closes.
func Accept(ln net.Listener, serve func(net.Conn)) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = c.Close() }()
			serve(c)
		}()
	}
}

// FreePort returns the number of a TCP port of 127.0.0.1 that is free now.
func FreePort(t testing.TB) int {
	t.Helper()
	ports, err := FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	return ports[0]
}

// FreeAddress is FreePort with its host before it.
func FreeAddress(t testing.TB) string {
	t.Helper()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(FreePort(t)))
}

// FreePorts returns n different ports.
func FreePorts(n int) ([]int, error) {
	var out []int
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is closed at once
		if err != nil {
			return nil, err
		}
		defer func() { _ = ln.Close() }()
		out = append(out, ln.Addr().(*net.TCPAddr).Port)
	}
	return out, nil
}

// Request is one that Ask sends.
type Request struct {
	// Method is GET if it is empty.
	Method, URL string
	// Host is that of the URL if it is empty.
	Host string
	// Token is sent as a bearer's.
	Token string
	// Header are names and texts in turn.
	Header []string
	Body   []byte
	// Client is one that opens a connection for each request, follows no redirect and waits
	// for five seconds, if it is nil.
	Client *http.Client
}

// Answer is what came back.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Ask sends a request.
func Ask(ctx context.Context, r Request) (Answer, error) {
	if r.Client == nil {
		limited, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		ctx = limited
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL, bytes.NewReader(r.Body))
	if err != nil {
		return Answer{}, err
	}
	if r.Token != "" {
		req.Header.Set("Authorization", "Bearer "+r.Token)
	}
	for i := 0; i+1 < len(r.Header); i += 2 {
		req.Header.Set(r.Header[i], r.Header[i+1])
	}
	if r.Host != "" {
		req.Host = r.Host
	}
	send := http.DefaultTransport.RoundTrip
	if r.Client != nil {
		send = r.Client.Do
	} else {
		req.Close = true
	}
	res, err := send(req)
	if err != nil {
		return Answer{}, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, 16<<20))
	return Answer{res.StatusCode, res.Header, body}, err
}

// Status asks for a URL and returns the status of the answer.
func Status(ctx context.Context, url string) (int, error) {
	a, err := Ask(ctx, Request{URL: url})
	return a.Status, err
}

// StatusError is an answer other than 200.
type StatusError struct {
	URL    string
	Status int
	Body   string
}

// Error is the answer.
func (e *StatusError) Error() string {
	return fmt.Sprintf("%s answers %d: %.1000s", e.URL, e.Status, e.Body)
}

// Get asks and decodes a good answer into v: all of it into a string, JSON into everything
// else, nothing into nil. Another answer is an error.
func Get(ctx context.Context, r Request, v any) error {
	a, err := Ask(ctx, r)
	if err != nil {
		return err
	}
	if a.Status != http.StatusOK {
		return &StatusError{r.URL, a.Status, strings.TrimSpace(string(a.Body))}
	}
	switch v := v.(type) {
	case nil:
		return nil
	case *string:
		*v = string(a.Body)
		return nil
	}
	return json.Unmarshal(a.Body, v)
}
