package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// patience is how long the listener may take to answer.
const patience = 5 * time.Second

// mostAnswer bounds what is read of an answer.
const mostAnswer = 256 << 20

type getCommand struct {
	Path string `arg:"" help:"The path, such as /v1/catalog or /v1/services/shop_web."`
}

// Run prints the answer.
func (c *getCommand) Run(r *run) error {
	body, err := r.get(c.Path)
	if err != nil {
		return err
	}
	_, err = r.Out.Write(body)
	return err
}

// What to do when the listener cannot be asked, or does not know who asks.
const (
	whereFix = "on a manager compose/waggle.sh needs no address; elsewhere -url or the variable WAGGLE_URL says where the listener answers"
	tokenFix = "put the listener's READ_TOKEN into the variable WAGGLE_TOKEN; on a manager compose/waggle.sh needs none"
)

// mostSaid is how much is shown of an answer that is none of the listener's.
const mostSaid = 200

// address is the listener's URL as it may be shown.
func (r *run) address() (shown string, err error) {
	u, err := url.Parse(r.url)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", exit{code: Usage, text: fmt.Sprintf("%q is no URL of the listener: want one such as %s (-url, or the variable WAGGLE_URL)", r.url, DefaultURL)}
	}
	return u.Redacted(), nil
}

// request asks the listener for a form of answer, whatever it has if that is empty. The error
// says that it cannot be asked, or what it answered instead.
func (r *run) request(ctx context.Context, path, accept string) (*http.Response, error) {
	shown, err := r.address()
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+"/"+strings.TrimPrefix(path, "/"), nil)
	if err != nil {
		return nil, exit{code: Usage, text: fmt.Sprintf("%s: %v", shown, err)}
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		if outer := (&url.Error{}); errors.As(err, &outer) {
			err = outer.Err // the address stands there already
		}
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("no answer within %v", patience)
		}
		return nil, exit{code: NoAnswer, text: fmt.Sprintf("the listener cannot be asked at %s: %v", shown, err), fix: whereFix}
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, mostAnswer))
	out := exit{code: NoAnswer}
	var said struct{ Error string }
	switch isOurs := err == nil && json.Unmarshal(body, &said) == nil && said.Error != ""; {
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		out.fix = tokenFix
	case !isOurs:
		out.fix = "see whether the listener answers at " + shown + ": " + whereFix
	}
	if said.Error == "" {
		said.Error = strings.Join(strings.Fields(strings.ToValidUTF8(string(body[:min(len(body), mostSaid)]), "")), " ")
	}
	out.text = fmt.Sprintf("the listener answers %s to %s: %s", resp.Status, path, said.Error)
	return nil, out
}

// get asks the listener and reads the whole answer.
func (r *run) get(path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(r.ctx, patience)
	defer cancel()
	resp, err := r.request(ctx, path, "")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, mostAnswer))
	if err != nil {
		return nil, exit{code: NoAnswer, text: fmt.Sprintf("the listener's answer broke off: %v", err)}
	}
	return body, nil
}

// ask reads an answer of JSON.
func (r *run) ask(path string, into any) error {
	body, err := r.get(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return exit{code: NoAnswer, text: fmt.Sprintf("the listener's answer to %s cannot be read: %v", path, err), fix: "see whether it is the listener that answers there: " + whereFix}
	}
	return nil
}
