package scalercase

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wagglehq/waggle/compose/e2e/acceptance"
	"github.com/wagglehq/waggle/compose/e2e/acceptance/agree"
	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bus/embedded"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/clock/clocktest"
	"github.com/wagglehq/waggle/pkg/docker"
	"github.com/wagglehq/waggle/pkg/scaling"
	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/scaler"
)

// Where things are in a case.
const (
	busAddr           = "127.0.0.1:4222"
	alertmanagerAddr  = "127.0.0.1:9093"
	prometheusAddr    = "127.0.0.1:9090"
	firstPort         = 8080
	firstBusPort      = 4300
	ownToken          = "the-scalers-token-of-the-acceptance-cases"
	otherToken        = "the-token-of-another-component"
	catalogStream     = "KV_" + bus.CatalogBucket
	signalsStream     = "KV_" + bus.SignalsBucket
	wakesStream       = "KV_" + bus.WakesBucket
	startLimit        = 20 * time.Second
	restLimit         = 30 * time.Second
	hungFor           = 100 * time.Millisecond
	realStep          = 2 * time.Millisecond
	restStep          = 200 * time.Microsecond
	restTries         = 20
	concluded         = 20 * time.Second // after the end of a scaler whoever is there has told of its step
	defaultStartOfDay = "2026-12-02T12:00:00Z"
)

// keys are those of the components on the bus.
func keys() map[string]string {
	out := map[string]string{}
	for _, c := range []string{bus.Listener, "proxy", "monitor", "scaler"} {
		out[c] = "key of the " + c + " in the cases"
		out[c] = strings.ReplaceAll(out[c], " ", "-")
	}
	return out
}

// settings are what a case has beside its steps.
type settings struct {
	Env     map[string]string `json:"env"`
	Secrets map[string]string `json:"secrets"`
	Clock   *time.Time        `json:"clock"`
}

func read(rest json.RawMessage) (acceptance.Open, error) {
	var s settings
	if err := acceptance.Strict(rest, &s); err != nil {
		return nil, err
	}
	for name := range s.Secrets {
		if name != "token" {
			return nil, fmt.Errorf("unknown secret %q", name)
		}
	}
	fs := flag.NewFlagSet("scaler", flag.ContinueOnError)
	scaler.Service(fs)
	known := map[string]bool{}
	fs.VisitAll(func(f *flag.Flag) { known[app.Variable(f.Name)] = true })
	for name := range s.Env {
		if !known[name] {
			return nil, fmt.Errorf("the scaler has no setting %s", name)
		}
	}
	if s.Clock == nil {
		start, err := time.Parse(time.RFC3339, defaultStartOfDay)
		if err != nil {
			return nil, err
		}
		s.Clock = &start
	}
	return s.open, nil
}

// world is what the steps of a case act upon.
type world struct {
	settings settings
	scaler   string // its program
	clock    *clocktest.Clock
	own      *clocktest.Member
	swarm    *swarm
	reader   *docker.Client
	server   *embedded.Server
	writer   *bus.CatalogWriter
	proxy    *bus.Bucket
	told     *alertmanager
	prom     *promQL
	peers    map[string]*gate

	published uint64
	instances []*instance
	// lint is nil unless it is compared with the scaler.
	lint      *agree.Agreement
	started   int
	busState  state
	want      int // how many instances there are to be
	isSilent  bool
	open      map[string]int // by the service's ID
	stopProxy func()
	alerts    map[string]*firing
	calls     int // at the mark
	queries   int
	found     map[string]int // by service: how many decisions were looked through
	log       *tail
	killed    chan *instance
	whole     context.Context // lasts as long as the case
	// last are the numbers that streams of the bus had reached when it was asked.
	last map[string]uint64
	// mu guards point and cut, which the scaler's goroutines read: where one is to end.
	mu    sync.Mutex
	point scaler.Point
	cut   *cut
}

// tail keeps the end of a log.
type tail struct {
	mu   sync.Mutex // several scalers write
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if len(t.text) > 64<<10 {
		t.text = t.text[len(t.text)-32<<10:]
	}
	return len(p), nil
}

// instance is one scaler. Its port is nobody's before or after it, since one that was killed
// may still answer for a moment; its place goes to whoever is started in its stead.
type instance struct {
	place  int
	port   int
	member *clocktest.Member
	atRest scaler.AtRest
	cancel context.CancelFunc
	gone   context.Context
	// dead ends, by kill, when it is ended as by kill -9, and so do connections to it.
	dead   context.Context
	kill   context.CancelFunc
	ended  chan struct{}
	err    error
	socket *http.Server
	bus    *gate
}

