package console

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/wagglehq/waggle/pkg/picture"
)

// Listener is the only one whom the console asks.
type Listener struct {
	// URL is its HTTP interface, Token what it is sent if that is not empty.
	URL, Token string
	Client     *http.Client
}

// patience is how long the listener may take beyond what it is asked to wait, mostAnswer how much
// of an answer is read.
const (
	patience   = 5 * time.Second
	mostAnswer = 256 << 20
)

// answer is what the listener said, and by which tag it is known.
type answer struct {
	tag  string
	same bool
}

// ask reads an answer of JSON. With a tag it is only read if it is another one, and the listener
// is asked to wait for that.
func (l Listener) ask(ctx context.Context, path, tag string, wait time.Duration, into any) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, wait+patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(l.URL, "/")+path, nil)
	if err != nil {
		return answer{}, err
	}
	if l.Token != "" {
		req.Header.Set("Authorization", "Bearer "+l.Token)
	}
	if tag != "" {
		req.Header.Set("If-None-Match", tag)
		req.Header.Set("Prefer", "wait="+strconv.Itoa(int(wait.Seconds()))) // RFC 7240
	}
	resp, err := cmp.Or(l.Client, http.DefaultClient).Do(req)
	if err != nil {
		return answer{}, fmt.Errorf("the listener cannot be asked: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotModified {
		return answer{tag, true}, nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, mostAnswer))
	if err != nil {
		return answer{}, fmt.Errorf("the listener's answer broke off: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		var said struct{ Error string }
		if json.Unmarshal(body, &said) != nil || said.Error == "" {
			said.Error = http.StatusText(resp.StatusCode)
		}
		return answer{}, errors.New(said.Error)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return answer{}, fmt.Errorf("the listener's answer to %s cannot be read: %w", path, err)
	}
	return answer{tag: resp.Header.Get("ETag")}, nil
}

// picture tells how all is.
func (l Listener) picture(ctx context.Context, tag string, wait time.Duration) (picture.Picture, answer, error) {
	var p picture.Picture
	a, err := l.ask(ctx, "/v1/picture", tag, wait, &p)
	return p, a, err
}

// events are what happened last, of one service if it is named, the newest first.
func (l Listener) events(ctx context.Context, service string, limit int) ([]picture.Event, error) {
	var out struct{ Events []picture.Event }
	query := url.Values{"limit": {strconv.Itoa(limit)}}
	if service != "" {
		query.Set("service", service)
	}
	_, err := l.ask(ctx, "/v1/events?"+query.Encode(), "", 0, &out)
	return out.Events, err
}
