package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api"
	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/api/types/versions"
	"github.com/docker/docker/client"
)

// call makes one call within its deadline and explains why it failed; what says in
// the error what was tried.
func call[T any](ctx context.Context, c *Client, k kind, what string, f func(context.Context, *session) (T, error)) (T, error) {
	limit, start := c.calls.limit(k), c.clock.Now()
	limited, cancel := c.clock.WithTimeout(ctx, limit)
	defer cancel()
	limited, end := context.WithCancelCause(limited)
	defer end(nil)
	var v T
	silent := false
	s, err := c.connected(limited)
	if err == nil {
		ended := c.watch(limited, s, k, end)
		v, err = f(limited, s)
		silent = ended()
	}
	if err == nil {
		c.hanging.answered(k)
	} else {
		var none T
		v, err = none, c.explain(limited, s, what, limit, err)
	}
	c.done(ctx, k, wait{had: limit, took: c.clock.Now().Sub(start), silent: silent}, err)
	return v, err
}

// IsAway reports whether an error says that no daemon answered that serves a swarm, which
// is the trouble of all calls and not of the one that failed.
func IsAway(err error) bool {
	var failed net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrNotManager) || errors.Is(err, ErrAPIVersion) ||
		errors.As(err, &failed) || client.IsErrConnectionFailed(err)
}

// explain turns an error of the SDK into one of this package's.
func (c *Client) explain(ctx context.Context, s *session, what string, limit time.Duration, err error) error {
	refused := errdefs.IsInvalidArgument(err)
	if s != nil && (client.IsErrConnectionFailed(err) || refused || ctx.Err() != nil) {
		c.drop(s)
	}
	switch {
	case context.Cause(ctx) == errAnswersAgain: //nolint:errorlint // nobody wraps a cause
		err = errAnswersAgain
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("docker: %s: no answer from %s within %s (is a leader being elected?): %w", what, c.text, limit, err)
	case s != nil && errdefs.IsUnavailable(err):
		return c.whyUnavailable(ctx, s, what, err)
	case s != nil && refused:
		return c.whyRefused(ctx, s, what, err)
	case errdefs.IsNotFound(err):
		err = errors.Join(ErrNotFound, err)
	}
	return fmt.Errorf("docker: %s: %w", what, err)
}

// whyUnavailable asks a daemon that does not serve the swarm what it is.
func (c *Client) whyUnavailable(ctx context.Context, s *session, what string, cause error) error {
	info, err := c.info(ctx, s)
	if err == nil {
		err = notManager(info)
	}
	if errors.Is(err, ErrNotManager) {
		return err
	}
	return fmt.Errorf("docker: %s: %w", what, cause)
}

func (c *Client) info(ctx context.Context, s *session) (system.Info, error) {
	info, err := s.sdk.Info(ctx)
	c.calls.count(kindInfo, resultOf(err))
	return info, err
}

// notManager says what to do with a daemon that is no manager; nil if it is one.
func notManager(info system.Info) error {
	switch {
	case info.Swarm.ControlAvailable:
		return nil
	case info.Swarm.LocalNodeState == "active":
		return fmt.Errorf("%w: this node is a worker: run it on a manager (placement constraint node.role == manager) or promote the node", ErrNotManager)
	case info.Swarm.LocalNodeState == "locked":
		return fmt.Errorf("%w: the swarm is locked on this node: run docker swarm unlock", ErrNotManager)
	}
	return fmt.Errorf("%w: the swarm is %q on this node: run docker swarm init, or join a swarm as a manager", ErrNotManager, info.Swarm.LocalNodeState)
}

// whyRefused asks a daemon that took a call for a mistake which versions of the API it
// speaks: it answers in that way to one that it does not.
func (c *Client) whyRefused(ctx context.Context, s *session, what string, cause error) error {
	spoken, err := c.versions(ctx, s)
	ours := s.sdk.ClientVersion()
	if err == nil && (versions.LessThan(ours, spoken.MinAPIVersion) || versions.GreaterThan(ours, spoken.APIVersion)) {
		return fmt.Errorf("%w: %s: the daemon at %s speaks %s to %s, this program %s to %s: use versions of Docker and Waggle that belong together",
			ErrAPIVersion, what, c.text, spoken.MinAPIVersion, spoken.APIVersion, api.MinSupportedAPIVersion, api.DefaultVersion)
	}
	return fmt.Errorf("docker: %s: %w", what, cause)
}

// spoken are the versions of the API that a daemon speaks.
type spoken struct {
	APIVersion    string `json:"ApiVersion"`
	MinAPIVersion string
}

func (c *Client) versions(ctx context.Context, s *session) (spoken, error) {
	var out spoken
	res, err := c.sendTo(ctx, s, http.MethodGet, "/version", nil, nil)
	c.calls.count(kindVersion, resultOf(err))
	if err != nil {
		return out, err
	}
	defer func() { _ = res.Body.Close() }()
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil {
		return out, err
	}
	if out.APIVersion == "" || out.MinAPIVersion == "" {
		return out, errors.New("the answer to /version names no versions of the API")
	}
	return out, nil
}