func (s settings) open(ctx context.Context, j acceptance.Job) (acceptance.World, error) {
	w := &world{
		settings: s, scaler: j.Programs["scaler"], clock: clocktest.New(*s.Clock), told: &alertmanager{}, prom: &promQL{values: map[string]string{}},
		peers: map[string]*gate{}, busState: isOK, want: 1, open: map[string]int{}, stopProxy: func() {}, alerts: map[string]*firing{},
		found: map[string]int{}, log: &tail{}, killed: make(chan *instance, 10), whole: ctx,
	}
	if program := j.Programs[agree.Program]; program != "" {
		w.lint = &agree.Agreement{Program: program}
	}
	w.own = w.clock.Member()
	w.swarm = newSwarm(w.own)
	return w, w.begin(ctx)
}

func (w *world) begin(ctx context.Context) error {
	for name, peer := range map[string]struct {
		addr string
		h    http.Handler
	}{"alertmanager": {alertmanagerAddr, w.told}, "prometheus": {prometheusAddr, w.prom}} {
		g, err := newPeer(peer.addr, peer.h)
		if err != nil {
			return err
		}
		w.peers[name] = g
	}
	if _, err := w.listen(filepath.Join(acceptance.Hall, "reader.sock"), nil); err != nil {
		return err
	}
	var err error
	if w.reader, err = docker.Connect("unix://"+filepath.Join(acceptance.Hall, "reader.sock"), docker.AllowRead, slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	if w.server, err = embedded.Start(embedded.Options{Dir: filepath.Join(acceptance.Hall, "nats"), Host: "127.0.0.1", Port: 4222, Keys: keys()}); err != nil {
		return err
	}
	listener, err := w.connect(bus.Listener)
	if err != nil {
		return err
	}
	if err := tooltest.PollFor(ctx, startLimit, 10*time.Millisecond, "buckets", func(ctx context.Context) error { return listener.Prepare(ctx, 1) }); err != nil {
		return err
	}
	w.writer = listener.CatalogWriter(func() {})
	go func() { _ = w.writer.Run(ctx) }() // it follows the bucket until the process ends
	proxy, err := w.connect("proxy")
	if err != nil {
		return err
	}
	w.proxy = proxy.Bucket(bus.WakesBucket)
	if err := w.publish(ctx); err != nil {
		return err
	}
	if err := w.start(ctx); err != nil {
		return err
	}
	return w.rest(ctx)
}

func (w *world) connect(component string) (*bus.Bus, error) {
	return bus.Connect(bus.Options{URL: "tls://" + busAddr, Component: component, Key: keys()[component], Log: slog.New(slog.DiscardHandler)})
}

// listen serves the Docker API on a socket.
func (w *world) listen(path string, scaler *instance) (*http.Server, error) {
	l, err := new(net.ListenConfig).Listen(w.whole, "unix", path)
	if err != nil {
		return nil, err
	}
	srv := &http.Server{ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if scaler == nil {
			w.swarm.ServeHTTP(rw, r)
			return
		}
		r.Header.Set(scalerSocket, scaler.name())
		before, after := w.calling(scaler)
		if before {
			w.end(scaler)
			panic(http.ErrAbortHandler)
		}
		w.swarm.ServeHTTP(rw, r)
		if after {
			w.end(scaler)
		}
	})}
	go func() { _ = srv.Serve(l) }() // it ends with the process, or is closed
	return srv, nil
}

// publish writes the catalog as the swarm is.
func (w *world) publish(ctx context.Context) error {
	revision := w.swarm.at()
	listing, err := w.reader.List(ctx)
	if err != nil {
		return fmt.Errorf("the recorded swarm: %w", err)
	}
	if listing.Snapshot.Tasks, err = w.reader.Tasks(ctx); err != nil {
		return fmt.Errorf("the recorded swarm: %w", err)
	}
	for id := range listing.Snapshot.Services {
		if listing.Snapshot.Tasks[id] == nil {
			listing.Snapshot.Tasks[id] = []catalog.Task{}
		}
	}
	entries, _, err := catalog.EncodeAll(listing.Snapshot)
	if err != nil {
		return err
	}
	err = tooltest.PollFor(ctx, acceptance.StepLimit, time.Millisecond, "the catalog to be written", func(ctx context.Context) error {
		seen, ok := w.writer.Seen()
		if !ok {
			return bus.ErrNotSynced
		}
		_, err := w.writer.Write(ctx, seen, seen.Plan(entries))
		return err
	})
	w.published = revision
	return err
}

