package acceptance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
)

// Where things are in a case. The admin port is one that no case opens.
const (
	adminAddr = "127.0.0.1:65080"
	dataDir   = hall + "/waggle-data"
	busDir    = hall + "/nats"
	proxyLog  = hall + "/proxy.log"
	apiToken  = "acceptance"
)

const (
	// stepLimit bounds the time until a change is in force.
	stepLimit = 10 * time.Second
	// startLimit bounds the proxy's start.
	startLimit = 20 * time.Second
	// knownTask is how long a service may be without a task although the DNS
	// knows one.
	knownTask = 2 * time.Second
	pollEvery = 10 * time.Millisecond
)

// world is what the steps of a case act upon.
type world struct {
	script script
	files  map[string][]byte
	names  *names
	behind *upstreams
	swarm  *swarm
	// ended is closed when the proxy's process has ended, for the reason how.
	ended chan struct{}
	how   error
	// made counts what the steps themselves add to the catalog.
	made int
}

// attempt does one step.
type attempt func(context.Context, *world) error

// openWorld starts everything: DNS, upstreams, bus, catalog, and the proxy, which
// has taken in the catalog when this returns.
func openWorld(ctx context.Context, j job, s script) (*world, error) {
	w := &world{script: s, files: j.Files, names: newNames(), behind: &upstreams{files: j.Files}, ended: make(chan struct{})}
	if err := w.names.know(s.hosts); err != nil {
		return nil, err
	}
	if err := errors.Join(w.place(hall+"/secrets", s.secrets, false), w.place("/certs", s.certs, true)); err != nil {
		return nil, err
	}
	if err := errors.Join(w.names.serve(ctx), w.behind.start(ctx)); err != nil {
		return nil, err
	}
	var err error
	if w.swarm, err = startSwarm(ctx, busDir, w.names); err != nil {
		return nil, err
	}
	for _, d := range s.initial {
		d.labels = w.withFiles(d.labels)
		w.swarm.deploy(d)
	}
	revision, err := w.swarm.write(ctx)
	if err != nil {
		return nil, err
	}
	if err := w.startProxy(j); err != nil {
		return nil, err
	}
	if err := w.poll(ctx, startLimit, func(ctx context.Context) error {
		st, err := w.state(ctx)
		if err != nil {
			return err
		}
		return st.reached(revision)
	}); err != nil {
		return nil, fmt.Errorf("the proxy's start: %w", err)
	}
	return w, nil
}

// place writes files by name. One of the test's own files is meant by "@" and its
// name; where files are what is wanted, by its name alone.
func (w *world) place(folder string, contents map[string]string, files bool) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for name, text := range contents {
		if name != filepath.Base(name) {
			return fmt.Errorf("%s/%s: want a plain file name", folder, name)
		}
		own, isOwn := strings.CutPrefix(text, "@")
		if files && slices.Contains([]string{".pem", ".crt", ".key"}, filepath.Ext(text)) {
			isOwn = true
		}
		content := []byte(text)
		if isOwn {
			var ok bool
			if content, ok = w.files[own]; !ok {
				return fmt.Errorf("%s/%s: the test makes no file %q", folder, name, own)
			}
		}
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// startProxy starts process 1 of the proxy's container: supervisor, HAProxy and
// controller.
func (w *world) startProxy(j job) error {
	env := []string{"PATH=" + j.Path}
	for name, value := range w.script.env {
		env = append(env, name+"="+value)
	}
	env = append(env, "HAPROXY="+j.HAProxy, "NATS_URL="+w.swarm.url, "ADMIN="+adminAddr, "DATA_DIR="+dataDir,
		"LOG_FORMAT=text", "TOKEN="+apiToken, "DOCKER_FLOW_API=true")
	if len(w.script.trust) > 0 {
		env = append(env, "TRUSTED_PROXIES="+strings.Join(w.script.trust, ","))
	}
	if w.script.raw {
		env = append(env, "ALLOW_RAW=true")
	}
	log, err := os.Create(proxyLog)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(j.Proxy) //nolint:noctx // the kernel ends it with this process, which is number 1
	cmd.Env, cmd.Stdout, cmd.Stderr = env, log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		defer close(w.ended)
		w.how = errors.New("exit status 0")
		if err := cmd.Wait(); err != nil {
			w.how = err
		}
		if text, err := os.ReadFile(proxyLog); err == nil && len(text) > 0 {
			lines := strings.Split(strings.TrimSpace(string(text)), "\n")
			w.how = fmt.Errorf("%w, its last words: %s", w.how, lines[len(lines)-1])
		}
	}()
	return nil
}

// apiState is what the proxy says of all services.
type apiState struct {
	Revision catalog.Revision `json:"revision"`
	FromBus  bool             `json:"fromBus"`
	Error    string           `json:"error"`
	Services []catalog.Status `json:"services"`
}

// reached returns nil if the state is that of the revision or a later one.
func (s apiState) reached(want catalog.Revision) error {
	switch {
	case s.Error != "":
		return fmt.Errorf("the proxy says: %s", s.Error)
	case !s.FromBus || s.Revision.Epoch != want.Epoch || s.Revision.Sequence < want.Sequence:
		return fmt.Errorf("the proxy knows revision %d of the catalog, not yet %d", s.Revision.Sequence, want.Sequence)
	}
	return nil
}

// state asks the proxy.
func (w *world) state(ctx context.Context) (apiState, error) {
	var s apiState
	status, body, err := w.ask(ctx, http.MethodGet, "/v1/services", nil)
	if err != nil {
		return s, err
	}
	if status != http.StatusOK {
		return s, fmt.Errorf("the proxy answers %d: %s", status, bytes.TrimSpace(body))
	}
	return s, json.Unmarshal(body, &s)
}

// ask calls the proxy's admin interface.
func (w *world) ask(ctx context.Context, method, path string, content []byte) (status int, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+adminAddr+path, bytes.NewReader(content))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+apiToken)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	body, err = io.ReadAll(io.LimitReader(res.Body, 16<<20))
	return res.StatusCode, body, err
}

// poll tries until there is no error, or the limit is over, or the proxy has ended.
func (w *world) poll(ctx context.Context, limit time.Duration, try func(context.Context) error) error {
	return poll(ctx, limit, func(ctx context.Context) error {
		select {
		case <-w.ended:
			return &finalError{fmt.Errorf("the proxy ended: %w", w.how)}
		default:
		}
		return try(ctx)
	})
}

// finalError says that trying again is of no use.
type finalError struct{ err error }

// Error is the reason.
func (e *finalError) Error() string { return e.err.Error() }

// Unwrap returns the reason.
func (e *finalError) Unwrap() error { return e.err }

// poll tries at least once, and then again until there is no error or the limit is over.
func poll(ctx context.Context, limit time.Duration, try func(context.Context) error) error {
	over := time.NewTimer(limit)
	defer over.Stop()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := try(ctx)
		var final *finalError
		if err == nil || errors.As(err, &final) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-over.C:
			return fmt.Errorf("after %v: %w", limit, err)
		case <-tick.C:
		}
	}
}

// wait does nothing for a while.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
