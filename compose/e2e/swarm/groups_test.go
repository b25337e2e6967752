package swarm

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/stack"
	"github.com/wagglehq/waggle/pkg/certtest"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// group is a group of labels on one service, and what shows that they are in force.
type group struct {
	name     string
	labels   map[string]string
	replicas uint64
	// shown is asked until it returns nil.
	shown func(ctx context.Context, w *world, g group) error
}

// groupTable has a row for each group of the proxy's labels.
func groupTable(t *testing.T) []group {
	t.Helper()
	return []group{
		{"paths", stack.Labels("/paths", "servicePathExclude", "/paths/no"), 1, func(ctx context.Context, w *world, g group) error {
			return errors.Join(w.from(ctx, g, "/paths/yes", nil), w.status(ctx, "/paths/no", nil, http.StatusServiceUnavailable))
		}},
		{"domains", stack.Labels("/", "serviceDomain", "*.groups.example.com"), 1, func(ctx context.Context, w *world, g group) error {
			return errors.Join(w.from(ctx, g, "/", host("any.groups.example.com")), w.status(ctx, "/", host("groups.example.com"), http.StatusServiceUnavailable))
		}},
		{"conditions", stack.Labels("/conditions", "serviceHeader", "X-Version:2"), 1, func(ctx context.Context, w *world, g group) error {
			return errors.Join(w.from(ctx, g, "/conditions", http.Header{"X-Version": {"2"}}), w.status(ctx, "/conditions", nil, http.StatusServiceUnavailable))
		}},
		{"handling", stack.Labels("/handling", "setResHeader", "X-Group 'of' \"labels\" # 100%"), 1, func(ctx context.Context, w *world, g group) error {
			return w.header(ctx, "/handling", "X-Group", `'of' "labels" # 100%`)
		}},
		{"redirects", stack.Labels("/redirects", "httpsOnly", "true", "httpsRedirectCode", "308"), 1, func(ctx context.Context, w *world, _ group) error {
			return errors.Join(w.status(ctx, "/redirects", host("www.example.com"), http.StatusPermanentRedirect), w.header(ctx, "/redirects", "Location", "https://m1/redirects"))
		}},
		{"sticky", stack.Labels("/sticky", "sessionType", "sticky-server"), 2, pinned},
		{"auth", stack.Labels("/auth", "users", "ann:open"), 1, func(ctx context.Context, w *world, g group) error {
			ann := http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte("ann:open"))}}
			return errors.Join(w.from(ctx, g, "/auth", ann), w.status(ctx, "/auth", nil, http.StatusUnauthorized))
		}},
		{"stable", stack.Labels("/canary", "serviceGroup", "canary", "weight", "80"), 2, func(context.Context, *world, group) error { return nil }},
		{"canary", stack.Labels("/canary", "serviceGroup", "canary", "weight", "20"), 1, shared},
		{"tls", stack.Labels("/", "serviceDomain", "tls.groups.example.com", "serviceCert", certtest.Self(t, "tls.groups.example.com").PEM()), 1, func(ctx context.Context, w *world, g group) error {
			return w.secure(ctx, g, "tls.groups.example.com")
		}},
		{"tcp", stack.Labels("", "reqMode", "tcp", "srcPort", "7001"), 1, func(ctx context.Context, w *world, g group) error {
			var text string
			err := w.Inside(ctx, stack.Manager, "waggle_proxy", 7001, "/", &text)
			if err == nil && !strings.Contains(text, g.service()+".") {
				err = fmt.Errorf("port 7001 answers %q", text)
			}
			return err
		}},
		{"sni", stack.Labels("sni.example.com", "reqMode", "sni", "srcPort", "7002"), 1, func(ctx context.Context, w *world, _ group) error {
			// The demo application does not know TLS and says so in clear text; where no
			// service is meant nobody says anything.
			var clear tls.RecordHeaderError
			if err := w.handshake(ctx, 7002, "sni.example.com"); !errors.As(err, &clear) {
				return fmt.Errorf("with its name: %w", err)
			}
			if err := w.handshake(ctx, 7002, "other.example.com"); err == nil || errors.As(err, &clear) {
				return fmt.Errorf("with another name there is an answer: %w", err)
			}
			return nil
		}},
	}
}

// service is the name of the service of a group.
func (g group) service() string { return "group-" + g.name }

