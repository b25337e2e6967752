package monitorcase

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/acceptance"
	"github.com/wagglehq/waggle/compose/e2e/acceptance/agree"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// Where things are in a case. The ports are some that no case uses.
const (
	adminAddr      = "127.0.0.1:65080"
	prometheusAddr = "127.0.0.1:65090"
	childAddr      = "127.0.0.1:65091"
	dataDir        = acceptance.Hall + "/waggle-data"
	secretsDir     = acceptance.Hall + "/secrets"
	componentLog   = acceptance.Hall + "/component.log"
	apiToken       = "token-of-acceptance"
)

const (
	// limit is how long a step that judges is tried, and how long the component may take
	// before that for the newest catalog.
	limit = 15 * time.Second
	// starting is how long the component may take until it answers at all.
	starting = 30 * time.Second
	// often is how often something is tried.
	often = 50 * time.Millisecond
)

// settings are what a case has beside its steps.
type settings struct {
	Subject string            `json:"subject"`
	Spec    string            `json:"spec"`
	Env     map[string]string `json:"env"`
	Secrets map[string]string `json:"secrets"`
	Files   map[string]string `json:"files"`
}

// change is what changes between two starts; null takes something away.
type change struct {
	Env     map[string]*string `json:"env"`
	Secrets map[string]*string `json:"secrets"`
	Files   map[string]*string `json:"files"`
	Fresh   bool               `json:"fresh"`
}

func read(rest json.RawMessage) (acceptance.Open, error) {
	var s settings
	if err := acceptance.Strict(withDir(rest), &s); err != nil {
		return nil, err
	}
	if s.Subject != monitor && s.Subject != listener {
		return nil, fmt.Errorf("subject %q: want %s or %s", s.Subject, monitor, listener)
	}
	return s.open, nil
}

// world is what the steps of a case act upon.
type world struct {
	settings
	job       acceptance.Job
	swarm     *swarm
	store     store
	docker    *docker
	exporters exporters
	tools     promtool
	reloads   reloads
	// changed is when the swarm, or the component, last changed.
	changed time.Time
	process *acceptance.Component
	// lint is nil unless it is compared with the monitor.
	lint *agree.Agreement
}

// open starts everything.
func (s settings) open(ctx context.Context, j acceptance.Job) (acceptance.World, error) {
	w := &world{settings: s, job: j, swarm: newSwarm(), tools: promtool{program: j.Programs["promtool"], printed: map[string]string{}}}
	if program := j.Programs[agree.Program]; program != "" {
		w.lint = &agree.Agreement{Program: program}
	}
	return w, w.start(ctx)
}

func (w *world) start(ctx context.Context) error {
	w.Env, w.Secrets, w.Files = filled(w.Env), filled(w.Secrets), filled(w.Files)
	if err := errors.Join(place(secretsDir, w.Secrets), place(caseDir, w.Files)); err != nil {
		return err
	}
	var err error
	if w.Subject == listener {
		if w.docker, err = serveDocker(ctx); err != nil {
			return err
		}
	} else if err := w.store.start(); err != nil {
		return err
	}
	if err := w.publish(ctx); err != nil {
		return err
	}
	return w.run()
}

