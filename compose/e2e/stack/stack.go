// Package stack deploys Waggle in a swarm of its own, as a user does, and lets
// tests and measurements change services there and watch what comes of it.
package stack

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/lab"
	"github.com/wagglehq/waggle/compose/e2e/report"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// Manager and Worker are the two nodes; a stack that is Alone has no worker.
const (
	Manager = "m1"
	Worker  = "w1"
)

// Options say what to deploy.
type Options struct {
	// Images and Tag are those of 'make images'; waggle and dev if empty.
	Images, Tag string
	// Managers and Workers count the nodes, 1 of each if 0: m1, m2 and w1, w2 and so on. Alone leaves the workers out.
	Managers, Workers int
	Alone             bool
	// NATS runs a server of its own on each manager, all of which keep each bucket,
	// instead of that of the listener.
	NATS bool
	// Listeners is how many listeners there are, 1 if 0.
	Listeners int
	// Lean leaves out what is not needed for routes: monitor, Alertmanager and scaler.
	Lean bool
	// Resolver has containers ask Here, at port 53, for names that Docker does not know.
	Resolver bool
	// Prepare, if not nil, is called when the nodes are there and nothing is deployed yet, and
	// says what else compose/deploy is given.
	Prepare func(context.Context, *Stack) (Extra, error)
	// Log receives one line per step, and may be nil.
	Log io.Writer
}

// Extra is what compose/deploy is given besides: variables as NAME=text, and stack files.
type Extra struct{ Env, Files []string }

// Stack is a deployed Waggle.
type Stack struct {
	*Engine
	lab *lab.Lab
	// manager is the node whose engine is asked.
	manager  string
	managers []string
	options  Options
	demo     string
	// root is the repository.
	root string
	// keys are the components' secrets on the bus, tokens what they ask for over HTTP.
	keys, tokens map[string]string
	// http asks ports of the nodes, each time on a new connection.
	http *http.Client
	slow *atomic.Int64
}

