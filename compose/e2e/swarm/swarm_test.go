// Package swarm tests Waggle on a real swarm of two nodes, deployed as a user does it.
package swarm

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/attack"
	"github.com/wagglehq/waggle/compose/e2e/chaos"
	"github.com/wagglehq/waggle/compose/e2e/load"
	"github.com/wagglehq/waggle/compose/e2e/scenarios"
	"github.com/wagglehq/waggle/compose/e2e/stack"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// TestSwarm tells one story after the other on one swarm, since starting one and
// loading the images takes longer than each of them.
func TestSwarm(t *testing.T) {
	w := &world{Stack: deploy(t)}
	for _, story := range []struct {
		name string
		tell func(*world, *testing.T)
	}{
		{"no container may do more than it must", (*world).privileges},
		{"labels make routes, targets and rules", (*world).labels},
		{"labels of every group do what they say", (*world).groups},
		{"scaling costs no request", (*world).scaling},
		{"updates of the target cost no request", (*world).updates},
		{"bad labels are named", (*world).badLabels},
		{"a scaling by hand needs the token and keeps the bounds", (*world).byHand},
		{"whoever was away is right on return", (*world).away},
		{"whatever is killed comes back", (*world).kills},
		{"a bus that lost its store costs nothing", (*world).lostStore},
		{"names that others take change nothing", (*world).takenNames},
		{"attacks harm nobody", (*world).attacks},
		{"services scale and sleep as the tutorials have it", (*world).tutorials},
		{"users' services find nothing but requests answered", (*world).doors},
		{"updates of Waggle itself", (*world).own},
		{"a deployment of what is there changes nothing", (*world).redeploy},
		{"the console asks who comes", (*world).console},
	} {
		t.Run(story.name, func(t *testing.T) { story.tell(w, t) })
	}
	if t.Failed() {
		w.logs(t)
	}
	t.Run("an uninstall leaves nothing", w.uninstall)
}

// world is a deployed Waggle.
type world struct{ *stack.Stack }

func deploy(t *testing.T) *stack.Stack {
	t.Helper()
	began := time.Now()
	s, err := stack.Deploy(tooltest.Context(t, 3*time.Minute), stack.Options{Images: os.Getenv("WAGGLE_IMAGES"), Tag: os.Getenv("WAGGLE_TAG"), Log: t.Output()})
	tooltest.Must(t, err)
	t.Cleanup(func() { tooltest.Must(t, s.Close()) })
	t.Logf("Waggle was healthy on two nodes after %v", time.Since(began).Round(time.Millisecond))
	return s
}

// logs shows what the services of Waggle said.
func (w *world) logs(t *testing.T) {
	t.Helper()
	for _, service := range []string{"listener", "proxy", "monitor", "scaler", "alertmanager"} {
		t.Logf("the end of what %s said:\n%s", service, w.Logs(t.Context(), "waggle_"+service))
	}
}

// eventually waits for a condition, and returns how long it took.
func eventually(t *testing.T, what string, condition func() error) time.Duration {
	t.Helper()
	began := time.Now()
	tooltest.Must(t, tooltest.PollFor(t.Context(), 30*time.Second, tooltest.Slowly, what, func(context.Context) error { return condition() }))
	return time.Since(began).Round(time.Millisecond)
}

// nodes are both.
func nodes() []string { return []string{stack.Manager, stack.Worker} }

// create creates a service and waits for its tasks and its route on both nodes.
func (w *world) create(t *testing.T, d stack.Demo) {
	t.Helper()
	ctx := tooltest.Context(t, time.Minute)
	tooltest.Must(t, w.Create(ctx, d))
	_, err := w.Running(ctx, d.Name, int(d.Replicas))
	tooltest.Must(t, err)
	w.answered(t, d.Labels["com.df.servicePath"], int(d.Replicas))
}

// answered waits until both proxies answer from so many replicas.
func (w *world) answered(t *testing.T, path string, replicas int) map[string]bool {
	t.Helper()
	var heard map[string]bool
	for _, node := range nodes() {
		eventually(t, fmt.Sprintf("%s on %s to be answered by %d replicas", path, node, replicas), func() error {
			heard = map[string]bool{}
			for range 3*replicas + 1 {
				name, err := w.Answer(t.Context(), node, path)
				if err != nil {
					return err
				}
				heard[name] = true
			}
			if len(heard) != replicas {
				return fmt.Errorf("heard from %v", slices.Sorted(maps.Keys(heard)))
			}
			return nil
		})
	}
	return heard
}

