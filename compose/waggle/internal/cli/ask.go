package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
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

// request asks the listener for a form of answer, whatever it has if that is empty. The error
// says that it cannot be asked, or what it answered instead.
func (r *run) request(ctx context.Context, path, accept string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+"/"+strings.TrimPrefix(path, "/"), nil)
	if err != nil {
		return nil, exit{Usage, fmt.Sprintf("%s: %v", r.url, err)}
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, exit{NoAnswer, fmt.Sprintf("the listener cannot be asked at %s: %v", r.url, err)}
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, mostAnswer))
	var said struct{ Error string }
	if err != nil || json.Unmarshal(body, &said) != nil || said.Error == "" {
		said.Error = strings.TrimSpace(string(body))
	}
	return nil, exit{NoAnswer, fmt.Sprintf("the listener answers %s to %s: %s", resp.Status, path, said.Error)}
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
		return nil, exit{NoAnswer, fmt.Sprintf("the listener's answer broke off: %v", err)}
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
		return exit{NoAnswer, errors.Join(fmt.Errorf("the listener's answer to %s cannot be read", path), err).Error()}
	}
	return nil
}