// Deploy starts a swarm, of a manager and a worker if nothing else is asked for, and
// Waggle in it. When it returns every task is healthy. On an error nothing is left behind.
func Deploy(ctx context.Context, o Options) (*Stack, error) {
	o.Images, o.Tag = cmp.Or(o.Images, "waggle"), cmp.Or(o.Tag, "dev")
	o.Managers, o.Workers, o.Listeners = cmp.Or(o.Managers, 1), cmp.Or(o.Workers, 1), cmp.Or(o.Listeners, 1)
	if o.Alone {
		o.Workers = 0
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	var images []string
	for _, name := range o.names() {
		images = append(images, o.image(name))
	}
	if err := present(ctx, images); err != nil {
		return nil, err
	}
	l, err := lab.Start(ctx, lab.Options{Managers: o.Managers, Workers: o.Workers, Images: images, Resolver: o.Resolver, Log: o.Log})
	if err != nil {
		return nil, err
	}
	s := &Stack{
		lab: l, manager: Manager, options: o, Engine: newEngine(l.Node(Manager).Host()), demo: o.image("demo"), keys: map[string]string{}, tokens: map[string]string{},
		slow: &atomic.Int64{}, http: &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: l.DialContext, DisableKeepAlives: true}},
	}
	for _, node := range l.Nodes()[:o.Managers] {
		s.managers = append(s.managers, node.Name())
	}
	if err := s.deploy(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// full names the registry that Docker means by a prefix without one; images of this
// machine are often called so, and compose/deploy wants it said.
func full(prefix string) string {
	if host, _, _ := strings.Cut(prefix, "/"); strings.ContainsAny(host, ".:") || host == "localhost" {
		return prefix
	}
	return "docker.io/" + prefix
}

// names are those of the images.
func (o Options) names() []string {
	if o.Lean {
		return []string{"listener", "proxy", "demo"}
	}
	return []string{"listener", "proxy", "monitor", "scaler", "alertmanager", "demo"}
}

// skipPorts has compose/init not look whether ports are free: those of the machine are not those
// of the nodes.
const skipPorts = "WAGGLE_INIT_FLAGS=--skip-ports"

func (o Options) image(name string) string { return fmt.Sprintf("%s/%s:%s", o.Images, name, o.Tag) }

func (s *Stack) deploy(ctx context.Context) error {
	var err error
	if s.root, err = root(); err != nil {
		return err
	}
	if err := s.secrets(ctx); err != nil {
		return err
	}
	further, err := s.further()
	if err != nil {
		return err
	}
	extra := Extra{Env: []string{
		"WAGGLE_IMAGES=" + full(s.options.Images), "WAGGLE_TAG=" + s.options.Tag,
		"ALERTMANAGER_IMAGE=" + s.options.image("alertmanager"), skipPorts,
	}, Files: []string{further}}
	if s.options.NATS {
		if err := s.startNATS(ctx); err != nil {
			return err
		}
		extra.Env = append(extra.Env, "NATS_URL="+strings.Join(s.servers(), ","))
	}
	if s.options.Prepare != nil {
		more, err := s.options.Prepare(ctx, s)
		if err != nil {
			return err
		}
		extra.Env, extra.Files = append(extra.Env, more.Env...), append(extra.Files, more.Files...)
	}
	args := []string{"--resolve-image", "never"}
	for _, file := range extra.Files {
		args = append(args, "-c", file)
	}
	return s.deployed(ctx, extra.Env, args...)
}

// Redeploy deploys as the last time, by what compose/deploy remembers, and waits until all runs.
func (s *Stack) Redeploy(ctx context.Context) error { return s.deployed(ctx, []string{skipPorts}) }

// Add deploys further stack files of compose/, with variables, and waits until all is healthy.
// What was deployed before stays as it is.
func (s *Stack) Add(ctx context.Context, env []string, files ...string) error {
	args := []string{"--resolve-image", "never"}
	for _, f := range files {
		args = append(args, "-c", s.Script(f))
	}
	return s.deployed(ctx, append([]string{skipPorts}, env...), args...)
}

// deployed calls compose/deploy, and waits until all runs.
func (s *Stack) deployed(ctx context.Context, env []string, args ...string) error {
	if _, err := s.script(ctx, env, "deploy", args...); err != nil {
		return err
	}
	if err := s.Ready(ctx); err != nil {
		// What keeps tasks from running is gone with the swarm.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
		defer cancel()
		tasks, failed := s.Docker(ctx, "stack", "ps", "--no-trunc", "--format", "{{.Name}} {{.CurrentState}} {{.Error}}", "waggle")
		return fmt.Errorf("%w\n%s", errors.Join(err, failed), tasks)
	}
	return nil
}

// script runs one of the scripts of compose/ against the first manager, and returns what it said.
func (s *Stack) script(ctx context.Context, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, s.Script(name), args...)
	cmd.Env = append(append(os.Environ(), "DOCKER_HOST="+s.lab.Node(Manager).Host()), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("compose/%s: %w:\n%s", name, err, out)
	}
	return string(out), err
}

// Uninstall takes Waggle out of the swarm, and leaves the swarm as it is. Services that join
// its network must be gone.
func (s *Stack) Uninstall(ctx context.Context) (said string, err error) {
	return s.script(ctx, nil, "uninstall", "--yes")
}

// further writes the second stack file, as an operator does who has a NATS of his own.
func (s *Stack) further() (string, error) {
	listener := fmt.Sprintf("{deploy: {replicas: %d}}", s.options.Listeners)
	if s.options.NATS {
		listener = fmt.Sprintf("{environment: {NATS_REPLICAS: %d}, deploy: {replicas: %d}}", s.options.Managers, s.options.Listeners)
	}
	text := "version: \"3.9\"\nservices:\n  listener: " + listener + "\n"
	if s.options.Lean {
		for _, name := range []string{"monitor", "alertmanager", "scaler"} {
			text += "  " + name + ": {deploy: {replicas: 0}}\n"
		}
	}
	file := s.lab.Node(Manager).Dir("further.yml")
	return file, os.WriteFile(file, []byte(text), 0o600)
}

// secrets makes those of the bus and the tokens, which compose/init takes as they are, so
// that tests know them too.
func (s *Stack) secrets(ctx context.Context) error {
	for _, component := range []string{"listener", "proxy", "monitor", "scaler"} {
		s.keys[component] = rand.Text() + rand.Text()
		if err := s.Secret(ctx, "waggle_nats_"+component, s.keys[component]); err != nil {
			return err
		}
	}
	for _, component := range []string{"proxy", "scaler"} {
		s.tokens[component] = rand.Text()
		if err := s.Secret(ctx, "waggle_token_"+component, s.tokens[component]); err != nil {
			return err
		}
	}
	return nil
}

// Secret makes a secret of Swarm.
func (s *Stack) Secret(ctx context.Context, name, text string) error {
	file := s.lab.Node(Manager).Dir("secret")
	defer func() { _ = os.Remove(file) }()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	_, err := s.Docker(ctx, "secret", "create", "--label", "waggle=secret", name, file)
	return err
}

