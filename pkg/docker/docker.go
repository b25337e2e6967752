// Package docker is the Swarm side of the Docker API: what the swarm offers as
// catalog values, its events as pokes, and setting the replicas of a service. It is the
// only importer of the Docker SDK.
//
// An error never comes with a part of a list, and a list is never taken for
// complete when it cannot be.
package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/client"
)

// DefaultHost is where the daemon of this machine listens.
const DefaultHost = client.DefaultDockerHost

// DefaultTimeout bounds one call; calls hang while a swarm elects a leader.
const DefaultTimeout = 5 * time.Second

// The errors that a caller can act on, recognised with errors.Is.
var (
	// ErrNotManager says that the daemon is no manager of an active swarm; the
	// text says what to do.
	ErrNotManager = errors.New("docker: not a swarm manager")
	// ErrNotFound says that the service does not exist (any more).
	ErrNotFound = errors.New("docker: no such service")
	// ErrConflict says that the service was changed by somebody else since it was read.
	ErrConflict = errors.New("docker: the service was changed meanwhile")
	// ErrNotReplicated says that the service has no number of replicas to set.
	ErrNotReplicated = errors.New("docker: not a replicated service")
	// ErrNotOptedIn says that the service does not carry com.df.notify=true, so
	// that it must not be changed.
	ErrNotOptedIn = errors.New("docker: the service did not opt in")
	// ErrNotAllowed says that a call is not on the list of what this client may do.
	ErrNotAllowed = errors.New("docker: call not allowed")
)

// Client is a connection to one daemon, made when it is first needed and made
// anew after it failed.
type Client struct {
	// Timeout bounds every call but the stream of events, which it bounds until
	// the daemon begins to answer. Set it before the first call, if at all.
	Timeout time.Duration

	host     string
	basePath string
	allow    Allow
	log      *slog.Logger
	networks networks

	// mu guards session, which callers share.
	mu      sync.Mutex
	session *session
}

// session is the SDK's client with a version negotiated. The SDK only ever lowers
// its version, and takes 1.24 for good after one odd answer; so a session ends
// with the first failure to connect, and the next one negotiates again.
type session struct {
	sdk       *client.Client
	http      *http.Client
	transport *http.Transport
}

// Connect returns a client of the daemon at host ("unix:///var/run/docker.sock",
// "tcp://10.0.0.1:2375"), which need not be there yet. The client makes no calls but
// those of allow.
func Connect(host string, allow Allow, log *slog.Logger) (*Client, error) {
	u, err := client.ParseHostURL(host)
	if err != nil {
		return nil, fmt.Errorf("docker: host %q: want unix:///path/of/socket or tcp://address:port: %w", host, err)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Client{Timeout: DefaultTimeout, host: host, basePath: u.Path, allow: allow, log: log}, nil
}

// Close closes connections that are idle.
func (c *Client) Close() { c.drop(nil) }

func (c *Client) newSession() (*session, error) {
	transport := &http.Transport{MaxIdleConns: 6, IdleConnTimeout: 30 * time.Second}
	guarded := &http.Client{
		Transport:     &guard{allow: c.allow, basePath: c.basePath, next: transport},
		CheckRedirect: client.CheckRedirect,
	}
	sdk, err := client.NewClientWithOpts(
		client.WithHTTPClient(&http.Client{Transport: transport}),
		client.WithHost(c.host), // sets the transport's dialer
		client.WithHTTPClient(guarded),
		client.WithScheme("http"),
	)
	if err != nil {
		return nil, fmt.Errorf("docker: %w", err)
	}
	return &session{sdk: sdk, http: guarded, transport: transport}, nil
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
	if err != nil {
		return nil, err
	}
	if ping.APIVersion == "" {
		return nil, errors.New("the answer to _ping names no API version: is this a Docker daemon?")
	}
	s.sdk.NegotiateAPIVersionPing(ping)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session == nil {
		c.session = s
		c.log.Debug("docker connected", "host", c.host, "api", s.sdk.ClientVersion())
	}
	return c.session, nil
}

// drop ends a session, or any session if it is nil.
func (c *Client) drop(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session != nil && (s == nil || s == c.session) {
		c.session.transport.CloseIdleConnections()
		c.session = nil
	}
}

// call makes one call within the deadline and explains why it failed.
func call[T any](ctx context.Context, c *Client, what string, f func(context.Context, *session) (T, error)) (T, error) {
	var none T
	limited, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	s, err := c.connected(limited)
	if err != nil {
		return none, c.explain(limited, s, what, err)
	}
	v, err := f(limited, s)
	if err != nil {
		return none, c.explain(limited, s, what, err)
	}
	return v, nil
}

// explain turns an error of the SDK into one of this package's.
func (c *Client) explain(ctx context.Context, s *session, what string, err error) error {
	if s != nil && (client.IsErrConnectionFailed(err) || errdefs.IsInvalidArgument(err) || ctx.Err() != nil) {
		c.drop(s)
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("docker: %s: no answer within %s (is a leader being elected?): %w", what, c.Timeout, err)
	case s != nil && errdefs.IsUnavailable(err):
		return c.whyUnavailable(ctx, s, what, err)
	case errdefs.IsNotFound(err):
		err = errors.Join(ErrNotFound, err)
	}
	return fmt.Errorf("docker: %s: %w", what, err)
}

// whyUnavailable asks a daemon that does not serve the swarm what it is.
func (c *Client) whyUnavailable(ctx context.Context, s *session, what string, cause error) error {
	info, err := s.sdk.Info(ctx)
	switch {
	case err != nil || info.Swarm.ControlAvailable:
		return fmt.Errorf("docker: %s: %w", what, cause)
	case info.Swarm.LocalNodeState == "active":
		return fmt.Errorf("%w: this node is a worker: run it on a manager (placement constraint node.role == manager) or promote the node", ErrNotManager)
	case info.Swarm.LocalNodeState == "locked":
		return fmt.Errorf("%w: the swarm is locked on this node: run docker swarm unlock", ErrNotManager)
	}
	return fmt.Errorf("%w: the swarm is %q on this node: run docker swarm init, or join a swarm as a manager", ErrNotManager, info.Swarm.LocalNodeState)
}

// send makes a call that the SDK cannot make without changing what it carries. An
// answer that is not a success becomes a StatusError. The caller closes the body.
func (c *Client) send(ctx context.Context, s *session, method, call string, query url.Values, body io.Reader) (*http.Response, error) {
	u, err := client.ParseHostURL(c.host)
	if err != nil {
		return nil, err
	}
	address := u.Host
	if u.Scheme == "unix" {
		address = client.DummyHost
	}
	target := url.URL{
		Scheme: "http", Host: address, RawQuery: query.Encode(),
		Path: path.Join("/", c.basePath, "v"+s.sdk.ClientVersion(), call),
	}
	req, err := http.NewRequestWithContext(ctx, method, target.String(), body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := s.http.Do(req)
	if err != nil {
		c.drop(s)
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

// Is makes the two kinds that matter recognisable by package errdefs.
func (e *StatusError) Is(target error) bool {
	return target == errdefs.ErrNotFound && e.Status == http.StatusNotFound ||
		target == errdefs.ErrUnavailable && e.Status == http.StatusServiceUnavailable
}
