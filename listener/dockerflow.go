package listener

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/wagglehq/waggle/listener/internal/dockerflow"
	"github.com/wagglehq/waggle/listener/internal/notify"
	"github.com/wagglehq/waggle/listener/internal/publish"
	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/docker"
	"github.com/wagglehq/waggle/pkg/reconcile"
)

// DockerFlow are the settings of Docker Flow Swarm Listener, under their old names.
type DockerFlow struct {
	// DockerHost is another name of Config.DockerHost.
	DockerHost string
	// Label is the one by which services opt in for receivers and the old endpoints.
	Label string
	// The URLs of receivers. Those with the older spelling come before the others, and
	// Notification stands for both lists of services where there is nothing else.
	CreateService, RemoveService, CreateNode, RemoveNode urls
	OldCreateService, OldRemoveService, Notification     urls
	CreateMethod, RemoveMethod                           string
	// SecretsDir is where further URLs lie.
	SecretsDir string
	// Retries may fail before a message counts as an error; RetryInterval is in seconds.
	Retries, RetryInterval int
	// NodeInfo, TaskAddress, Prefix and Immediately are those of notify.Rules.
	NodeInfo, TaskAddress, Immediately bool
	Prefix                             string
	// Companions is where the endpoints are offered instead of on the admin port.
	Companions app.Companions
}

// urls is a list of URLs, whose queries and passwords are not shown.
type urls string

func (u urls) String() string { return notify.Shown(string(u)) }

// Set is for the flag package.
func (u *urls) Set(text string) error {
	*u = urls(text)
	return nil
}

func (d *DockerFlow) flags(fs *flag.FlagSet) {
	list := func(to *urls, name, usage string) { fs.Var(to, name, usage) }
	fs.StringVar(&d.DockerHost, "df-docker-host", "", "Docker Flow's name of docker-host, which it replaces if it is set")
	fs.StringVar(&d.Label, "df-notify-label", catalog.Notify, "label below com.df. by which services opt in for Docker Flow's receivers and endpoints; =true behind it may be left out")
	list(&d.CreateService, "df-notify-create-service-url", "URLs, separated by commas, that are told of each service that opted in, and of its changes; those in the secret df_notify_create_service_url come on top")
	list(&d.RemoveService, "df-notify-remove-service-url", "URLs that are told of each service that has gone; those in the secret df_notify_remove_service_url come on top")
	list(&d.CreateNode, "df-notify-create-node-url", "URLs that are told of each node, and of its changes; those in the secret df_notify_create_node_url come on top")
	list(&d.RemoveNode, "df-notify-remove-node-url", "URLs that are told of each node that is down or gone; those in the secret df_notify_remove_node_url come on top")
	list(&d.OldCreateService, "df-notif-create-service-url", "older name of df-notify-create-service-url, which it replaces if it is set")
	list(&d.OldRemoveService, "df-notif-remove-service-url", "older name of df-notify-remove-service-url, which it replaces if it is set")
	list(&d.Notification, "df-notification-url", "URLs for creates and removes of services where their own settings are empty")
	fs.StringVar(&d.CreateMethod, "df-notify-create-service-method", "GET", "methods for the URLs of df-notify-create-service-url, separated by commas, by position; the last one is for all that follow")
	fs.StringVar(&d.RemoveMethod, "df-notify-remove-service-method", "GET", "methods for the URLs of df-notify-remove-service-url")
	fs.StringVar(&d.SecretsDir, "secrets-dir", "/run/secrets", "folder of the secrets df_notify_*")
	fs.IntVar(&d.Retries, "df-retry", 50, "how many retries of a message may fail before docker_flow_error counts it; trying goes on")
	fs.IntVar(&d.RetryInterval, "df-retry-interval", 5, "seconds before the first retry; the pauses grow up to 30 s; 0 is 1")
	fs.BoolVar(&d.NodeInfo, "df-include-node-ip-info", false, "tell of nodes and addresses of the tasks of services with com.df.scrapeNetwork (nodeInfo), and of such services when their tasks run")
	fs.BoolVar(&d.TaskAddress, "df-node-ip-info-includes-task-address", true, "false: addresses in nodeInfo are empty")
	fs.StringVar(&d.Prefix, "df-service-name-prefix", "", "what stands before each name that receivers and Docker Flow's endpoints are told, with _ between")
	fs.BoolVar(&d.Immediately, "df-notify-create-service-immediately", false, "tell of services with com.df.scrapeNetwork before their tasks run, too, without nodeInfo")
	fs.StringVar(&d.Companions.Address, "docker-flow-address", "", "where Docker Flow Swarm Listener's endpoints are offered, and nothing else, instead of on the admin port: a port (:8081), an address with one, or a network of Docker with one (monitor:8080); who asks sends the read-token, or stands in docker-flow-from")
	fs.StringVar(&d.Companions.From, "docker-flow-from", "", "addresses and networks, separated by commas, that need no token at docker-flow-address")
}