// Script is the path of one of the scripts of compose/, for whoever runs in the repository.
func (s *Stack) Script(name string) string { return filepath.Join(s.root, "compose", name) }

// root finds the repository from within it.
func root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "compose", "stack.yml")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("stack: this is not run inside the repository")
		}
		dir = parent
	}
}

// present says which images 'make images' has still to build.
func present(ctx context.Context, images []string) error {
	var absent []string
	for _, image := range images {
		if err := exec.CommandContext(ctx, "docker", "image", "inspect", image).Run(); err != nil {
			absent = append(absent, image)
		}
	}
	if len(absent) > 0 {
		return fmt.Errorf("stack: the machine's engine has no %s: run 'make images' first", strings.Join(absent, ", "))
	}
	return nil
}

// Close removes everything.
func (s *Stack) Close() error { return s.lab.Close() }

// own is how many services Waggle itself has.
const own = 5

// Ready waits until every service of Waggle, and of further stack files, has its tasks.
func (s *Stack) Ready(ctx context.Context) error {
	return tooltest.Poll(ctx, tooltest.Slowly, "all tasks of Waggle", func(context.Context) error {
		out, err := s.Docker(ctx, "service", "ls", "--filter", "label=com.docker.stack.namespace=waggle", "--format", "{{.Name}} {{.Replicas}}")
		if err != nil {
			return err
		}
		lines := strings.Fields(out)
		for i := 1; i < len(lines); i += 2 {
			if have, want, _ := strings.Cut(lines[i], "/"); have != want || want == "0" && !s.options.Lean {
				return errors.New(strings.ReplaceAll(out, "\n", ", "))
			}
		}
		if len(lines) < 2*own {
			return errors.New(strings.ReplaceAll(out, "\n", ", "))
		}
		return nil
	})
}

// Docker runs the docker command on the manager.
func (s *Stack) Docker(ctx context.Context, args ...string) (string, error) {
	return s.lab.Node(s.manager).Docker(ctx, args...)
}

// Via is the same stack, asked by way of another manager's engine.
func (s *Stack) Via(manager string) *Stack {
	other := *s
	other.manager, other.Engine = manager, newEngine(s.lab.Node(manager).Host())
	return &other
}

// Managers and Nodes are the names of the managers and of all nodes.
func (s *Stack) Managers() []string { return slices.Clone(s.managers) }

// Nodes are managers first.
func (s *Stack) Nodes() []string {
	var names []string
	for _, node := range s.lab.Nodes() {
		names = append(names, node.Name())
	}
	return names
}

// Node is one of the nodes, to do something to it.
func (s *Stack) Node(name string) *lab.Node { return s.lab.Node(name) }

// Hosts are the addresses of the engines for a Docker client.
func (s *Stack) Hosts() []string {
	var hosts []string
	for _, node := range s.lab.Nodes() {
		hosts = append(hosts, node.Host())
	}
	return hosts
}

// Hold says where the engines are, and leaves all as it is until the context ends.
func (s *Stack) Hold(ctx context.Context, log io.Writer) {
	fmt.Fprintf(log, "the engines answer at %s\n", strings.Join(s.Hosts(), " and "))
	<-ctx.Done()
}

// Logs returns the end of what a service of Waggle said.
func (s *Stack) Logs(ctx context.Context, service string) string {
	out, err := exec.CommandContext(ctx, "docker", "-H", s.lab.Node(s.manager).Host(), "service", "logs", "--raw", "--tail", "60", service).CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%s%v", out, err)
	}
	return string(out)
}

// Said is all that the running containers of a service have said. Their engines are asked,
// since Swarm waits for ever for the logs of a task that is gone.
func (s *Stack) Said(ctx context.Context, service string) (string, error) {
	places, err := s.Places(ctx, service, s.Nodes()...)
	if err != nil {
		return "", err
	}
	var all strings.Builder
	for _, p := range places {
		out, err := exec.CommandContext(ctx, "docker", "-H", s.lab.Node(p.Node).Host(), "logs", p.Container).CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("logs of %s: %w: %s", service, err, out)
		}
		all.Write(out)
	}
	return all.String(), nil
}

// Addr is the address of a node, at whose port 80 a proxy answers.
func (s *Stack) Addr(node string) string { return s.lab.Node(node).Addr() }

