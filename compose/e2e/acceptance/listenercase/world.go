package listenercase

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/wagglehq/waggle/compose/e2e/acceptance"
	"github.com/wagglehq/waggle/compose/e2e/acceptance/swarmcase"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// Where things are in a case.
const (
	adminAddr  = "127.0.0.1:65080"
	dockerAddr = "127.0.0.1:65075"
	busURL     = "nats://127.0.0.1:4222"
	dataDir    = acceptance.Hall + "/waggle-data"
	secretsDir = acceptance.Hall + "/secrets"
	logFile    = acceptance.Hall + "/listener.log"
)

// letters are the receivers.
func letters() []string { return []string{"a", "b", "c"} }

func addressOf(letter string) string { return fmt.Sprintf("127.0.0.1:%d", 65000+int(letter[0])) }

// settings are what a case has beside its steps.
type settings struct {
	Refs    []string            `json:"refs"`
	Env     map[string]*string  `json:"env"`
	Secrets map[string]string   `json:"secrets"`
	Initial [][]json.RawMessage `json:"initial"`

	initial []swarmcase.Change
}

func read(rest json.RawMessage) (acceptance.Open, error) {
	var s settings
	if err := acceptance.Strict(rest, &s); err != nil {
		return nil, err
	}
	for i, values := range s.Initial {
		c, err := swarmcase.Read(values)
		if err != nil {
			return nil, fmt.Errorf("initial step %d: %w", i+1, err)
		}
		s.initial = append(s.initial, c)
	}
	return s.open, nil
}

// world is what the steps of a case act upon.
type world struct {
	settings
	job       acceptance.Job
	swarm     *swarmcase.Swarm
	receivers map[string]*receiver
	env       map[string]string
	process   *acceptance.Component
	// isStopped says that a step ended the listener.
	isStopped bool
	mirror    *bus.Mirror
}

func (s settings) open(_ context.Context, j acceptance.Job) (acceptance.World, error) {
	w := &world{settings: s, job: j, swarm: swarmcase.New(), receivers: map[string]*receiver{}}
	w.env = map[string]string{
		"PATH": j.Path, "HOME": "/root", "ADMIN": adminAddr, "DATA_DIR": dataDir, "NATS_OPEN": "true", "NATS_HOST": "127.0.0.1", "SECRETS_DIR": secretsDir,
		"DOCKER_HOST": "{docker}", "DF_NOTIFY_CREATE_SERVICE_URL": "{a}/create", "DF_NOTIFY_REMOVE_SERVICE_URL": "{a}/remove",
		"DF_RETRY": "3", "DF_RETRY_INTERVAL": "1",
	}
	w.change(s.Env)
	for _, c := range s.initial {
		if err := c.Do(w.swarm); err != nil {
			return w, err
		}
	}
	if err := w.swarm.Serve(dockerAddr); err != nil {
		return w, err
	}
	for _, letter := range letters() {
		r, err := newReceiver(addressOf(letter))
		if err != nil {
			return w, err
		}
		w.receivers[letter] = r
	}
	if err := os.MkdirAll(secretsDir, 0o755); err != nil {
		return w, err
	}
	for name, text := range s.Secrets {
		if err := os.WriteFile(filepath.Join(secretsDir, filepath.Base(name)), []byte(placed(text)), 0o644); err != nil {
			return w, err
		}
	}
	return w, w.run()
}

// placed puts addresses in the places of a text.
func placed(text string) string {
	places := []string{"{docker}", "tcp://" + dockerAddr}
	for _, letter := range letters() {
		places = append(places, "{"+letter+"}", "http://"+addressOf(letter))
	}
	return strings.NewReplacer(places...).Replace(text)
}

func (w *world) change(env map[string]*string) {
	for name, text := range env {
		if text == nil {
			delete(w.env, name)
		} else {
			w.env[name] = *text
		}
	}
}

func (w *world) run() error {
	var env []string
	for name, text := range w.env {
		env = append(env, name+"="+placed(text))
	}
	var err error
	w.isStopped = false
	w.process, err = acceptance.StartComponent(w.job.Programs[program], env, logFile)
	return err
}

// again starts it with other variables, and without its data if they are lost.
func (w *world) again(env map[string]*string, isLost bool) error {
	if !w.isStopped {
		return errors.New("it runs")
	}
	w.change(env)
	if isLost {
		if err := os.RemoveAll(dataDir); err != nil {
			return err
		}
	}
	return w.run()
}