func (w *world) token() string {
	// White space would make it several tokens.
	if t := strings.Join(strings.Fields(w.settings.Secrets["token"]), "-"); t != "" {
		return t
	}
	return ownToken
}

// start starts instances until there are as many as there are to be.
func (w *world) start(ctx context.Context) error {
	for len(w.instances) < w.want {
		if err := w.startOne(ctx, len(w.instances)); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) startOne(ctx context.Context, place int) error {
	w.started++
	i := &instance{place: place, port: firstPort + w.started, member: w.clock.Member(), ended: make(chan struct{})}
	// It outlasts the step that starts it.
	i.gone, i.cancel = context.WithCancel(w.whole)
	i.dead, i.kill = context.WithCancel(w.whole)
	path := filepath.Join(acceptance.Hall, i.name()+".sock")
	var err error
	if i.socket, err = w.listen(path, i); err != nil {
		return err
	}
	busAt := net.JoinHostPort("127.0.0.1", fmt.Sprint(firstBusPort+w.started))
	if i.bus, err = newGate(busAt, busAddr); err != nil {
		return err
	}
	i.bus.watch(func() (before, after bool) { return w.calling(i) }, func() { w.end(i) })
	if err := i.bus.is(w.busState); err != nil {
		return err
	}
	env := map[string]string{
		"NATS_URL": "tls://" + busAt, "NATS_KEY": keys()["scaler"], "DOCKER_HOST": "unix://" + path, "TOKEN": w.token(),
		"ALERTMANAGER_URL": "http://" + alertmanagerAddr, "PROMETHEUS_URL": "http://" + prometheusAddr, "INSTANCE": i.name(),
	}
	for name, text := range w.settings.Env {
		env[name] = text
	}
	fs := flag.NewFlagSet("scaler", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	probed := make(chan struct{})
	run := scaler.ServiceUnder(fs, scaler.Conditions{
		Clock: i.member, Reached: func(p scaler.Point) { w.reached(i, p) },
		Probe: func(r scaler.AtRest) {
			i.atRest = r
			close(probed)
		},
	})
	if err := app.Parse(fs, nil, func(name string) (string, bool) {
		text, ok := env[name]
		return text, ok
	}); err != nil {
		return fmt.Errorf("the scaler's settings: %w", err)
	}
	sh := app.Shell{
		Name: "scaler", Version: "test", Log: slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Admin: net.JoinHostPort("127.0.0.1", fmt.Sprint(i.port)), Settings: app.Settings(fs), Registry: prometheus.NewRegistry(),
	}
	go func() {
		defer close(i.ended)
		i.err = run(i.gone, sh)
	}()
	w.instances = append(w.instances, i)
	return tooltest.PollFor(ctx, startLimit, 2*time.Millisecond, "the scaler answers", func(ctx context.Context) error {
		select {
		case <-i.ended:
			return tooltest.Final(fmt.Errorf("the scaler has ended: %w", i.err))
		case <-probed:
		default:
			return errors.New("it has not begun")
		}
		_, _, err := w.call(ctx, i, http.MethodGet, "/v1/ping", nil, nil)
		return err
	})
}

// reached ends an instance as kill -9 does, if it is to end at this point.
func (w *world) reached(i *instance, p scaler.Point) {
	w.mu.Lock()
	isHere := w.point == p && i.gone.Err() == nil
	if isHere {
		w.point = ""
	}
	w.mu.Unlock()
	if isHere {
		w.end(i)
	}
}

// name is that of no instance before or after it.
func (i *instance) name() string { return fmt.Sprintf("scaler-%d", i.port-firstPort) }

// end ends an instance as kill -9 does.
func (w *world) end(i *instance) {
	// Nothing that it says from now on is heard.
	_ = i.bus.is(isEnded)
	_ = i.socket.Close()
	i.member.Leave()
	i.cancel()
	i.kill()
	w.killed <- i
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = nil
}

// armed reports whether an instance is to be killed.
func (w *world) armed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.point != "" || w.cut != nil
}

// endAt says where the next instance that comes there is to end.
func (w *world) endAt(point string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var err error
	w.point, w.cut, err = readPoint(point)
	return err
}

// away ends all instances as a signal does.
func (w *world) away() {
	for _, i := range w.instances {
		i.cancel()
	}
	for _, i := range w.instances {
		select {
		case <-i.ended:
		case <-time.After(restLimit): // it is cut off below
		}
		i.member.Leave()
		_ = i.bus.is(isEnded)
		_ = i.socket.Close()
	}
	w.instances = nil
}

// replace starts another instance for each that was killed.
func (w *world) replace(ctx context.Context) error {
	for {
		select {
		case dead := <-w.killed:
			for n, i := range w.instances {
				if i == dead {
					w.instances = append(w.instances[:n], w.instances[n+1:]...)
					break
				}
			}
			if err := w.startOne(ctx, dead.place); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

// hangs reports whether some peer may keep the scaler from resting.
func (w *world) hangs() bool {
	w.swarm.mu.Lock()
	defer w.swarm.mu.Unlock()
	return w.swarm.waiting > 0 || w.busState != isOK || w.peers["alertmanager"].hangs() || w.peers["prometheus"].hangs()
}

// signature changes with everything that the scaler does.
func (w *world) signature() string {
	n, changes := w.clock.AtWork()
	last, err := w.server.Last()
	w.swarm.mu.Lock()
	defer w.swarm.mu.Unlock()
	return fmt.Sprint(n, changes, last, err, w.swarm.calls, w.swarm.revision, w.prom.asked())
}

// rest waits until the scaler has seen bus, catalog and clock as they are, has told what it
// decided, and has no call open but those that hang.
func (w *world) rest(ctx context.Context) error {
	// Mostly there is nothing to wait for.
	for range restTries {
		if w.tryRest(ctx) == nil {
			return nil
		}
		runtime.Gosched()
	}
	var seen string
	var since time.Time
	return tooltest.PollFor(ctx, restLimit, restStep, "the scaler rests", func(ctx context.Context) error {
		why := w.tryRest(ctx)
		if why == nil || !w.hangs() {
			since = time.Time{}
			return why
		}
		// What hangs cannot be told from what is about to go on but by waiting.
		if now := w.signature(); now != seen || since.IsZero() {
			seen, since = now, time.Now()
		}
		if time.Since(since) >= hungFor {
			return nil
		}
		return why
	})
}

// tryRest returns why the scaler does not rest.
func (w *world) tryRest(ctx context.Context) error {
	if err := errors.Join(w.swarm.broken(), w.replace(ctx)); err != nil {
		return tooltest.Final(err)
	}
	if w.swarm.at() != w.published {
		if err := w.publish(ctx); err != nil {
			return tooltest.Final(err)
		}
	}
	// The bus is asked last, because that is dear.
	if err := w.atRest(w.last); err != nil {
		return err
	}
	last, err := w.server.Last()
	if err != nil {
		return tooltest.Final(err)
	}
	isSame := func(stream string) bool { return last[stream] == w.last[stream] }
	if !isSame(catalogStream) || !isSame(signalsStream) || !isSame(wakesStream) || w.swarm.at() != w.published {
		w.last = last
		return errors.New("the bus has changed")
	}
	return nil
}

func (w *world) atRest(last map[string]uint64) error {
	for _, i := range w.instances {
		select {
		case <-i.ended:
			if i.gone.Err() == nil {
				return tooltest.Final(fmt.Errorf("the scaler has ended: %w", i.err))
			}
		default:
		}
		if i.gone.Err() != nil {
			return errors.New("a scaler was killed")
		}
		if !i.atRest(last[catalogStream], last[signalsStream], last[wakesStream]) {
			return fmt.Errorf("the scaler at port %d is at work", i.port)
		}
	}
	if n, _ := w.clock.AtWork(); n > 0 {
		return fmt.Errorf("%d timers are at work", n)
	}
	return nil
}

// advance moves the clock; what falls due on the way happens in order and at its time.
func (w *world) advance(ctx context.Context, d time.Duration) error {
	target := w.clock.Now().Add(d)
	for {
		if err := w.rest(ctx); err != nil {
			return err
		}
		next, ok := w.clock.Next()
		if !ok || next.After(target) {
			break
		}
		w.clock.Set(next)
	}
	w.clock.Set(target)
	return w.rest(ctx)
}

// await runs f, which waits for the scaler's answer; meanwhile the clock runs like real time,
// and the catalog follows the swarm.
func (w *world) await(ctx context.Context, f func(context.Context) error) error {
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	last := time.Now()
	ticker := time.NewTicker(realStep)
	defer ticker.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-ticker.C:
		}
		now := time.Now()
		w.clock.Set(w.clock.Now().Add(now.Sub(last)))
		last = now
		if err := w.replace(ctx); err != nil {
			return err
		}
		if w.swarm.at() != w.published {
			if err := w.publish(ctx); err != nil {
				return err
			}
		}
	}
}

// answeredUnread is how much of a body Go's server reads behind its answer, in bytes.
const answeredUnread = 256 << 10

// call asks a scaler. Headers that are nil are left out.
func (w *world) call(ctx context.Context, i *instance, method, path string, headers map[string]*string, body []byte) (status int, answer []byte, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(i.dead, cancel)()
	req, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("http://127.0.0.1:%d%s", i.port, path), bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+w.token())
	req.Header.Set("Content-Type", "application/json")
	for name, text := range headers {
		if text == nil {
			req.Header.Del(name)
			continue
		}
		req.Header.Set(name, strings.NewReplacer("@token", w.token(), "@other", otherToken).Replace(*text))
	}
	if len(body) > answeredUnread {
		// A refusal that does not wait for the body would be lost with the connection.
		req.Header.Set("Expect", "100-continue")
	}
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true, ExpectContinueTimeout: time.Minute}}).Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	answer, err = io.ReadAll(res.Body)
	return res.StatusCode, answer, err
}