// Demo is a service that answers with its name, as fast as it is asked.
type Demo struct {
	Name     string
	Labels   map[string]string
	Replicas uint64
	// Node is where its tasks must run, anywhere if empty; Away are nodes where they
	// must not.
	Node string
	Away []string
	// Workers has its tasks run on workers alone, and PerNode is how many of them a node
	// gets at most, any number if 0.
	Workers bool
	PerNode uint64
	// Order is that of an update, "stop-first" if empty.
	Order string
	// Unchecked leaves the image's health check out, so that a task runs as soon as
	// its process does.
	Unchecked bool
	// Start is how long a task takes from the start of its process until it runs.
	Start time.Duration
	// Named has each task answer with the service's name and its number, not its
	// container's.
	Named bool
	// Args are those of the demo application.
	Args []string
	// Image is another one's instead of the demo application's, and Aliases are further
	// names on the network waggle.
	Image   string
	Aliases []string
}

// Labels ask for a route to the demo application.
func Labels(path string, more ...string) map[string]string {
	out := map[string]string{"com.df.notify": "true", "com.df.servicePath": path, "com.df.port": "8080"}
	for i := 0; i < len(more); i += 2 {
		out["com.df."+more[i]] = more[i+1]
	}
	return out
}

// Create creates a service of the demo application.
func (s *Stack) Create(ctx context.Context, d Demo) error {
	if d.Args == nil && d.Image == "" {
		d.Args = []string{"-concurrency", "100", "-service-time", "1ms"}
	}
	container := object{"Image": cmp.Or(d.Image, s.demo), "Args": d.Args}
	if d.Unchecked {
		container["Healthcheck"] = object{"Test": []string{"NONE"}}
	}
	if d.Start > 0 {
		// The engine asks for the first time after the interval.
		container["Healthcheck"] = object{"Test": []string{"CMD", "/waggle-demo", "-healthcheck"}, "Interval": d.Start}
	}
	if d.Named {
		container["Hostname"] = "{{.Service.Name}}.{{.Task.Slot}}"
	}
	var constraints []string
	if d.Node != "" {
		constraints = []string{"node.hostname==" + d.Node}
	}
	for _, node := range d.Away {
		constraints = append(constraints, "node.hostname!="+node)
	}
	if d.Workers {
		constraints = append(constraints, "node.role==worker")
	}
	return s.post(ctx, "/services/create", object{
		"Name": d.Name, "Labels": d.Labels,
		"TaskTemplate": object{
			"ContainerSpec": container, "Placement": object{"Constraints": constraints, "MaxReplicas": d.PerNode},
			"Networks":      []object{{"Target": "waggle", "Aliases": d.Aliases}},
			"RestartPolicy": object{"Condition": "any", "Delay": 500 * time.Millisecond},
		},
		"Mode":         object{"Replicated": object{"Replicas": d.Replicas}},
		"UpdateConfig": object{"Parallelism": 1, "Order": cmp.Or(d.Order, "stop-first")},
		"EndpointSpec": object{"Mode": "dnsrr"},
	}, nil)
}

// Stranger runs the demo application on a node in a container that belongs to no service and
// has a name on the network waggle, and returns what removes it.
func (s *Stack) Stranger(ctx context.Context, node, alias string) (remove func(context.Context) error, err error) {
	const name = "stranger"
	engine := s.lab.Node(node)
	_, err = engine.Docker(ctx, "run", "--detach", "--name", name, "--hostname", name, "--no-healthcheck",
		"--network", "waggle", "--network-alias", alias, s.demo)
	return func(ctx context.Context) error {
		_, err := engine.Docker(ctx, "rm", "--force", name)
		return err
	}, err
}

// Unimage takes the name off a service's image on a node and ends its task there, so that the
// next one finds no image to start, and returns what gives the name back.
func (s *Stack) Unimage(ctx context.Context, node, service string) (back func(context.Context) error, err error) {
	container, err := s.Container(ctx, node, service)
	if err != nil {
		return nil, err
	}
	engine := s.lab.Node(node)
	of, err := engine.Docker(ctx, "inspect", "--format", "{{.Image}} {{.Config.Image}}", container)
	if err != nil {
		return nil, err
	}
	id, name, _ := strings.Cut(of, " ")
	if _, err := engine.Docker(ctx, "rmi", "--force", name); err != nil {
		return nil, err
	}
	_, err = engine.Docker(ctx, "kill", container)
	return func(ctx context.Context) error {
		_, err := engine.Docker(ctx, "tag", id, name)
		return err
	}, err
}

