package notify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// deadline is how long a receiver may take for its answer.
const deadline = 10 * time.Second

// Sender sends requests.
type Sender struct{ client *http.Client }

// NewSender returns a Sender with connections of its own.
func NewSender() *Sender {
	return &Sender{client: &http.Client{Timeout: deadline, Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 16, IdleConnTimeout: 30 * time.Second,
	}}}
}

// Close closes connections that are idle.
func (s *Sender) Close() { s.client.CloseIdleConnections() }

// Send sends a request and returns the status of the answer. The error is nil if the message
// counts as acknowledged: any 2xx, and 409, by which receivers say that they have no use for it.
// It never holds the query.
func (s *Sender) Send(ctx context.Context, u URL, parameters map[string]string) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, u.method, u.with(parameters), http.NoBody)
	if err != nil {
		return 0, withoutURL(err)
	}
	res, err := s.client.Do(req)
	if err != nil {
		return 0, withoutURL(err)
	}
	defer res.Body.Close()
	_, _ = io.CopyN(io.Discard, res.Body, 64<<10) // so that the connection can be used again
	if res.StatusCode/100 == 2 || res.StatusCode == http.StatusConflict {
		return res.StatusCode, nil
	}
	return res.StatusCode, fmt.Errorf("it answered %d", res.StatusCode)
}

// withoutURL takes the URL, with its query, out of an error.
func withoutURL(err error) error {
	var of *url.Error
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}