// first is the instance that HTTP goes to.
func (w *world) first() (*instance, error) {
	for _, i := range w.instances {
		if i.place == 0 {
			return i, nil
		}
	}
	return nil, errors.New("no scaler runs")
}

// ask is call to the first instance, while the clock runs.
func (w *world) ask(ctx context.Context, method, path string, headers map[string]*string, body []byte) (status int, answer []byte, err error) {
	i, err := w.first()
	if err != nil {
		return 0, nil, err
	}
	err = w.await(ctx, func(ctx context.Context) (err error) {
		status, answer, err = w.call(ctx, i, method, path, headers, body)
		return err
	})
	return status, answer, err
}

// say says as a proxy what is open.
func (w *world) say(ctx context.Context) error {
	value, err := catalog.Encode(scaling.Open{Proxy: "proxy-1", At: w.clock.Now(), Connections: w.open})
	if err != nil {
		return err
	}
	_, err = w.proxy.Put(ctx, scaling.OpenPrefix+"proxy-1", value)
	return err
}

// keepSaying says it every ten seconds, while there is a service that may sleep.
func (w *world) keepSaying(ctx context.Context) error {
	w.stopProxy()
	if w.isSilent || !w.swarm.mayBeIdle() {
		return nil
	}
	if err := w.say(ctx); err != nil {
		return err
	}
	var again func()
	again = func() {
		_ = w.say(ctx) // it is said again
		w.stopProxy = w.own.AfterFunc(scaling.OpenEvery, again)
	}
	w.stopProxy = w.own.AfterFunc(scaling.OpenEvery, again)
	return nil
}

func (s *swarm) mayBeIdle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, svc := range s.services {
		labels := map[string]string{}
		for name, text := range svc.spec["Labels"].(map[string]any) {
			labels[name], _ = text.(string)
		}
		if scaling.MaySleep(catalog.Prefix, labels) {
			return true
		}
	}
	return false
}

// Alive is an error once a scaler has ended by itself, or has done what it may not.
func (w *world) Alive() error { return w.swarm.broken() }

// Log is the end of what the scalers have said.
func (w *world) Log() string {
	w.log.mu.Lock()
	defer w.log.mu.Unlock()
	return string(w.log.text)
}

var errNotHere = errors.New("there is no such thing in the cases of the scaler")

// Deploy is for other forms.
func (w *world) Deploy(context.Context, string, map[string]string, acceptance.Expect) error {
	return errNotHere
}

// Remove is for other forms.
func (w *world) Remove(context.Context, string) error { return errNotHere }

// Request is for other forms.
func (w *world) Request(context.Context, string, string, []byte) (int, []byte, error) {
	return 0, nil, errNotHere
}
