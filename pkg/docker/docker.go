// Package docker is the Swarm side of the Docker API: what the swarm offers as
// catalog values, its events as pokes, and setting the replicas of a service. It is the
// only importer of the Docker SDK.
//
// An error never comes with a part of a list, and a list is never taken for
// complete when it cannot be.
//
// It is longer than others because it is the only importer of the SDK: lists, events and calls
// share a session, its deadlines and what is known of the cluster.
package docker

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"

	"github.com/docker/docker/client"
	"github.com/wagglehq/waggle/pkg/clock"
)

// DefaultHost is where the daemon of this machine listens.
const DefaultHost = client.DefaultDockerHost

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
	// ErrAPIVersion says that the daemon and this program have no version of the API
	// in common; the text names those of both.
	ErrAPIVersion = errors.New("docker: no version of the API in common")
	// ErrNotAllowed says that a call is not on the list of what this client may do.
	ErrNotAllowed = errors.New("docker: call not allowed")
)

// Client is a connection to one daemon, made when it is first needed and made
// anew after it failed.
type Client struct {
	host  *url.URL
	text  string
	allow Allow
	log   *slog.Logger
	tls   TLS
	key   []byte
	calls calls
	// watcher is told of lists; nil if nobody is.
	watcher Watcher
	clock   clock.Clock

	networks networks
	stream   present
	down     down
	hanging  hanging

	// mu guards the rest, which callers share.
	mu      sync.Mutex
	session *session
	// cluster is what the daemon said of itself, nil while that is not known.
	cluster *cluster
}

// Option is a setting of a Client.
type Option func(*Client)

// Key makes the hashes of specifications depend on a secret. Without one, whoever
// reads a hash can try out what he suspects to be in the environment of a container.
func Key(secret []byte) Option { return func(c *Client) { c.key = secret } }

// Clock makes the deadlines of calls those of another clock than the machine's.
func Clock(by clock.Clock) Option { return func(c *Client) { c.clock = by } }

// Connect returns a client of the daemon at host ("unix:///var/run/docker.sock",
// "tcp://10.0.0.1:2376"), which need not be there yet. The client makes no calls but
// those of allow. An error names the setting that cannot be meant.
func Connect(host string, allow Allow, log *slog.Logger, options ...Option) (*Client, error) {
	u, err := parse(host)
	if err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c := &Client{host: u, text: host, allow: allow, log: log, calls: newCalls(), hanging: newHanging(), clock: clock.Real()}
	for _, o := range options {
		o(c)
	}
	if c.tls.wanted() && u.Scheme == "unix" {
		return nil, fmt.Errorf("docker: docker-host %s and a certificate do not go together: TLS is for tcp://", host)
	}
	if _, err := c.tls.config(); err != nil {
		return nil, err
	}
	return c, nil
}

// parse takes a host apart, as far as it can be reached.
func parse(host string) (*url.URL, error) {
	u, err := client.ParseHostURL(host)
	switch {
	case err != nil:
		return nil, fmt.Errorf("docker: host %q: want unix:///path/of/socket or tcp://address:port: %w", host, err)
	case u.Scheme == "ssh":
		return nil, fmt.Errorf("docker: host %q: ssh is not supported: want unix:///path/of/socket, or tcp://address:port with docker-ca, docker-cert and docker-key", host)
	case u.Scheme != "unix" && u.Scheme != "tcp":
		return nil, fmt.Errorf("docker: host %q: %s is not supported: want unix:///path/of/socket or tcp://address:port", host, u.Scheme)
	}
	return u, nil
}

// Close closes connections that are idle.
func (c *Client) Close() { c.drop(nil) }