// gone waits until a path leads nowhere on both nodes.
func (w *world) gone(t *testing.T, path string) {
	t.Helper()
	for _, node := range nodes() {
		_, err := w.Since(tooltest.Context(t, 30*time.Second), node, path, stack.Gone)
		tooltest.Must(t, err)
	}
}

// under sends 500 requests per second to the manager's proxy, half of them on
// connections that are kept alive, before, while and after f runs. It returns the
// reports of both.
func (w *world) under(t *testing.T, path string, f func()) map[string]load.Report {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var sent atomic.Int64
	type result struct {
		kind   string
		report load.Report
		err    error
	}
	results := make(chan result, 2)
	for kind, keepAlive := range map[string]bool{"keep-alive": true, "new connections": false} {
		go func() {
			r, err := load.Run(ctx, load.Config{
				URL: "http://" + w.Addr(stack.Manager) + path, Rate: 250, Connections: 20, KeepAlive: keepAlive,
				Duration: 3 * time.Minute, Timeout: 10 * time.Second,
				Every: 50 * time.Millisecond, Progress: func(r load.Report) { sent.Add(int64(r.Requests)) },
			})
			results <- result{kind, r, err}
		}()
	}
	flow := func(what string) {
		t.Helper()
		from := sent.Load()
		eventually(t, "requests "+what, func() error {
			if n := sent.Load() - from; n < 500 {
				return fmt.Errorf("%d were sent", n)
			}
			return nil
		})
	}
	flow("before")
	f()
	flow("after")
	stop()
	out := map[string]load.Report{}
	for range 2 {
		r := <-results
		tooltest.Must(t, r.err)
		t.Logf("%s: %v %v", r.kind, r.report, r.report.Examples)
		out[r.kind] = r.report
	}
	return out
}

// lossless fails the test for each request that failed while f ran.
func (w *world) lossless(t *testing.T, path string, f func()) {
	t.Helper()
	for kind, r := range w.under(t, path, f) {
		if r.Failed > 0 {
			t.Errorf("%s: %d of %d requests failed: %v %v", kind, r.Failed, r.Requests, r.Kinds, r.Statuses)
		}
	}
}

// serves waits until a service created now is routed and scraped, and goes away
// again: proof that the whole of Waggle works.
func (w *world) serves(t *testing.T, name string) {
	t.Helper()
	ctx := tooltest.Context(t, time.Minute)
	labels := stack.Labels("/"+name, "scrapePort", "8080", "scrapeInterval", "1s", "scaleMin", "1", "scaleMax", "3")
	tooltest.Must(t, w.Create(ctx, stack.Demo{Name: name, Replicas: 1, Unchecked: true, Labels: labels}))
	w.answered(t, "/"+name, 1)
	w.scraped(t, name, 1)
	w.says(t, name, "scaler", "applied")
	tooltest.Must(t, w.Remove(ctx, name))
	w.gone(t, "/"+name)
	w.scraped(t, name, 0)
}

// scraped waits until Prometheus finds so many targets of a job up.
func (w *world) scraped(t *testing.T, job string, want int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d targets of %s", want, job), func() error {
		var answer struct {
			Data struct {
				ActiveTargets []struct {
					Labels            map[string]string
					Health, LastError string
				}
			}
		}
		if err := w.prometheus(t, "/api/v1/targets?state=active", &answer); err != nil {
			return err
		}
		up, shown := 0, ""
		for _, target := range answer.Data.ActiveTargets {
			if target.Labels["job"] == job {
				shown += fmt.Sprintln(target)
				if target.Health == "up" {
					up++
				}
			}
		}
		if up != want {
			return fmt.Errorf("%d are up: %s", up, shown)
		}
		return nil
	})
}

func (w *world) prometheus(t *testing.T, path string, v any) error {
	node, err := w.Home(t.Context(), "waggle_monitor")
	if err != nil {
		return err
	}
	return w.Inside(t.Context(), node, "waggle_monitor", 9090, path, v)
}

// ruled waits until these are all rules of a service.
func (w *world) ruled(t *testing.T, prefix string, want ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("the rules %v", want), func() error {
		var answer struct {
			Data struct {
				Groups []struct{ Rules []struct{ Name string } }
			}
		}
		if err := w.prometheus(t, "/api/v1/rules", &answer); err != nil {
			return err
		}
		var names []string
		for _, group := range answer.Data.Groups {
			for _, rule := range group.Rules {
				if strings.HasPrefix(rule.Name, prefix) {
					names = append(names, rule.Name)
				}
			}
		}
		slices.Sort(names)
		if !slices.Equal(names, want) {
			return fmt.Errorf("there are %v", names)
		}
		return nil
	})
}

