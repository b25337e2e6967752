package counts

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/parts"
	"github.com/wagglehq/waggle/compose/e2e/stack"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

const (
	// own is the number in the stack file, scaled the one that the scaler has made of it.
	own, scaled = 2, 9
	shop        = "shop"
	web         = shop + "_web"
	scaler      = "waggle_scaler"

	often = 20 * time.Millisecond
	long  = 3 * time.Minute
)

// world is a deployed Waggle, with a stack of a user's.
type world struct {
	*parts.Stage
	image string
}

func imageOf(c parts.Config) string {
	return fmt.Sprintf("%s/demo:%s", cmp.Or(c.Images, "waggle"), cmp.Or(c.Tag, "dev"))
}

// Whole waits until Waggle runs.
func (w *world) Whole(ctx context.Context) error { return w.Ready(ctx) }

// Leave has nothing to end.
func (w *world) Leave(context.Context) error { return nil }

// file is the user's stack file. arg is the demo application's: with one that it does not know
// it ends at once.
func (w *world) file(version, arg string) string {
	return fmt.Sprintf(`version: "3.9"
services:
  web:
    image: %s
    command: ["-service-time", %q]
    environment: {VERSION: %q}
    healthcheck: {disable: true}
    networks: [waggle]
    deploy:
      replicas: %d
      restart_policy: {delay: 500ms}
      update_config: {parallelism: 3, order: start-first, failure_action: rollback, monitor: 3s}
      rollback_config: {parallelism: 9, monitor: 1s}
      labels: {com.df.notify: "true", com.df.scaleMin: "%d", com.df.scaleMax: "12"}
networks:
  waggle: {external: true}
`, w.image, arg, version, own, own)
}

const works, broken = "1ms", "as long as it takes"

// deploy deploys a stack file as a user does.
func (w *world) deploy(ctx context.Context, file string) error {
	_, err := w.with(ctx, file, "stack", "deploy", "--resolve-image", "never", "-c", "-", shop)
	return err
}

// with runs the docker command on the manager, with something to read.
func (w *world) with(ctx context.Context, input string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "docker", append([]string{"-H", w.Node(stack.Manager).Host()}, args...)...)
	cmd.Stdin = strings.NewReader(input)
	var said, wrong bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &wrong
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("docker %s: %w: %s", strings.Join(args, " "), err, wrong.String())
	}
	return said.String(), nil
}

// begin deploys the stack and has it scaled.
func (w *world) begin(ctx context.Context) error {
	if err := w.deploy(ctx, w.file("1", works)); err != nil {
		return err
	}
	if _, err := w.Running(ctx, web, own); err != nil {
		return err
	}
	return w.toNine(ctx)
}

// toNine has a person ask the scaler for the number.
func (w *world) toNine(ctx context.Context) error {
	err := tooltest.PollFor(ctx, long, often, "the scaler takes a request", func(ctx context.Context) error {
		_, err := w.ask(ctx, fmt.Sprintf("/v1/scale-service?service=%s&to=%d", web, scaled), nil)
		return err
	})
	if err == nil {
		_, err = w.Running(ctx, web, scaled)
	}
	return err
}

// end removes the stack.
func (w *world) end(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	if err := w.Remove(ctx, web); err != nil {
		return err
	}
	return tooltest.PollFor(ctx, long, often, "its tasks have ended", func(ctx context.Context) error {
		n, err := w.Containers(ctx, web)
		if err == nil && n > 0 {
			err = fmt.Errorf("%d containers", n)
		}
		return err
	})
}

// ask posts to the scaler, from inside of its container.
func (w *world) ask(ctx context.Context, path string, body any) (string, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return "", err
	}
	dial, err := w.Within(ctx, stack.Manager, scaler)
	if err != nil {
		return "", err
	}
	if body == nil {
		text = nil
	}
	a, err := tooltest.Ask(ctx, tooltest.Request{
		Method: http.MethodPost, URL: "http://127.0.0.1:8080" + path, Body: text, Token: w.Token("scaler"), Header: []string{"Content-Type", "application/json"},
		Client: &http.Client{Timeout: 40 * time.Second, Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}},
	})
	if err == nil && a.Status != http.StatusOK {
		err = fmt.Errorf("%s: %d %s", path, a.Status, a.Body)
	}
	return string(a.Body), err
}

// spec is what Swarm says of a service.
type spec struct {
	Replicas uint64
	Update   string
	Args     string
}

func (w *world) spec(ctx context.Context, service string) (spec, error) {
	out, err := w.Docker(ctx, "service", "inspect", service)
	if err != nil {
		return spec{}, err
	}
	var all []struct {
		Spec struct {
			Mode         struct{ Replicated struct{ Replicas uint64 } }
			TaskTemplate struct{ ContainerSpec struct{ Args []string } }
		}
		UpdateStatus struct{ State string }
	}
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		return spec{}, err
	}
	if len(all) != 1 {
		return spec{}, errors.New(out)
	}
	return spec{all[0].Spec.Mode.Replicated.Replicas, all[0].UpdateStatus.State, strings.Join(all[0].Spec.TaskTemplate.ContainerSpec.Args, " ")}, nil
}

// sample is how a service was seen to be.
type sample struct {
	at              time.Time
	wanted, running int
}

// watch looks at the tasks of a service every 20 ms, from before it returns until the end that
// it returns is called, which returns what was seen.
func (w *world) watch(ctx context.Context, service string) (end func() ([]sample, error), err error) {
	ctx, cancel := context.WithCancel(ctx)
	var seen []sample
	look := func() error {
		tasks, err := w.Tasks(ctx, service)
		if err != nil {
			return err
		}
		s := sample{at: time.Now(), wanted: len(tasks)}
		for _, t := range tasks {
			if t.Status.State == "running" {
				s.running++
			}
		}
		seen = append(seen, s)
		return nil
	}
	if err := look(); err != nil {
		cancel()
		return nil, err
	}
	done := make(chan error, 1)
	go func() {
		tick := time.NewTicker(often)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				done <- nil
				return
			case <-tick.C:
			}
			if err := look(); err != nil && ctx.Err() == nil {
				done <- err
				return
			}
		}
	}()
	return func() ([]sample, error) {
		cancel()
		return seen, <-done
	}, nil
}

// least is the sample with the fewest running tasks; longest is the longest time between two.
func least(seen []sample) (fewest sample, longest time.Duration) {
	fewest = seen[0]
	for i, s := range seen {
		if s.running < fewest.running {
			fewest = s
		}
		if i > 0 {
			longest = max(longest, s.at.Sub(seen[i-1].at))
		}
	}
	return fewest, longest
}

// below is how long fewer tasks than n were wanted, in all.
func below(seen []sample, n int, of func(sample) int) time.Duration {
	var all time.Duration
	for i, s := range seen[1:] {
		if of(seen[i]) < n {
			all += s.at.Sub(seen[i].at)
		}
	}
	return all
}
