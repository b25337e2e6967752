package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/load"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// The services of the story; sleep.go has the third.
const (
	demo   = "demo"
	broken = "demo-broken"
)

// all are the names of the story's services.
func all() []string { return []string{demo, broken, sleeper} }

// story knows where to look and what has happened.
type story struct {
	host, port string
	image      string
	// waggle is how the command of this name is run, shots a folder for screenshots of the
	// console; none are taken if it is empty.
	waggle, shots string
	began         time.Time

	mu  sync.Mutex // several things tell at once
	out io.Writer
}

// tell plays all of it.
func (s *story) tell(ctx context.Context) error {
	if err := s.prepare(ctx); err != nil {
		return err
	}
	for i, step := range []struct {
		title string
		play  func(context.Context) error
	}{
		{"a service says by its labels what it wants, and is served", s.created},
		{"its replicas are scraped, its alerts are known", s.watched},
		{"another service may sleep while nobody asks for it", s.laid},
		{"load makes it slow; it is scaled up and is fast again; load ends and it comes down", s.scaled},
		{"a label moves its route while requests flow", s.moved},
		{"a broken label harms its own service, and is told by name", s.refused},
		{"the console shows what is wrong first, with what mends it", s.looked},
		{"waggle why goes the way from label to effect, and says where it breaks; it is mended", s.mended},
		{"the service that nobody asked for sleeps, and a request wakes it", s.woken},
		{"the services are removed, and everything of them goes", s.removed},
	} {
		s.write("\n%d. %s\n", i+1, title(step.title))
		if err := step.play(ctx); err != nil {
			return fmt.Errorf("step %d (%s): %w", i+1, step.title, err)
		}
	}
	return s.afterwards(ctx)
}

func title(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

func (s *story) write(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.out, format, args...)
}

// say tells something with its time.
func (s *story) say(format string, args ...any) {
	at := time.Since(s.began)
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.out, "%7.1f s  %s\n", at.Seconds(), fmt.Sprintf(format, args...))
}