// says waits until the listener's joined answer on a service has a component's words in it.
func (w *world) says(t *testing.T, service, component string, parts ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s to say of %s: %v", component, service, parts), func() error {
		listener, err := w.Listener(t.Context())
		if err != nil {
			return err
		}
		statuses, err := w.Verdicts(t.Context(), listener, service)
		if err != nil {
			return err
		}
		for _, s := range statuses {
			if s.Component != component {
				continue
			}
			text := fmt.Sprintf("%+v", s)
			for _, part := range parts {
				if !strings.Contains(text, part) {
					return fmt.Errorf("%q is missing in %s", part, text)
				}
			}
			return nil
		}
		return fmt.Errorf("it says nothing; others: %+v", statuses)
	})
}

func (w *world) labels(t *testing.T) {
	ctx := tooltest.Context(t, time.Minute)
	labels := stack.Labels("/web", "scrapePort", "8080", "scrapeInterval", "1s",
		"alertName", "slow", "alertIf", "@resp_time_above:0.1,1m,0.9", "alertName.1", "fast", "alertIf.1", "@resp_time_below:0.025,1m,0.9",
		"scaleMin", "2", "scaleMax", "4")
	w.create(t, stack.Demo{Name: "web", Replicas: 2, Labels: labels})
	tasks, err := w.Tasks(ctx, "web")
	tooltest.Must(t, err)
	if len(tasks) != 2 || tasks[0].NodeID == tasks[1].NodeID {
		t.Fatalf("the tasks are not on both nodes: %+v", tasks)
	}
	w.scraped(t, "web", 2)
	w.ruled(t, "web_", "web_fast", "web_slow")
	for _, component := range []string{"proxy", "monitor", "scaler"} {
		w.says(t, "web", component, "applied")
	}

	// The route moves while requests flow to another service, and nothing reloads.
	w.create(t, stack.Demo{Name: "steady", Replicas: 1, Labels: stack.Labels("/steady")})
	before, err := w.Reloads(ctx)
	tooltest.Must(t, err)
	w.lossless(t, "/steady", func() {
		moved := maps.Clone(labels)
		moved["com.df.servicePath"] = "/moved"
		tooltest.Must(t, w.Relabel(ctx, "web", moved))
		w.answered(t, "/moved", 2)
		w.gone(t, "/web")
	})
	after, err := w.Reloads(ctx)
	tooltest.Must(t, err)
	if after != before {
		t.Errorf("moving a route took %d reloads", after-before)
	}
	tooltest.Must(t, w.Remove(ctx, "web"))
	w.gone(t, "/moved")
	w.scraped(t, "web", 0)
	w.ruled(t, "web_")
	// It stays for the stories that follow.
	w.answered(t, "/steady", 1)
}

func (w *world) scaling(t *testing.T) {
	ctx := tooltest.Context(t, 2*time.Minute)
	w.create(t, stack.Demo{Name: "breathes", Replicas: 1, Labels: stack.Labels("/breathes")})
	w.lossless(t, "/breathes", func() {
		for _, replicas := range []int{5, 1} {
			tooltest.Must(t, w.Resize(ctx, "breathes", replicas))
			w.answered(t, "/breathes", replicas)
		}
	})
	tooltest.Must(t, w.Remove(ctx, "breathes"))
}

func (w *world) updates(t *testing.T) {
	ctx := tooltest.Context(t, 2*time.Minute)
	w.create(t, stack.Demo{Name: "first", Replicas: 1, Order: "start-first", Labels: stack.Labels("/first")})
	w.lossless(t, "/first", func() { tooltest.Must(t, w.Force(ctx, "first")) })
	tooltest.Must(t, w.Remove(ctx, "first"))
	w.create(t, stack.Demo{Name: "second", Replicas: 2, Order: "stop-first", Labels: stack.Labels("/second")})
	w.lossless(t, "/second", func() { tooltest.Must(t, w.Force(ctx, "second")) })
	tooltest.Must(t, w.Remove(ctx, "second"))
}