// rules are those of what is told.
func (d DockerFlow) rules() notify.Rules {
	return notify.Rules{
		Label: cmp.Or(strings.TrimSuffix(d.Label, "=true"), catalog.Notify), Prefix: d.Prefix, NodeInfo: d.NodeInfo, Addresses: d.TaskAddress, Immediately: d.Immediately,
	}
}

func (d DockerFlow) check() error {
	var errs []error
	if d.Retries < 0 {
		errs = append(errs, fmt.Errorf("df-retry=%d: want 0 or more", d.Retries))
	}
	if d.RetryInterval < 0 {
		errs = append(errs, fmt.Errorf("df-retry-interval=%d: want seconds, 0 or more", d.RetryInterval))
	}
	if label := d.rules().Label; !strings.HasPrefix(label, catalog.Prefix) || label == catalog.Prefix || strings.Contains(label, "=") {
		errs = append(errs, fmt.Errorf("df-notify-label=%q: want a label that begins with %s, such as %sDev", d.Label, catalog.Prefix, catalog.Notify))
	}
	if _, err := d.Companions.Trusted(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// companions answers Docker Flow's paths at an address of their own, to those who send a
// token or stand in the networks that need none; nil if they are on the admin port.
func (e *edge) companions(sh app.Shell) (func(context.Context) error, error) {
	c := e.settings.Companions
	if c.Address == "" {
		return nil, nil
	}
	from, err := c.Trusted()
	if err != nil {
		return nil, err
	}
	if sh.Reads.First() == "" && len(from) == 0 {
		return nil, errors.New("docker-flow-address: want a read-token or docker-flow-from beside it, or nobody could ask there")
	}
	router := chi.NewRouter()
	router.Use(app.PingOr(app.RequireTokenUnless(sh.Reads, from)))
	e.api().Routes(router)
	return func(ctx context.Context) error {
		if err := sh.ServeOnNetwork(ctx, c.Address, router); err != nil {
			return fmt.Errorf("docker-flow-address: %w", err)
		}
		return nil
	}, nil
}

// receivers are those of the settings and of the secrets.
func (d DockerFlow) receivers() ([]notify.Receiver, error) {
	first := func(name string, text, old urls) (string, string) {
		switch {
		case old != "":
			return strings.Replace(app.Variable(name), "NOTIFY", "NOTIF", 1), string(old)
		case text == "" && d.Notification != "":
			return "DF_NOTIFICATION_URL", string(d.Notification)
		}
		return app.Variable(name), string(text)
	}
	lists := []notify.List{
		{Kind: notify.Service, Methods: d.CreateMethod, Secret: "df_notify_create_service_url"},
		{Kind: notify.Service, Methods: d.RemoveMethod, Secret: "df_notify_remove_service_url", Removes: true},
		{Kind: notify.Node, Secret: "df_notify_create_node_url", Variable: "DF_NOTIFY_CREATE_NODE_URL", URLs: string(d.CreateNode)},
		{Kind: notify.Node, Secret: "df_notify_remove_node_url", Variable: "DF_NOTIFY_REMOVE_NODE_URL", URLs: string(d.RemoveNode), Removes: true},
	}
	lists[0].Variable, lists[0].URLs = first("df-notify-create-service-url", d.CreateService, d.OldCreateService)
	lists[1].Variable, lists[1].URLs = first("df-notify-remove-service-url", d.RemoveService, d.OldRemoveService)
	for i := range lists {
		text, _, err := app.ReadSecret(d.SecretsDir, lists[i].Secret)
		if err != nil {
			return nil, err
		}
		lists[i].SecretURLs = strings.TrimSpace(text)
	}
	return notify.Receivers(lists...)
}

// edge is what those who come from Docker Flow are told.
type edge struct {
	settings  DockerFlow
	receivers []notify.Receiver
	rules     notify.Rules
	metrics   *notify.Metrics
	poke      *reconcile.Poke
	// The rest is there once the bus is.
	publisher *publish.Publisher
	reader    *bus.Catalog
	writer    *bus.CatalogWriter
	store     *bus.Mirror
	notifier  *notify.Notifier
	sender    *notify.Sender
	// isFresh says that the reader has come as far as the first list of this process, and isLed
	// that another listener was seen to write, as led tells.
	isFresh, isLed atomic.Bool
	led            func() bool
	opened         atomic.Bool
	// found are services whose tasks are waited for, by ID. They belong to the pass.
	found map[string]found
}

// newEdge reads the settings, which may be wrong.
func newEdge(d DockerFlow, sh app.Shell) (*edge, error) {
	receivers, err := d.receivers()
	if err != nil {
		return nil, err
	}
	e := &edge{settings: d, receivers: receivers, rules: d.rules(), poke: reconcile.NewPoke(), sender: notify.NewSender(), found: map[string]found{}}
	e.metrics = notify.NewMetrics(sh.Registry, e.count)
	return e, nil
}

// connect gives it the bus. The texts of secret labels are read only if there are receivers
// to tell them to. led reports whether somebody is known to write.
func (e *edge) connect(b *bus.Bus, p *publish.Publisher, reader *bus.Catalog, writer *bus.CatalogWriter, led func() bool, sh app.Shell) {
	e.publisher, e.reader, e.writer, e.led = p, reader, writer, led
	if len(e.receivers) > 0 {
		e.reader = b.CatalogWithSecrets(e.poke.Now)
	}
	e.store = b.Bucket(bus.NotifiedBucket).Mirror(">", e.poke.Now)
	pause := time.Duration(max(e.settings.RetryInterval, 1)) * time.Second
	e.notifier = notify.New(notify.Options{
		Receivers: e.receivers, Names: e.names, Store: e.store, Send: e.sender.Send, Retries: e.settings.Retries, Pause: pause,
		Wake: e.poke.Now, WakeIn: e.poke.After, Metrics: e.metrics, Log: sh.Log,
	})
}

// follows reports whether a service's tasks are needed although it did not opt in otherwise.
func (e *edge) follows(svc catalog.Service) bool {
	return e.rules.Label != catalog.Notify && e.rules.OptedIn(svc)
}

const (
	// catchUp is how soon to ask again whether the reader has come as far as the writer,
	// lookAgain whether the tasks of a service were looked at since it changed.
	catchUp, lookAgain = 10 * time.Millisecond, 100 * time.Millisecond
	// settling is how long after a change is on the bus whoever looks at tasks may not know
	// of it yet.
	settling = 20 * time.Millisecond
)

// names are what there is to tell, if this listener is the one to do it.
func (e *edge) names() (map[notify.Kind]map[string]notify.Name, bool) {
	if e.publisher == nil || !e.publisher.State().Leads {
		return nil, false
	}
	looked := e.publisher.Looked()
	written, _ := e.writer.SeenOf()
	snapshot, ok := e.snapshot()
	if !ok {
		return nil, false
	}
	if written.Revision.Sequence > snapshot.Revision.Sequence {
		e.poke.After(catchUp)
		return nil, false
	}
	rules := e.rules
	rules.Fresh = func(id string) bool {
		if last, ok := e.found[id]; !ok || last.revision != snapshot.Revisions[id] {
			e.found[id] = found{snapshot.Revisions[id], time.Now()}
		}
		isFresh := looked.After(e.found[id].at.Add(settling))
		if !isFresh {
			e.poke.After(lookAgain)
		}
		return isFresh
	}
	for id := range e.found {
		if _, ok := snapshot.Services[id]; !ok {
			delete(e.found, id)
		}
	}
	return map[notify.Kind]map[string]notify.Name{
		notify.Service: rules.Services(snapshot), notify.Node: notify.Nodes(snapshot, e.version),
	}, true
}

// found is the form in which a service was found, and when.
type found struct {
	revision uint64
	at       time.Time
}

// snapshot is the catalog, once the swarm has been listed since the start: what was on the
// bus before may be long over.
func (e *edge) snapshot() (catalog.Snapshot, bool) {
	if e.publisher == nil {
		return catalog.Snapshot{}, false
	}
	snapshot, ok := e.reader.Snapshot()
	state := e.publisher.State()
	switch {
	case !ok || state.Foreign != nil:
		return catalog.Snapshot{}, false
	case e.isFresh.Load():
		return snapshot, true
	case !state.Leads:
		if e.led() {
			e.isLed.Store(true)
		}
		return snapshot, e.isLed.Load()
	case state.Listed.IsZero():
		return catalog.Snapshot{}, false
	}
	seen, ok := e.writer.Seen()
	if !ok || seen.Revision.Epoch != snapshot.Revision.Epoch || seen.Revision.Sequence > snapshot.Revision.Sequence {
		e.poke.After(catchUp)
		return catalog.Snapshot{}, false
	}
	e.isFresh.Store(true)
	return snapshot, true
}

func (e *edge) version(id string) uint64 { return e.reader.Index(catalog.NodeKey(id)) }

// count is how many services are told of.
func (e *edge) count() float64 {
	snapshot, _ := e.snapshot()
	n := 0
	for _, svc := range snapshot.Services {
		if e.rules.OptedIn(svc) {
			n++
		}
	}
	return float64(n)
}

// heard notes that the stream of events was opened again after it ended: it is one for
// services and nodes.
func (e *edge) heard(event docker.Event) {
	if event == (docker.Event{}) && e.opened.Swap(true) {
		e.metrics.Error(notify.Events)
		e.metrics.Error(notify.NodeEvents)
	}
}

// api is Docker Flow's interface.
func (e *edge) api() dockerflow.API {
	hasService := false
	for _, r := range e.receivers {
		hasService = hasService || r.Wants(notify.Service)
	}
	return dockerflow.API{
		Snapshot: e.snapshot, Rules: e.rules, All: !hasService, Version: e.version, Again: e.notifier.Again, Failed: e.metrics.Error,
	}
}

// run tells receivers until the context ends. Without receivers there is nothing to do.
func (e *edge) run(ctx context.Context, options reconcile.Options) error {
	if len(e.receivers) == 0 {
		return nil
	}
	defer e.sender.Close()
	following, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	ended := make(chan error, 2)
	go func() { ended <- e.reader.Run(following) }()
	go func() { ended <- e.store.Run(following) }()
	err := reconcile.New(options, e.notifier.Pass).Run(ctx)
	e.notifier.Wait() // what is acknowledged now is still noted
	end()
	return errors.Join(err, <-ended, <-ended)
}
