package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/client"
)

// session is the SDK's client with a version negotiated. The SDK only ever lowers
// its version, and takes 1.24 for good after one odd answer; so a session ends
// with the first failure to connect, and the next one negotiates again.
type session struct {
	sdk       *client.Client
	http      *http.Client
	transport *http.Transport
	scheme    string
	// newest is the version of the API that the daemon speaks, which may be newer than
	// any that the SDK knows.
	newest string
}

// Keep-alives end a connection whose other side has gone without a word after
// half a minute at most.
const (
	keepAliveIdle     = 15 * time.Second
	keepAliveInterval = 5 * time.Second
	keepAliveCount    = 3
)

func (c *Client) newSession() (*session, error) {
	config, err := c.tls.config()
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{MaxIdleConns: 6, IdleConnTimeout: 30 * time.Second, TLSClientConfig: config, TLSHandshakeTimeout: 10 * time.Second}
	guarded := &http.Client{
		Transport:     &guard{allow: c.allow, basePath: c.host.Path, next: transport},
		CheckRedirect: client.CheckRedirect,
	}
	s := &session{http: guarded, transport: transport, scheme: "http"}
	if config != nil {
		s.scheme = "https"
	}
	s.sdk, err = client.NewClientWithOpts(
		client.WithHTTPClient(&http.Client{Transport: transport}),
		client.WithHost(c.text), // sets the transport's dialer
		client.WithHTTPClient(guarded),
		client.WithScheme(s.scheme),
	)
	if err != nil {
		return nil, fmt.Errorf("docker: %w", err)
	}
	if c.host.Scheme == "tcp" {
		dialer := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: keepAliveIdle, Interval: keepAliveInterval, Count: keepAliveCount}}
		transport.DialContext = dialer.DialContext
	}
	return s, nil
}

// connected returns the present session, or a new one.
func (c *Client) connected(ctx context.Context) (*session, error) {
	c.mu.Lock()
	s := c.session
	c.mu.Unlock()
	if s != nil {
		return s, nil
	}
	s, err := c.newSession()
	if err != nil {
		return nil, err
	}
	ping, err := s.sdk.Ping(ctx)
	c.calls.count(kindPing, resultOf(err))
	if err != nil {
		return nil, c.whyNotConnected(err)
	}
	if ping.APIVersion == "" {
		return nil, errors.New("the answer to _ping names no API version: is this a Docker daemon?")
	}
	s.sdk.NegotiateAPIVersionPing(ping)
	s.newest = ping.APIVersion
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session == nil {
		c.session = s
		c.log.Debug("docker connected", "host", c.text, "api", s.sdk.ClientVersion())
	}
	return c.session, nil
}

// drop ends a session, or any session if it is nil.
func (c *Client) drop(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session != nil && (s == nil || s == c.session) {
		c.session.transport.CloseIdleConnections()
		// Another engine may answer at the next connection.
		c.session, c.cluster = nil, nil
		c.down.forget()
	}
}

// send makes a call that the SDK cannot make without changing what it carries. An
// answer that is not a success becomes a StatusError. The caller closes the body.
func (c *Client) send(ctx context.Context, s *session, method, call string, query url.Values, body []byte) (*http.Response, error) {
	return c.sendTo(ctx, s, method, path.Join("v"+s.sdk.ClientVersion(), call), query, body)
}

// sendWhole is send in the daemon's own version of the API: in an older one it leaves
// fields out of what it tells, and takes them away from what it is told.
func (c *Client) sendWhole(ctx context.Context, s *session, method, call string, query url.Values, body []byte) (*http.Response, error) {
	return c.sendTo(ctx, s, method, path.Join("v"+s.newest, call), query, body)
}

// sendTo is send to a path that may be one without a version.
func (c *Client) sendTo(ctx context.Context, s *session, method, call string, query url.Values, body []byte) (*http.Response, error) {
	target := url.URL{Scheme: s.scheme, Host: c.host.Host, RawQuery: query.Encode(), Path: path.Join("/", c.host.Path, call)}
	if c.host.Scheme == "unix" {
		target.Host, target.Path = client.DummyHost, path.Join("/", call)
	}
	req, err := http.NewRequestWithContext(ctx, method, target.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := s.http.Do(req)
	if err != nil {
		c.drop(s)
		var failed *url.Error
		if errors.As(err, &failed) { // its text has the whole query
			err = fmt.Errorf("%s: %w", c.text, failed.Err)
		}
		return nil, err
	}
	if res.StatusCode < 300 {
		return res, nil
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, 4096))
	if err != nil {
		return nil, err
	}
	var answer struct{ Message string }
	if json.Unmarshal(text, &answer) != nil || answer.Message == "" {
		answer.Message = string(text)
	}
	return nil, &StatusError{Status: res.StatusCode, Text: strings.TrimSpace(answer.Message)}
}

// StatusError is an answer of the daemon that is not a success.
type StatusError struct {
	// Status is the HTTP status.
	Status int
	// Text is what the daemon said.
	Text string
}

// Error says both.
func (e *StatusError) Error() string {
	return fmt.Sprintf("the daemon answered %d: %s", e.Status, e.Text)
}

// Is makes the kinds that matter recognisable by package errdefs.
func (e *StatusError) Is(target error) bool {
	return target == errdefs.ErrNotFound && e.Status == http.StatusNotFound ||
		target == errdefs.ErrInvalidArgument && e.Status == http.StatusBadRequest ||
		target == errdefs.ErrUnavailable && e.Status == http.StatusServiceUnavailable
}