func (w *world) badLabels(t *testing.T) {
	ctx := tooltest.Context(t, time.Minute)
	cases := map[string]struct {
		labels    map[string]string
		component string
		says      []string
	}{
		"number":   {stack.Labels("/number", "port", "eighty"), "proxy", []string{"rejected", "com.df.port", "eighty"}},
		"newline":  {stack.Labels("/newline\n  http-request deny"), "proxy", []string{"rejected", "com.df.servicePath"}},
		"template": {stack.Labels("{{ .Evil }}"), "proxy", []string{"rejected", "com.df.servicePath"}},
		"quotes":   {stack.Labels(`/quotes" deny if TRUE #'`), "proxy", []string{"rejected", "com.df.servicePath"}},
		"long":     {stack.Labels("/" + strings.Repeat("x", 10_000)), "proxy", []string{"rejected", "com.df.servicePath"}},
		"claim":    {stack.Labels("/steady"), "proxy", []string{"rejected", "belongs to steady"}},
		"unknown":  {stack.Labels("/unknown", "servicePaht", "/typo"), "listener", []string{"com.df.servicePaht", "servicePath"}},
		"promql":   {stack.Labels("/promql", "alertName", "bad", "alertIf", "sum(("), "monitor", []string{"com.df.alertIf"}},
		"bounds":   {stack.Labels("/bounds", "scaleMin", "5", "scaleMax", "2"), "scaler", []string{"rejected", "com.df.scaleM"}},
	}
	w.lossless(t, "/steady", func() {
		for name, c := range cases {
			tooltest.Must(t, w.Create(ctx, stack.Demo{Name: "bad-" + name, Replicas: 0, Labels: c.labels}))
		}
		for name, c := range cases {
			w.says(t, "bad-"+name, c.component, c.says...)
		}
	})
	for name := range cases {
		tooltest.Must(t, w.Remove(ctx, "bad-"+name))
	}
}

func (w *world) byHand(t *testing.T) {
	ctx := tooltest.Context(t, time.Minute)
	w.create(t, stack.Demo{Name: "asked", Replicas: 1, Labels: stack.Labels("/asked", "scaleMin", "1", "scaleMax", "2", "scaleCooldownUp", "0s")})
	w.says(t, "asked", "scaler", "applied")
	if answer, err := w.AskScaler(ctx, "asked", "up", ""); err == nil {
		t.Errorf("without the token: %s", answer)
	}
	answer, err := w.AskScaler(ctx, "asked", "up", w.Token("scaler"))
	tooltest.Must(t, err)
	t.Log(answer)
	_, err = w.Running(ctx, "asked", 2)
	tooltest.Must(t, err)
	w.answered(t, "/asked", 2)
	tooltest.Must(t, w.Remove(ctx, "asked"))
	w.gone(t, "/asked")
}

// patience is how long a test on a busy machine waits for what an idle one does in less
// than a second (measured by make measure). It is far below the 30 s after which
// everything is looked at again, so that it does not hide a change that nobody was told.
const patience = 5 * time.Second

// away makes one service of each kind differ while somebody is away.
func (w *world) away(t *testing.T) {
	ctx := tooltest.Context(t, 4*time.Minute)
	for n, part := range stack.Parts() {
		c := stack.Catch{Part: part, Suffix: strconv.Itoa(n)}
		tooltest.Must(t, w.PrepareCatch(ctx, c))
		catch := func() {
			took, err := w.CatchUp(ctx, c)
			tooltest.Must(t, err)
			t.Logf("the %s was away: all three right %v after its return", part, took)
			if took > patience {
				t.Errorf("more than %v", patience)
			}
		}
		if part == stack.Proxy {
			catch() // nobody serves while it is away
		} else {
			w.lossless(t, "/steady", catch)
		}
		tooltest.Must(t, w.EndCatch(ctx, c))
	}
}

func (w *world) kills(t *testing.T) {
	ctx := tooltest.Context(t, 3*time.Minute)
	for _, k := range stack.Kills() {
		if k.Outage > 0 {
			continue
		}
		w.lossless(t, "/steady", func() {
			tooltest.Must(t, w.Kill(ctx, k))
			w.serves(t, "after-"+strings.ReplaceAll(k.Name, " ", "-"))
		})
	}
	for _, k := range stack.Kills() {
		if k.Outage == 0 {
			continue
		}
		reports := w.under(t, "/steady", func() {
			took, err := w.Outage(ctx, k)
			tooltest.Must(t, err)
			t.Logf("%s: listening again %v after SIGKILL", k.Name, took)
			if took > patience {
				t.Errorf("more than %v", patience)
			}
			w.serves(t, "after-"+strings.ReplaceAll(k.Name, " ", "-"))
		})
		for kind, r := range reports {
			t.Logf("%s, %s: %d failed", k.Name, kind, r.Failed)
		}
	}
	tooltest.Must(t, w.Ready(ctx))
}