// Relabel replaces the labels of a service, and Scale its number of replicas.
func (s *Stack) Relabel(ctx context.Context, name string, labels map[string]string) error {
	return s.Update(ctx, name, func(spec map[string]any) { spec["Labels"] = labels })
}

// Scale asks for another number of replicas.
func (s *Stack) Scale(ctx context.Context, name string, replicas uint64) error {
	return s.Update(ctx, name, func(spec map[string]any) { spec["Mode"] = object{"Replicated": object{"Replicas": replicas}} })
}

// Get asks a node's proxy, on a new connection, and returns status and body.
func (s *Stack) Get(ctx context.Context, node, path string) (int, string, error) {
	return ask(ctx, s.http, http.MethodGet, "http://"+node+path, "")
}

// Client asks ports of the nodes and keeps so many connections, for whoever asks more
// often than new ones are worth.
func (s *Stack) Client(connections int) *http.Client {
	return &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: s.lab.DialContext, MaxIdleConnsPerHost: connections}}
}

// Neighbour is a client that asks tasks themselves, from where the proxy of the
// manager stands. It gives up soon, because a connection to a task that is not there yet
// hangs, and goes on hanging for a second when it is.
func (s *Stack) Neighbour(ctx context.Context) (*http.Client, error) {
	dial, err := s.Within(ctx, Manager, "waggle_proxy")
	if err != nil {
		return nil, err
	}
	return &http.Client{Timeout: 200 * time.Millisecond, Transport: &http.Transport{DialContext: dial}}, nil
}

// Status asks by one of these clients, for the status alone.
func (s *Stack) Status(ctx context.Context, client *http.Client, url string) (int, error) {
	status, _, err := ask(ctx, client, http.MethodGet, url, "")
	return status, err
}

// NodeID is what Swarm calls a node.
func (s *Stack) NodeID(ctx context.Context, node string) (string, error) {
	return s.lab.Node(node).Docker(ctx, "info", "--format", "{{.Swarm.NodeID}}")
}

func ask(ctx context.Context, client *http.Client, method, url, token string) (int, string, error) {
	a, err := tooltest.Ask(ctx, tooltest.Request{Method: method, URL: url, Token: token, Client: client})
	return a.Status, strings.TrimSpace(string(a.Body)), err
}

// Ask is Get with headers, of which Host is one, and returns the whole answer, whose
// body is closed.
func (s *Stack) Ask(ctx context.Context, node, path string, header http.Header) (*http.Response, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+node+path, nil)
	if err != nil {
		return nil, "", err
	}
	if header != nil {
		req.Header, req.Host = header, header.Get("Host")
	}
	res, err := s.http.Transport.RoundTrip(req)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res, string(body), err
}

// Answer returns the name of the replica that answers at a path, an error if none does.
func (s *Stack) Answer(ctx context.Context, node, path string) (string, error) {
	status, body, err := s.Get(ctx, node, path)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%d %s", status, body)
	}
	// "hello from NAME at PATH, ..."
	fields := strings.Fields(body)
	if err == nil && len(fields) < 3 {
		err = fmt.Errorf("answered with %q", body)
	}
	if err != nil {
		return "", err
	}
	return fields[2], nil
}

// slow is how long a request of Since may take without being counted.
const slow = 250 * time.Millisecond

// Slow returns how many requests of Since took longer than 250 ms so far.
func (s *Stack) Slow() int { return int(s.slow.Load()) }

// Since sends a request to a node's proxy every 5 ms, each on a connection of its own
// and whether or not those before are answered, and returns when an answer first
// satisfied.
func (s *Stack) Since(ctx context.Context, node, path string, satisfies func(status int) bool) (time.Time, error) {
	asking, stop := context.WithCancel(ctx)
	var wait sync.WaitGroup
	defer wait.Wait()
	defer stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	found := make(chan time.Time, 1)
	var mu sync.Mutex // last is every request's
	var last string
	places := make(chan struct{}, 100)
	for {
		select {
		case places <- struct{}{}:
			wait.Go(func() {
				defer func() { <-places }()
				began := time.Now()
				status, body, err := s.Get(asking, node, path)
				now := time.Now()
				if now.Sub(began) > slow {
					s.slow.Add(1)
				}
				if err == nil && satisfies(status) {
					select {
					case found <- now:
					default:
					}
				}
				mu.Lock()
				defer mu.Unlock()
				last = fmt.Sprintf("%d %q %v", status, body, err)
			})
		default:
			// So many hang that one more tells nothing.
		}
		select {
		case at := <-found:
			return at, nil
		case <-ctx.Done():
			mu.Lock()
			defer mu.Unlock()
			return time.Time{}, fmt.Errorf("%s on %s: last answered with %s: %w", path, node, last, ctx.Err())
		case <-tick.C:
		}
	}
}

