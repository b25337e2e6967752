package attack

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"time"

	"github.com/quic-go/quic-go/http3"

	"github.com/wagglehq/waggle/compose/e2e/stack"
	"github.com/wagglehq/waggle/pkg/certtest"
	"github.com/wagglehq/waggle/pkg/pathtest"
)

// guarded is the host whose path /admin wants a password.
const guarded = "guarded.attack.test"

// paths asks for a guarded path in all the ways in which it can be written and sent.
func (w *world) paths(ctx context.Context) error {
	issued, err := certtest.New(certtest.Options{}, guarded)
	if err != nil {
		return err
	}
	const name = "attack_guarded"
	labels := of(own, map[string]string{
		"com.df.notify": "true", "com.df.serviceDomain": guarded, "com.df.port": "8080", "com.df.serviceCert": issued.PEM(),
		"com.df.servicePath.1": "/admin", "com.df.users.1": "u:p", "com.df.servicePath.2": "/",
	})
	if err := w.Create(ctx, stack.Demo{Name: name, Replicas: 1, Unchecked: true, Labels: labels}); err != nil {
		return err
	}
	defer func() { _ = w.Remove(context.WithoutCancel(ctx), name) }() // The stack goes too.
	return w.under(ctx, func(ctx context.Context) error {
		trust := &tls.Config{InsecureSkipVerify: true, ServerName: guarded} //nolint:gosec // it was issued above.
		h1 := &http.Transport{TLSClientConfig: trust, Protocols: new(http.Protocols)}
		h1.Protocols.SetHTTP1(true)
		defer h1.CloseIdleConnections()
		h2 := &http.Transport{TLSClientConfig: trust.Clone(), ForceAttemptHTTP2: true}
		defer h2.CloseIdleConnections()
		h3 := &http3.Transport{TLSClientConfig: trust.Clone()}
		defer func() { _ = h3.Close() }()
		for version, client := range []http.RoundTripper{1: h1, 2: h2, 3: h3} {
			if client == nil {
				continue // There is no version 0.
			}
			for _, node := range w.Nodes() {
				if err := w.spelled(ctx, client, version, node); err != nil {
					return err
				}
			}
			w.Say("HTTP/%d: %d spellings of a guarded path were refused by each of %d nodes", version, len(pathtest.Spellings()), len(w.Nodes()))
		}
		return nil
	})
}

// spelled asks a node's proxy for all spellings.
func (w *world) spelled(ctx context.Context, client http.RoundTripper, version int, node string) error {
	if err := poll(ctx, told, fmt.Sprintf("/public by HTTP/%d on %s", version, node), func(ctx context.Context) error {
		status, err := w.securely(ctx, client, version, node, "/public")
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("it is answered %d", status)
		}
		return err
	}); err != nil {
		return err
	}
	for _, path := range pathtest.Spellings() {
		status, err := w.securely(ctx, client, version, node, path)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if status != http.StatusUnauthorized && status != http.StatusBadRequest {
			w.Fault("%s by HTTP/%d on %s is answered %d, want 401 or 400", path, version, node, status)
		}
	}
	return nil
}

// securely asks a node's proxy for a path by TLS and returns the status.
func (w *world) securely(ctx context.Context, client http.RoundTripper, version int, node, path string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := pathtest.Request(ctx, "https://"+w.Addr(node)+":443", path)
	if err != nil {
		return 0, err
	}
	req.Host = guarded
	res, err := client.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	if res.ProtoMajor != version {
		return 0, fmt.Errorf("it is answered by %s, want HTTP/%d", res.Proto, version)
	}
	return res.StatusCode, nil
}