func (w *world) stop(kill bool) error {
	w.isStopped = true
	signal := syscall.SIGTERM
	if kill {
		signal = syscall.SIGKILL
	}
	return w.process.End(signal)
}

// hasFailed waits until the listener ends with an error that says so.
func (w *world) hasFailed(ctx context.Context, texts []string) error {
	w.isStopped = true
	err := tooltest.PollFor(ctx, seconds(limit), 50*time.Millisecond, "its end", func(context.Context) error {
		if !w.process.HasEnded() {
			return errors.New("it runs")
		}
		return nil
	})
	if err != nil {
		return err
	}
	if w.process.Succeeded() {
		return errors.New("it ended without an error")
	}
	for _, text := range texts {
		if err := w.said(placed(text), true); err != nil {
			return err
		}
	}
	return nil
}

// said returns why the log does not have a text, or has one that it must not have.
func (w *world) said(text string, has bool) error {
	log, err := os.ReadFile(logFile)
	if err != nil {
		return err
	}
	// A log quotes what it says.
	found := strings.Contains(string(log), text) || strings.Contains(strings.ReplaceAll(string(log), `\"`, `"`), text)
	switch {
	case found && !has:
		return fmt.Errorf("the log has %q", text)
	case !found && has:
		return fmt.Errorf("the log lacks %q; its end is %s", text, acceptance.LogEnd(logFile))
	}
	return nil
}

// Alive is an error once the listener has ended although no step asked for that.
func (w *world) Alive() error {
	if w.isStopped || w.process == nil {
		return nil
	}
	if err := w.process.Alive(); err != nil {
		return fmt.Errorf("the listener ended: %w", err)
	}
	return nil
}

// Log is the end of its log.
func (w *world) Log() string { return acceptance.LogEnd(logFile) }

// ask asks the listener, which must answer within a second.
func (w *world) ask(ctx context.Context, path string) (status int, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+adminAddr+path, nil)
	if err != nil {
		return 0, nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	body, err = io.ReadAll(res.Body)
	return res.StatusCode, body, err
}

// sample is the sum of the samples of a metric that have these labels.
func (w *world) sample(ctx context.Context, name string, labels map[string]string) (float64, error) {
	status, body, err := w.ask(ctx, "/metrics")
	if err != nil || status != http.StatusOK {
		return 0, errors.Join(err, fmt.Errorf("the status of /metrics is %d", status))
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	all, err := parser.TextToMetricFamilies(strings.NewReader(string(body)))
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for _, m := range all[name].GetMetric() {
		if labelled(m, labels) {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetUntyped().GetValue()
		}
	}
	return sum, nil
}

func labelled(m *dto.Metric, labels map[string]string) bool {
	found := 0
	for _, l := range m.GetLabel() {
		if text, ok := labels[l.GetName()]; ok && text == l.GetValue() {
			found++
		}
	}
	return found == len(labels)
}

// split takes the key of a step apart.
func split(key string) (kind, name string, err error) {
	kind, name, ok := strings.Cut(key, ":")
	if !ok || kind != "service" && kind != "node" && kind != "tasks" {
		return "", "", fmt.Errorf("key %q: want service:NAME, node:ID or tasks:NAME", key)
	}
	return kind, name, nil
}

// entry is one of the catalog's, nil if there is none.
func (w *world) entry(ctx context.Context, key string) (any, error) {
	kind, name, err := split(key)
	if err != nil {
		return nil, err
	}
	if w.mirror == nil {
		b, err := bus.Connect(bus.Options{URL: busURL, Component: program})
		if err != nil {
			return nil, err
		}
		w.mirror = b.Bucket(bus.CatalogBucket).Mirror(">", func() {})
		go func() { _ = w.mirror.Run(context.WithoutCancel(ctx)) }() // it follows the bucket until the process ends
	}
	values, whole := w.mirror.Values()
	if !whole {
		return nil, bus.ErrNotSynced
	}
	if kind == "node" {
		return decoded(values, "node."+name)
	}
	for at := range values {
		id, isService := strings.CutPrefix(at, "service.")
		if !isService {
			continue
		}
		svc, err := decoded(values, at)
		if err != nil {
			return nil, err
		}
		if fields, ok := svc.(map[string]any); ok && fields["name"] == name {
			return decoded(values, kind+"."+id)
		}
	}
	return nil, nil
}

func decoded(values map[string]bus.Value, key string) (any, error) {
	v, ok := values[key]
	if !ok {
		return nil, nil
	}
	var out any
	err := json.Unmarshal(v.Data, &out)
	return out, err
}