func (w *world) lostStore(t *testing.T) {
	ctx := tooltest.Context(t, time.Minute)
	w.create(t, stack.Demo{Name: "goes", Replicas: 1, Labels: stack.Labels("/goes")})
	w.lossless(t, "/steady", func() {
		tooltest.Must(t, w.LoseStore(ctx, func() error { return w.Remove(ctx, "goes") }))
		w.serves(t, "after-loss")
	})
	w.gone(t, "/goes")
	tooltest.Must(t, w.Ready(ctx))
}

// takenNames lets services on the users' network take the names of the listener and of
// Alertmanager.
func (w *world) takenNames(t *testing.T) {
	tooltest.Must(t, chaos.On(tooltest.Context(t, 4*time.Minute), w.Stack, t.Output(), "forged", "alertmanager"))
}

// attacks is the short form of 'make attack': what needs no other settings of the proxies.
func (w *world) attacks(t *testing.T) {
	tooltest.Must(t, attack.On(tooltest.Context(t, 5*time.Minute), w.Stack, t.Output(), "aliases", "outbound", "budgets", "paths", "slips"))
}

// tutorials are the scenarios that need no more than what is deployed here.
func (w *world) tutorials(t *testing.T) {
	tooltest.Must(t, scenarios.On(tooltest.Context(t, 2*time.Minute), w.Stack, t.Output(), "T-19", "sleep"))
}

// own updates every service of Waggle. Ports of a node can be held by one task
// only, so an update of the proxy is a gap on that node; how long is said, and the
// other node serves meanwhile.
func (w *world) own(t *testing.T) {
	ctx := tooltest.Context(t, 3*time.Minute)
	for _, service := range []string{"listener", "monitor", "scaler", "alertmanager"} {
		w.lossless(t, "/steady", func() { tooltest.Must(t, w.Force(ctx, "waggle_"+service)) })
	}
	w.serves(t, "after-updates")
	reports := w.under(t, "/steady", func() {
		tooltest.Must(t, w.Force(ctx, "waggle_proxy"))
		w.answered(t, "/steady", 1)
	})
	for kind, r := range reports {
		t.Logf("update of the proxy, one node, %s: %d of %d requests failed, which is %.1f s: %v", kind, r.Failed, r.Requests, float64(r.Failed)/250, r.Kinds)
	}
	w.serves(t, "after-proxy")
}

// redeploy deploys what is there once more.
func (w *world) redeploy(t *testing.T) {
	ctx := tooltest.Context(t, 2*time.Minute)
	ids := func() []string {
		tasks, err := w.Tasks(ctx)
		tooltest.Must(t, err)
		var ids []string
		for _, task := range tasks {
			ids = append(ids, task.ServiceID+" "+task.ID)
		}
		slices.Sort(ids)
		return ids
	}
	before := ids()
	w.lossless(t, "/steady", func() { tooltest.Must(t, w.Redeploy(ctx)) })
	if after := ids(); !slices.Equal(after, before) {
		services, err := w.Docker(ctx, "service", "ls", "--format", "{{.ID}} {{.Name}}")
		t.Errorf("the tasks were %q and are %q, of\n%s %v", before, after, services, err)
	}
}

// uninstall is the last story, since it ends the world.
func (w *world) uninstall(t *testing.T) {
	ctx := tooltest.Context(t, 3*time.Minute)
	services, err := w.Services(ctx)
	tooltest.Must(t, err)
	for _, s := range services {
		if !strings.HasPrefix(s.Spec.Name, "waggle_") {
			tooltest.Must(t, w.Remove(ctx, s.Spec.Name))
		}
	}
	said, err := w.Uninstall(ctx)
	tooltest.Must(t, err)
	t.Log(said)
	for kind, filter := range map[string]string{"service": "", "secret": "", "config": "", "volume": "", "network": "name=waggle"} {
		out, err := w.Docker(ctx, kind, "ls", "--quiet", "--filter", filter)
		tooltest.Must(t, err)
		if out != "" {
			t.Errorf("of the kind %s are left: %s", kind, out)
		}
	}
}