// docker runs a command that a user would have typed. What it prints is returned.
func docker(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var stdout, stderr strings.Builder
	cmd := exec.CommandContext(ctx, "docker", args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("docker %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}

// labels are what a user writes; the story shows them as they are.
func labels() []string {
	return []string{
		"com.df.notify=true",
		"com.df.servicePath=/demo",
		"com.df.port=8080",
		"com.df.scrapePort=8080",
		"com.df.alertName.1=slow",
		"com.df.alertIf.1=@resp_time_above:0.25,10s,0.9",
		"com.df.alertFor.1=2s",
		"com.df.alertName.2=idle",
		"com.df.alertIf.2=@resp_time_below:0.1,10s,0.9",
		"com.df.alertFor.2=10s",
		"com.df.scaleMin=1",
		"com.df.scaleMax=4",
		"com.df.scaleUpBy=2",
		"com.df.scaleCooldownUp=25s",
		"com.df.scaleCooldownDown=10s",
	}
}

// create makes a service of the demo application and shows how.
func (s *story) create(ctx context.Context, name string, labels []string) error {
	s.say("$ docker service create --name %s --network waggle --endpoint-mode dnsrr \\", name)
	for _, l := range labels {
		s.write("                 --label %s \\\n", l)
	}
	s.write("               %s\n", s.image)
	return s.createSilently(ctx, name, labels)
}

func (s *story) createSilently(ctx context.Context, name string, labels []string) error {
	// 'make down' removes what has the label.
	args := []string{"service", "create", "--detach", "--no-resolve-image", "--label", "waggle.demo=true", "--name", name, "--network", "waggle", "--endpoint-mode", "dnsrr"}
	for _, l := range labels {
		args = append(args, "--label", l)
	}
	_, err := docker(ctx, append(args, s.image)...)
	return err
}

func (s *story) remove(ctx context.Context, names ...string) error {
	s.say("$ docker service rm %s", strings.Join(names, " "))
	_, err := docker(ctx, append([]string{"service", "rm"}, names...)...)
	return err
}

// stopped waits until no container of the demo is left on this node. A new service
// of the same name would be answered for by the old one's tasks while they end.
func stopped(ctx context.Context) error {
	return tooltest.PollFor(ctx, time.Minute, 100*time.Millisecond, "the old tasks to end", func(ctx context.Context) error {
		for _, name := range all() {
			left, err := docker(ctx, "ps", "--quiet", "--filter", "label=com.docker.swarm.service.name="+name)
			if err != nil {
				return err
			}
			if left != "" {
				return fmt.Errorf("%d of %s run", len(strings.Fields(left)), name)
			}
		}
		return nil
	})
}

// prepare removes what an earlier story left and waits until Waggle is up.
func (s *story) prepare(ctx context.Context) error {
	s.write("Waggle: labels in; traffic, alerts and scaling out\n")
	out, err := docker(ctx, "service", "ls", "--format", "{{.Name}}")
	if err != nil {
		return err
	}
	var left []string
	for name := range strings.FieldsSeq(out) {
		if slices.Contains(all(), name) {
			left = append(left, name)
		}
	}
	if len(left) > 0 {
		s.say("an earlier demo left %s", strings.Join(left, " and "))
		if err := s.remove(ctx, left...); err != nil {
			return err
		}
	}
	for _, part := range parts() {
		if err := tooltest.PollFor(ctx, 2*time.Minute, 100*time.Millisecond, part.name+" to be healthy", func(ctx context.Context) error {
			_, err := s.get(ctx, part.port, part.health)
			return err
		}); err != nil {
			return fmt.Errorf("%w\nsee 'docker service ps --no-trunc waggle_%s' and 'docker service logs waggle_%s'", err, part.name, part.name)
		}
	}
	if err := stopped(ctx); err != nil {
		return err
	}
	if _, err := load.Await(ctx, s.route("/demo", time.Minute), 20*time.Millisecond, gone); err != nil {
		return err
	}
	s.say("Waggle is up: listener, proxy, monitor, alertmanager, scaler, console")
	return nil
}

// route is a request through the proxy.
func (s *story) route(path string, patience time.Duration) load.Config {
	return load.Config{URL: "http://" + s.host + ":" + s.port + path, Connections: 1, Duration: patience, Timeout: 2 * time.Second}
}

func served(status int) bool { return status == http.StatusOK }
func gone(status int) bool {
	return status == http.StatusNotFound || status == http.StatusServiceUnavailable
}

// created is step 1.
func (s *story) created(ctx context.Context) error {
	if err := s.create(ctx, demo, labels()); err != nil {
		return err
	}
	first, err := load.Await(ctx, s.route("/demo/hello", time.Minute), 5*time.Millisecond, served)
	if err != nil {
		return err
	}
	at := time.Since(s.began)
	ran, err := s.running(ctx, demo)
	if err != nil {
		return err
	}
	if early := ran.Sub(first); early > 2*time.Second {
		return fmt.Errorf("/demo was answered %v before the task ran, so by something else", early)
	}
	s.say("its task runs, and the first request through the proxy is answered %s (seen %.1f s after the start)", after(first.Sub(ran)), at.Seconds())
	return nil
}

// after says how long something came after the task ran. Swarm writes its time
// down a moment after the task is in DNS, so the answer may have come before.
func after(d time.Duration) string {
	if d < 0 {
		return fmt.Sprintf("%d ms before Swarm has noted that the task runs", -d.Milliseconds())
	}
	return fmt.Sprintf("%d ms after the task ran", d.Milliseconds())
}

// running returns when the only task of a service began to run, by Swarm's clock.
func (s *story) running(ctx context.Context, service string) (at time.Time, err error) {
	err = tooltest.PollFor(ctx, 30*time.Second, 50*time.Millisecond, "a running task of "+service, func(ctx context.Context) error {
		task, err := docker(ctx, "service", "ps", "--quiet", "--no-trunc", "--filter", "desired-state=running", service)
		if err != nil {
			return err
		}
		out, err := docker(ctx, "inspect", "--type", "task", "--format", "{{json .Status}}", task)
		if err != nil {
			return err
		}
		var status struct {
			State     string
			Timestamp time.Time
		}
		if err := json.Unmarshal([]byte(out), &status); err != nil {
			return err
		}
		if status.State != "running" {
			return fmt.Errorf("it is %s", status.State)
		}
		at = status.Timestamp
		return nil
	})
	return at, err
}

// watched is step 2.
func (s *story) watched(ctx context.Context) error {
	if err := tooltest.PollFor(ctx, 30*time.Second, 100*time.Millisecond, "Prometheus to scrape the service", func(ctx context.Context) error {
		targets, err := s.targets(ctx, demo)
		if err != nil {
			return err
		}
		if len(targets) != 1 || targets[0].Health != "up" {
			return fmt.Errorf("its targets are %v", targets)
		}
		s.say("Prometheus scrapes %s: %s", targets[0].URL, targets[0].Health)
		return nil
	}); err != nil {
		return err
	}
	return tooltest.PollFor(ctx, 30*time.Second, 100*time.Millisecond, "Prometheus to know two alerts", func(ctx context.Context) error {
		rules, err := s.rules(ctx, demo)
		if err != nil {
			return err
		}
		if len(rules) != 2 {
			return fmt.Errorf("it knows %d", len(rules))
		}
		for _, r := range rules {
			s.say("alert %s (scale=%s): %s", r.Name, r.Labels["scale"], shorten(r.Query, 110))
		}
		return nil
	})
}

func shorten(text string, n int) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > n {
		return text[:n] + "..."
	}
	return text
}

// scaled is step 3.
func (s *story) scaled(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := s.watch(ctx)
	defer w.wait()
	defer cancel()

	s.say("each replica serves 2 requests at a time, 50 ms each: 40 per second; 80 per second on 20 connections begin")
	loaded, endLoad := context.WithCancel(ctx)
	defer endLoad()
	fast := make(chan struct{})
	once := sync.OnceFunc(func() { close(fast) })
	ended := s.send(loaded, load.Config{
		URL: s.route("/demo/work", 0).URL, Rate: 80, Connections: 20, KeepAlive: true, Duration: 3 * time.Minute, Timeout: 10 * time.Second,
		Every: 2 * time.Second,
		Progress: func(r load.Report) {
			replicas := w.replicas()
			s.say("  %3.0f requests/s, median %4.0f ms, 90%% under %4.0f ms, %d failed, %d replicas", r.Rate, r.P50, r.P90, r.Failed, replicas)
			if replicas > 1 && r.Requests > 100 && r.P90 < 150 {
				once()
			}
		},
	})
	select {
	case <-fast:
	case <-time.After(time.Minute):
		return errors.New("a minute of load, and the service was not scaled up and made fast again")
	case <-ctx.Done():
		return ctx.Err()
	}
	peak := w.replicas()
	if peak < 2 || peak > 4 {
		return fmt.Errorf("it has %d replicas, the bounds are 1 and 4", peak)
	}
	s.say("fast again with %d replicas (its bounds are 1 and 4); the load ends, a trickle remains", peak)
	endLoad()
	if err := s.none(<-ended, "the load"); err != nil {
		return err
	}
	trickling, endTrickle := context.WithCancel(ctx)
	defer endTrickle()
	trickled := s.send(trickling, load.Config{
		URL: s.route("/demo/trickle", 0).URL, Rate: 5, Connections: 2, Duration: 5 * time.Minute, Timeout: 10 * time.Second,
	})
	if err := tooltest.PollFor(ctx, 90*time.Second, 100*time.Millisecond, "the service to come down to one replica", func(context.Context) error {
		if n := w.replicas(); n != 1 {
			return fmt.Errorf("it has %d", n)
		}
		return nil
	}); err != nil {
		return err
	}
	// A moment for the last decision to be told.
	if err := tooltest.Pause(ctx, time.Second); err != nil {
		return err
	}
	endTrickle()
	if err := s.none(<-trickled, "the trickle, while replicas went away"); err != nil {
		return err
	}
	if top := w.top(); top > 4 {
		return fmt.Errorf("it had %d replicas, above its bound of 4", top)
	}
	return nil
}

// send sends requests in the background; the channel gets the report.
func (s *story) send(ctx context.Context, c load.Config) <-chan load.Report {
	ended := make(chan load.Report, 1)
	go func() {
		r, err := load.Run(ctx, c)
		if err != nil {
			r = load.Report{Failed: 1, Examples: map[load.Kind]string{load.Other: err.Error()}}
		}
		ended <- r
	}()
	return ended
}

// none checks that no request failed.
func (s *story) none(r load.Report, what string) error {
	s.say("%s: %d requests, %d failed", what, r.Requests, r.Failed)
	if r.Failed > 0 {
		return fmt.Errorf("%s: %s %v", what, r, r.Examples)
	}
	if r.Requests == 0 {
		return fmt.Errorf("%s: no request was sent", what)
	}
	return nil
}

// moved is step 4: the new path is added, the requests move to it, the old path
// is taken away.
func (s *story) moved(ctx context.Context) error {
	before, err := docker(ctx, "service", "ps", "--quiet", "--filter", "desired-state=running", demo)
	if err != nil {
		return err
	}
	flow := load.Config{Rate: 30, Connections: 2, KeepAlive: true, Duration: time.Minute, Timeout: 5 * time.Second}
	old, fresh := flow, flow
	old.URL, fresh.URL = s.route("/demo/flow", 0).URL, s.route("/shop/flow", 0).URL

	onOld, endOld := context.WithCancel(ctx)
	defer endOld()
	oldEnded := s.send(onOld, old)
	s.say("requests flow on /demo")
	if err := tooltest.Pause(ctx, time.Second); err != nil {
		return err
	}
	took, command, err := s.relabel(ctx, "com.df.servicePath=/demo,/shop", s.route("/shop/first", 30*time.Second), served)
	if err != nil {
		return err
	}
	s.say("/shop answers %d ms after the command began, which itself took %d ms", took.Milliseconds(), command.Milliseconds())
	onNew, endNew := context.WithCancel(ctx)
	defer endNew()
	newEnded := s.send(onNew, fresh)
	if err := tooltest.Pause(ctx, time.Second); err != nil {
		return err
	}
	endOld()
	first := <-oldEnded
	if took, command, err = s.relabel(ctx, "com.df.servicePath=/shop", s.route("/demo/last", 30*time.Second), gone); err != nil {
		return err
	}
	s.say("/demo is no longer served %d ms after the command began, which itself took %d ms", took.Milliseconds(), command.Milliseconds())
	if err := tooltest.Pause(ctx, time.Second); err != nil {
		return err
	}
	endNew()
	if err := errors.Join(s.none(first, "on /demo"), s.none(<-newEnded, "on /shop")); err != nil {
		return err
	}
	now, err := docker(ctx, "service", "ps", "--quiet", "--filter", "desired-state=running", demo)
	if err != nil {
		return err
	}
	if now != before {
		return fmt.Errorf("the task was replaced: %s, now %s", before, now)
	}
	s.say("its task was not touched")
	return nil
}

// relabel changes a label and returns when the command began. Looking for what
// comes of it begins with the command, for it comes before the command ends.
func (s *story) relabel(ctx context.Context, label string, await load.Config, wanted func(int) bool) (took, command time.Duration, err error) {
	s.say("$ docker service update --label-add %s %s", label, demo)
	began := time.Now()
	ended := make(chan error, 1)
	go func() {
		_, err := docker(ctx, "service", "update", "--detach", "--no-resolve-image", "--label-add", label, demo)
		command = time.Since(began)
		ended <- err
	}()
	at, err := load.Await(ctx, await, time.Millisecond, wanted)
	err = errors.Join(<-ended, err)
	return at.Sub(began), command, err
}

// refused is step 5.
func (s *story) refused(ctx context.Context) error {
	flowing, end := context.WithCancel(ctx)
	defer end()
	c := s.route("/shop/flow", time.Minute)
	c.Rate, c.KeepAlive = 20, true
	flow := s.send(flowing, c)
	hash, err := s.metric(ctx, "proxy", "waggle_proxy_reloads_total")
	if err != nil {
		return err
	}
	if err := s.create(ctx, broken, []string{"com.df.notify=true", "com.df.servicePath=/broken", "com.df.port=eighty"}); err != nil {
		return err
	}
	if err := tooltest.PollFor(ctx, 30*time.Second, 50*time.Millisecond, "a status that names the fault", func(ctx context.Context) error {
		found, err := s.statuses(ctx, broken)
		if err != nil {
			return err
		}
		for _, st := range found {
			if st["component"] == "proxy" && st["state"] == "rejected" && st["label"] == "com.df.port" {
				s.say("%v, by the %v: %v", st["state"], st["component"], st["reason"])
				if hint, ok := st["hint"].(string); ok && hint != "" {
					s.say("what to do: %s", hint)
				}
				return nil
			}
		}
		return fmt.Errorf("what is said of it: %v", found)
	}); err != nil {
		return err
	}
	if err := tooltest.Pause(ctx, time.Second); err != nil {
		return err
	}
	end()
	if err := s.none(<-flow, "meanwhile on /shop"); err != nil {
		return err
	}
	found, err := s.statuses(ctx, demo)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(found, func(st map[string]any) bool { return st["component"] == "proxy" && st["state"] == "applied" }) {
		return fmt.Errorf("the status of %s has changed: %v", demo, found)
	}
	now, err := s.metric(ctx, "proxy", "waggle_proxy_reloads_total")
	if err != nil {
		return err
	}
	if now != hash {
		return fmt.Errorf("HAProxy was reloaded for a service that was refused: %s, now %s", hash, now)
	}
	s.say("nothing else changed: %s is applied as before, HAProxy was not reloaded", demo)
	return nil
}

// answered waits until a path is served.
func (s *story) answered(ctx context.Context, path string) error {
	_, err := load.Await(ctx, s.route(path, time.Minute), 5*time.Millisecond, served)
	return err
}

// removed is the last step.
func (s *story) removed(ctx context.Context) error {
	began := time.Now()
	if err := s.remove(ctx, all()...); err != nil {
		return err
	}
	at, err := load.Await(ctx, s.route("/shop", 30*time.Second), 5*time.Millisecond, gone)
	if err != nil {
		return err
	}
	s.say("the route is gone %d ms after the command began", at.Sub(began).Milliseconds())
	return tooltest.PollFor(ctx, 30*time.Second, 50*time.Millisecond, "Prometheus to forget the service", func(ctx context.Context) error {
		targets, err := s.targets(ctx, demo)
		if err != nil {
			return err
		}
		rules, err := s.rules(ctx, demo)
		if err != nil {
			return err
		}
		if len(targets)+len(rules) > 0 {
			return fmt.Errorf("it still has %d targets and %d alerts", len(targets), len(rules))
		}
		s.say("its scrape and its alerts are gone %d ms after the command began", time.Since(began).Milliseconds())
		return nil
	})
}

// afterwards leaves something to look at, and says where.
func (s *story) afterwards(ctx context.Context) error {
	s.write("\nThat was it.\n")
	if err := stopped(ctx); err != nil {
		return err
	}
	if err := s.createSilently(ctx, demo, labels()); err != nil {
		return err
	}
	if err := s.answered(ctx, "/demo"); err != nil {
		return err
	}
	s.say("the service is there once more, as in step 1, for you to play with")
	colon := ""
	if s.port != "80" {
		colon = ":" + s.port
	}
	s.write(`
Where to look next:
  the console           http://%[1]s:8085
  Prometheus            http://%[1]s:9090/targets   http://%[1]s:9090/alerts
  Alertmanager          http://%[1]s:9093
  HAProxy's statistics  http://%[1]s:8404
  the service itself    curl http://%[1]s%[2]s/demo/hello
  why is it (not) routed, scraped, scaled?
                        compose/waggle.sh why demo
  what was scaled, why  curl http://%[1]s:8084/v1/decisions
  move its route        docker service update --label-add com.df.servicePath=/shop demo
'make down' removes all of it.
`, s.host, colon)
	return nil
}
