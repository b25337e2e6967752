package proxycase

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/acceptance"
	"github.com/wagglehq/waggle/compose/e2e/acceptance/agree"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// Where things are in a case. The admin port is one that no case opens.
const (
	adminAddr = "127.0.0.1:65080"
	dataDir   = acceptance.Hall + "/waggle-data"
	proxyLog  = acceptance.Hall + "/proxy.log"
	apiToken  = "token-of-acceptance"
)

// outbound allows hosts to have the addresses of the upstreams, which are of the loopback,
// and otherwise those that they may have anyway. A case may say something else.
const outbound = "127.1.0.0/16,0.0.0.0/0,::/0"

const (
	// startLimit bounds the proxy's start.
	startLimit = 20 * time.Second
	// knownTask is how long a service may be without a task although the DNS
	// knows one.
	knownTask = 2 * time.Second
)

// settings are what a case has beside its steps: what is there at the start.
type settings struct {
	Env map[string]string `json:"env"`
	// Secrets and Certs are contents by file name, see world.place.
	Secrets map[string]string   `json:"secrets"`
	Certs   map[string]string   `json:"certs"`
	Hosts   string              `json:"hosts"`
	Trust   []string            `json:"trust"`
	Raw     bool                `json:"raw"`
	Initial [][]json.RawMessage `json:"initial"`

	initial []deployment
}

// deployment is a service with its labels, the prefix left out.
type deployment struct {
	name   string
	labels map[string]string
}

// read reads them.
func read(rest json.RawMessage) (acceptance.Open, error) {
	var s settings
	if err := acceptance.Strict(rest, &s); err != nil {
		return nil, err
	}
	if _, err := acceptance.ParseHosts(s.Hosts); err != nil {
		return nil, fmt.Errorf("hosts: %w", err)
	}
	for i, values := range s.Initial {
		var d deployment
		if err := acceptance.Fill(values, &d.name, &d.labels); err != nil {
			return nil, fmt.Errorf("initial service %d: %w", i+1, err)
		}
		s.initial = append(s.initial, d)
	}
	return s.open, nil
}

// world is what the steps of a case act upon.
type world struct {
	settings settings
	files    map[string][]byte
	behind   *upstreams
	swarm    *acceptance.Swarm
	proxy    *acceptance.Component
	// lint is nil unless it is compared with the proxy.
	lint *agreement
	// made counts what the steps themselves add to the catalog.
	made int
}

// open starts everything: DNS, upstreams, bus, catalog, and the proxy, which has taken in
// the catalog when this returns.
func (s settings) open(ctx context.Context, j acceptance.Job) (acceptance.World, error) {
	w := &world{settings: s, files: j.Files, behind: &upstreams{files: j.Files}}
	if program := j.Programs[agree.Program]; program != "" {
		w.lint = &agreement{Agreement: agree.Agreement{Program: program}, standing: map[string]map[string]string{}}
	}
	return w, w.start(ctx, j)
}

func (w *world) start(ctx context.Context, j acceptance.Job) error {
	names, err := acceptance.NewNames(hosts)
	if err != nil {
		return err
	}
	if err := errors.Join(
		names.Know(w.settings.Hosts), w.place(acceptance.Hall+"/secrets", w.settings.Secrets, false), w.place("/certs", w.settings.Certs, true),
		w.behind.start(ctx),
	); err != nil {
		return err
	}
	if w.swarm, err = acceptance.StartSwarm(ctx, names); err != nil {
		return err
	}
	for _, d := range w.settings.initial {
		w.swarm.Deploy(d.name, w.withFiles(d.labels))
		if w.lint != nil {
			w.lint.standing[d.name] = w.withFiles(d.labels)
		}
	}
	revision, err := w.swarm.Write(ctx)
	if err != nil {
		return err
	}
	if err := w.startProxy(j); err != nil {
		return err
	}
	if err := acceptance.Poll(ctx, w, startLimit, func(ctx context.Context) error {
		st, err := w.state(ctx)
		if err != nil {
			return err
		}
		return st.reached(revision)
	}); err != nil {
		return fmt.Errorf("the proxy's start: %w", err)
	}
	return nil
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
func (w *world) startProxy(j acceptance.Job) error {
	env := []string{"PATH=" + j.Path, "OUTBOUND=" + outbound}
	for name, value := range w.settings.Env {
		env = append(env, name+"="+value)
	}
	env = append(env, "HAPROXY="+j.Programs["haproxy"], "NATS_URL="+w.swarm.URL, "ADMIN="+adminAddr, "DATA_DIR="+dataDir,
		"LOG_FORMAT=text", "TOKEN="+apiToken, "DOCKER_FLOW_API=true")
	if len(w.settings.Trust) > 0 {
		env = append(env, "TRUSTED_PROXIES="+strings.Join(w.settings.Trust, ","))
	}
	if w.settings.Raw {
		env = append(env, "ALLOW_RAW=true")
	}
	var err error
	w.proxy, err = acceptance.StartComponent(j.Programs["proxy"], env, proxyLog)
	return err
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
	err := tooltest.Get(ctx, admin(http.MethodGet, "/v1/services", nil), &s)
	return s, err
}

func admin(method, path string, content []byte) tooltest.Request {
	return tooltest.Request{Method: method, URL: "http://" + adminAddr + path, Token: apiToken, Body: content}
}

// Request calls the proxy's admin interface.
func (w *world) Request(ctx context.Context, method, path string, content []byte) (status int, body []byte, err error) {
	a, err := tooltest.Ask(ctx, admin(method, path, content))
	return a.Status, bytes.TrimSpace(a.Body), err
}

// Alive is an error once the proxy has ended.
func (w *world) Alive() error {
	if w.proxy == nil {
		return nil
	}
	if err := w.proxy.Alive(); err != nil {
		return fmt.Errorf("the proxy ended: %w", err)
	}
	return nil
}

// Log is the end of the proxy's log, if there is one yet.
func (w *world) Log() string { return acceptance.LogEnd(proxyLog) }