// groups creates all services at once and looks at one after the other.
func (w *world) groups(t *testing.T) {
	for _, g := range groupTable(t) {
		if g.labels["com.df.servicePath"] == "" {
			delete(g.labels, "com.df.servicePath")
		}
		tooltest.Must(t, w.Create(t.Context(), stack.Demo{Name: g.service(), Replicas: g.replicas, Unchecked: true, Named: true, Labels: g.labels}))
	}
	for _, g := range groupTable(t) {
		t.Run(g.name, func(t *testing.T) {
			_, err := w.Running(tooltest.Context(t, 30*time.Second), g.service(), int(g.replicas))
			tooltest.Must(t, err)
			eventually(t, "what the labels of "+g.name+" say", func() error { return g.shown(t.Context(), w, g) })
		})
	}
	for _, g := range groupTable(t) {
		tooltest.Must(t, w.Remove(t.Context(), g.service()))
	}
}

func host(name string) http.Header { return http.Header{"Host": {name}} }

// from is an error unless a task of the group answers.
func (w *world) from(ctx context.Context, g group, path string, header http.Header) error {
	res, body, err := w.Ask(ctx, stack.Manager, path, header)
	if err == nil && (res.StatusCode != http.StatusOK || !strings.Contains(body, g.service()+".")) {
		err = fmt.Errorf("%s answers %d %q", path, res.StatusCode, body)
	}
	return err
}

func (w *world) status(ctx context.Context, path string, header http.Header, want int) error {
	res, body, err := w.Ask(ctx, stack.Manager, path, header)
	if err == nil && res.StatusCode != want {
		err = fmt.Errorf("%s answers %d %q, want %d", path, res.StatusCode, body, want)
	}
	return err
}

func (w *world) header(ctx context.Context, path, name, want string) error {
	res, _, err := w.Ask(ctx, stack.Manager, path, nil)
	if err == nil && res.Header.Get(name) != want {
		err = fmt.Errorf("%s answers with %s %q, want %q", path, name, res.Header.Get(name), want)
	}
	return err
}

// pinned is an error unless both tasks answer, and with a cookie one alone.
func pinned(ctx context.Context, w *world, g group) error {
	heard := map[string]bool{}
	var cookie string
	for range 10 {
		res, body, err := w.Ask(ctx, stack.Manager, "/"+g.name, nil)
		if err != nil {
			return err
		}
		for _, c := range res.Cookies() {
			cookie = c.Name + "=" + c.Value
		}
		heard[body] = true
	}
	if len(heard) < 2 || cookie == "" {
		return fmt.Errorf("heard %v, the cookie is %q", heard, cookie)
	}
	clear(heard)
	for range 10 {
		_, body, err := w.Ask(ctx, stack.Manager, "/"+g.name, http.Header{"Cookie": {cookie}})
		if err != nil {
			return err
		}
		heard[body] = true
	}
	if len(heard) != 1 {
		return fmt.Errorf("with the cookie %q heard %v", cookie, heard)
	}
	return nil
}

// shared is an error unless the canary answers a fifth of the requests, although it has
// a third of the tasks.
func shared(ctx context.Context, w *world, g group) error {
	const requests = 100
	canary := 0
	for range requests {
		res, body, err := w.Ask(ctx, stack.Manager, "/"+g.name, nil)
		if err != nil || res.StatusCode != http.StatusOK {
			return fmt.Errorf("the group answers %v: %w", res, err)
		}
		if strings.Contains(body, g.service()+".") {
			canary++
		}
	}
	if canary < 15 || canary > 25 {
		return fmt.Errorf("the canary answers %d of %d requests, want about 20", canary, requests)
	}
	return nil
}

// secure is an error unless the group answers by TLS with the certificate of a name.
func (w *world) secure(ctx context.Context, g group, name string) error {
	dial, err := w.Within(ctx, stack.Manager, "waggle_proxy")
	if err != nil {
		return err
	}
	var served []string
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dial(ctx, network, "127.0.0.1:443")
		},
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(c tls.ConnectionState) error { //nolint:gosec // its name is what is looked at
			served = c.PeerCertificates[0].DNSNames
			return nil
		}},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+name+"/", nil)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && (res.StatusCode != http.StatusOK || !strings.Contains(string(body), g.service()+".") || !slices.Equal(served, []string{name})) {
		err = fmt.Errorf("with the certificate of %q: %d %q", served, res.StatusCode, body)
	}
	return err
}

// handshake begins TLS with a port of the manager's proxy that is not published.
func (w *world) handshake(ctx context.Context, port int, name string) error {
	dial, err := w.Within(ctx, stack.Manager, "waggle_proxy")
	if err != nil {
		return err
	}
	conn, err := dial(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	defer conn.Close()
	return tls.Client(conn, &tls.Config{ServerName: name}).HandshakeContext(ctx)
}