// Answered and Gone are what Since waits for.
func Answered(status int) bool { return status == http.StatusOK }

// Gone says that no service is behind the path.
func Gone(status int) bool {
	return status == http.StatusServiceUnavailable || status == http.StatusNotFound
}

// Container returns the running container of a service's task on a node.
func (s *Stack) Container(ctx context.Context, node, service string) (string, error) {
	id, err := s.lab.Node(node).Docker(ctx, "ps", "-q", "--no-trunc", "--filter", "label=com.docker.swarm.service.name="+service, "--filter", "status=running")
	if err == nil && (id == "" || strings.Contains(id, "\n")) {
		err = fmt.Errorf("%s on %s: want one container, there are: %q", service, node, id)
	}
	return id, err
}

// Home returns the node on which the one task of a service runs.
func (s *Stack) Home(ctx context.Context, service string) (string, error) {
	for _, node := range s.lab.Nodes() {
		if _, err := s.Container(ctx, node.Name(), service); err == nil {
			return node.Name(), nil
		}
	}
	return "", fmt.Errorf("%s runs on no node", service)
}

// Inside asks a port of a task that is not published, and decodes its answer into
// v, which may be a *string for the text.
func (s *Stack) Inside(ctx context.Context, node, service string, port int, path string, v any) error {
	return s.inside(ctx, node, service, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", port, path), "", v)
}

// Within returns how to connect to what a task listens on and does not publish.
func (s *Stack) Within(ctx context.Context, node, service string) (func(ctx context.Context, network, address string) (net.Conn, error), error) {
	container, err := s.Container(ctx, node, service)
	if err != nil {
		return nil, err
	}
	return s.lab.Inside(ctx, node, container)
}

func (s *Stack) inside(ctx context.Context, node, service, method, url, token string, v any) error {
	dial, err := s.Within(ctx, node, service)
	if err != nil {
		return err
	}
	client := &http.Client{Timeout: 40 * time.Second, Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	return tooltest.Get(ctx, tooltest.Request{Method: method, URL: url, Token: token, Client: client}, v)
}

// Token is what the scaler and, if "proxy" is named, what the proxy asks for before it
// changes something. They differ.
func (s *Stack) Token(component string) string { return s.tokens[component] }

// AskScaler asks for a step by hand, with a token if it is not empty, and returns the answer.
func (s *Stack) AskScaler(ctx context.Context, service, direction, token string) (string, error) {
	node, err := s.Home(ctx, "waggle_scaler")
	if err != nil {
		return "", err
	}
	var text string
	err = s.inside(ctx, node, "waggle_scaler", http.MethodPost, "http://127.0.0.1:8080/v1/scale-service?service="+service+"&scale="+direction, token, &text)
	return text, err
}

// Listener is a client that asks the listener itself, as long as it stays where it is.
func (s *Stack) Listener(ctx context.Context) (*http.Client, error) {
	node, err := s.Home(ctx, "waggle_listener")
	if err != nil {
		return nil, err
	}
	dial, err := s.Within(ctx, node, "waggle_listener")
	return &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}, err
}

// Verdicts are what the components say of a service, as the listener joins it.
func (s *Stack) Verdicts(ctx context.Context, listener *http.Client, service string) ([]catalog.Status, error) {
	var answer struct{ Statuses []catalog.Status }
	err := tooltest.Get(ctx, tooltest.Request{URL: "http://127.0.0.1:8080/v1/services/" + service, Client: listener}, &answer)
	return answer.Statuses, err
}

// Metric sums the samples of a metric of a service on a node.
func (s *Stack) Metric(ctx context.Context, node, service, metric string) (float64, error) {
	var text string
	if err := s.Inside(ctx, node, service, 8080, "/metrics", &text); err != nil {
		return 0, err
	}
	return report.Metric(text, metric)
}

// Reloads returns how often the HAProxys of all nodes were reloaded.
func (s *Stack) Reloads(ctx context.Context) (int, error) {
	sum := 0.0
	for _, node := range s.lab.Nodes() {
		n, err := s.Metric(ctx, node.Name(), "waggle_proxy", "waggle_proxy_reloads_total")
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return int(sum), nil
}