func filled(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// place makes a folder hold exactly these files.
func place(folder string, contents map[string]string) error {
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for name, text := range contents {
		if name != filepath.Base(name) {
			return fmt.Errorf("%s/%s: want a plain file name", folder, name)
		}
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// publish tells of the swarm as it is; while the bus is down it is told when that is back.
func (w *world) publish(ctx context.Context) error {
	w.changed = time.Now()
	if w.Subject == listener {
		w.docker.set(w.swarm)
		return nil
	}
	if w.store.server == nil {
		return nil
	}
	return w.store.write(ctx, w.swarm.snapshot())
}

// setBus takes the bus away, brings it back, or takes what it holds.
func (w *world) setBus(ctx context.Context, word string) error {
	w.changed = time.Now()
	switch {
	case word == "down":
		w.store.stop()
		return nil
	case word == "empty":
		return w.store.empty()
	case w.store.server != nil:
		return nil
	}
	if err := w.store.start(); err != nil {
		return err
	}
	return w.publish(ctx)
}

// restart ends the component, changes what it is started with, and starts it again.
func (w *world) restart(_ context.Context, c change) error {
	if err := w.process.End(syscall.SIGTERM); err != nil {
		return err
	}
	merge(w.Env, c.Env)
	merge(w.Secrets, c.Secrets)
	merge(w.Files, c.Files)
	if err := errors.Join(place(secretsDir, w.Secrets), place(caseDir, w.Files)); err != nil {
		return err
	}
	if c.Fresh {
		if err := os.RemoveAll(dataDir); err != nil {
			return err
		}
	}
	w.changed = time.Now()
	return w.run()
}

func merge(into map[string]string, changes map[string]*string) {
	for name, text := range changes {
		if text == nil {
			delete(into, name)
		} else {
			into[name] = *text
		}
	}
}

// startFails starts the component with changes, sees it end, and starts it without them.
func (w *world) startFails(ctx context.Context, c change, texts []string) error {
	env, secrets, files := maps.Clone(w.Env), maps.Clone(w.Secrets), maps.Clone(w.Files)
	if err := w.restart(ctx, c); err != nil {
		return err
	}
	verdict := endsWith(ctx, w.process, texts)
	if err := w.process.End(syscall.SIGTERM); err != nil {
		return errors.Join(verdict, err)
	}
	if verdict != nil {
		return verdict
	}
	w.Env, w.Secrets, w.Files = env, secrets, files
	return w.restart(ctx, change{})
}

// environment are the variables of the component.
func (w *world) environment() []string {
	env := []string{"PATH=" + w.job.Path, "HOME=/root", "TOKEN=" + apiToken, "ADMIN=" + adminAddr, "DATA_DIR=" + dataDir, "LOG_FORMAT=text"}
	if w.Subject == listener {
		env = append(env, "DOCKER_HOST=tcp://"+dockerAddr, "NATS_OPEN=true", "NATS_HOST=127.0.0.1", "RESYNC=1s")
	} else {
		env = append(env, "NATS_URL="+busURL, "PROMETHEUS_BIN="+w.job.Programs["prometheus"], "PROMTOOL_BIN="+w.job.Programs["promtool"],
			"PROMETHEUS_URL=http://"+childAddr, "PROMETHEUS_LISTEN="+prometheusAddr, "OWN_STACK=", "OWN_RULES=false")
		ownTimes := false
		for name := range w.Env {
			ownTimes = ownTimes || strings.HasPrefix(name, "GLOBAL") || name == "BASE_FILE"
		}
		if !ownTimes {
			env = append(env, "SCRAPE_INTERVAL=1s", "SCRAPE_TIMEOUT=1s", "EVALUATION_INTERVAL=1s")
		}
	}
	for name, text := range w.Env {
		env = append(env, name+"="+text)
	}
	return env
}

func (w *world) run() error {
	p, err := acceptance.StartComponent(w.job.Programs[w.Subject], w.environment(), componentLog)
	w.process = p
	return err
}

// prometheus is the root of Prometheus' URLs.
func (w *world) prometheus() string {
	for _, name := range []string{"ARG_WEB_EXTERNAL-URL", "EXTERNAL_URL"} {
		if u, err := url.Parse(w.Env[name]); err == nil && w.Env[name] != "" {
			return "http://" + prometheusAddr + strings.TrimSuffix(u.Path, "/")
		}
	}
	return "http://" + prometheusAddr
}

// admin is a request to the component itself.
func admin(path string) tooltest.Request {
	return tooltest.Request{Method: http.MethodGet, URL: "http://" + adminAddr + path, Token: apiToken}
}

// reached waits until the component answers, and has taken up the newest catalog.
func (w *world) reached(ctx context.Context) error {
	if err := w.poll(ctx, starting, func(ctx context.Context) error {
		_, err := tooltest.Ask(ctx, admin("/healthz"))
		return err
	}); err != nil {
		return fmt.Errorf("it does not answer: %w", err)
	}
	if w.Subject == listener || !w.store.known {
		return nil
	}
	return w.poll(ctx, limit, func(ctx context.Context) error {
		var got struct {
			Revision catalog.Revision `json:"revision"`
			Error    string           `json:"error"`
		}
		if err := tooltest.Get(ctx, admin("/v1/services"), &got); err != nil {
			return err
		}
		if want := w.store.newest; got.Revision.Epoch != want.Epoch || got.Revision.Sequence < want.Sequence {
			return fmt.Errorf("it knows revision %d of the catalog, not yet %d %s", got.Revision.Sequence, want.Sequence, got.Error)
		}
		return nil
	})
}

// poll tries until there is no error, the limit is over, or the component has ended.
func (w *world) poll(ctx context.Context, limit time.Duration, try func(context.Context) error) error {
	return tooltest.PollFor(ctx, limit, often, "", func(context.Context) error {
		if err := w.Alive(); err != nil {
			return tooltest.Final(err)
		}
		return try(ctx)
	})
}

// Alive is an error once the component has ended.
func (w *world) Alive() error {
	if w.process == nil {
		return nil
	}
	if err := w.process.Alive(); err != nil {
		return fmt.Errorf("the %s ended: %w", w.Subject, err)
	}
	return nil
}

// Log is the end of its log, if there is one yet.
func (w *world) Log() string { return acceptance.LogEnd(componentLog) }

// endsWith waits for a component's end with an error that contains all texts.
func endsWith(ctx context.Context, p *acceptance.Component, texts []string) error {
	if err := tooltest.PollFor(ctx, starting, often, "its end", func(ctx context.Context) error {
		if p.HasEnded() {
			return nil
		}
		if status, err := tooltest.Status(ctx, admin("/healthz").URL); err == nil && status == http.StatusOK {
			return tooltest.Final(errors.New("it started, and was not to"))
		}
		return errors.New("it runs")
	}); err != nil {
		return err
	}
	if p.Succeeded() {
		return errors.New("it ended without an error")
	}
	lines := p.Said()
	for _, line := range lines {
		if containsAll(line, texts) && (strings.Contains(line, "level=ERROR") || strings.HasPrefix(line, monitor+":")) {
			return nil
		}
	}
	return fmt.Errorf("no error says %q; %w", texts, p.Alive())
}
