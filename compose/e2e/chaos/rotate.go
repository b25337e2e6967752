package chaos

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/stack"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// rotate replaces the secrets of all components, one after the other, as an operator
// does. The listener's comes last, since readers of the test have the former one.
func (w *world) rotate(ctx context.Context) error {
	running, stop := context.WithCancel(ctx)
	defer stop()
	instances := w.buses[0].Bucket(bus.StatusBucket).Mirror("instance.>", func() {})
	w.done.Go(func() { _ = instances.Run(running) }) // It ends with its context.
	for _, r := range []struct {
		component string
		// killed are beginnings of lines at which the script is killed, to be called again.
		killed []string
	}{{"scaler", []string{"2.", "3."}}, {"monitor", nil}} {
		if err := w.under(ctx, trouble{deaf: true, happens: func(ctx context.Context) error {
			for _, line := range r.killed {
				if err := w.rotateUntil(ctx, r.component, line); err != nil {
					return err
				}
				if err := w.speaks(ctx, instances, r.component); err != nil {
					return err
				}
			}
			if err := w.rotateUntil(ctx, r.component, ""); err != nil {
				return err
			}
			return w.speaks(ctx, instances, r.component)
		}}); err != nil {
			return err
		}
	}
	if err := w.rotateProxy(ctx, instances); err != nil {
		return err
	}
	return w.under(ctx, trouble{deaf: true, happens: func(ctx context.Context) error { return w.rotateUntil(ctx, "listener", "") }})
}

// rotateProxy asks one node, and if its proxy does not serve, as in the moment of its
// update, another, which is what clients of several nodes do.
func (w *world) rotateProxy(ctx context.Context, instances *bus.Mirror) error {
	const name = "rotated"
	if err := w.Create(ctx, stack.Demo{Name: name, Replicas: 2, Labels: stack.Labels("/" + name)}); err != nil {
		return err
	}
	defer func() { _ = w.Remove(context.WithoutCancel(ctx), name) }() // The swarm is about to go.
	for _, node := range w.Nodes() {
		if _, err := w.Since(ctx, node, "/"+name, stack.Answered); err != nil {
			return err
		}
	}
	asking, stop := context.WithCancel(ctx)
	defer stop()
	var wait sync.WaitGroup
	asked, failed, second := 0, 0, 0
	wait.Go(func() {
		client := w.Client(2)
		client.Timeout = 2 * time.Second
		answers := func(node string) bool {
			status, err := w.Status(ctx, client, "http://"+node+"/"+name)
			return err == nil && status == http.StatusOK
		}
		for tooltest.Pause(asking, 10*time.Millisecond) == nil {
			asked++
			if nodes := w.Nodes(); !answers(nodes[0]) {
				second++
				if !slices.ContainsFunc(nodes[1:], answers) {
					failed++
				}
			}
		}
	})
	err := errors.Join(w.rotateUntil(ctx, "proxy", "2."), w.speaks(ctx, instances, "proxy"), w.rotateUntil(ctx, "proxy", ""))
	stop()
	wait.Wait()
	w.Say("the proxy: %d requests, %d of them to the second node because the first did not serve, %d failed", asked, second, failed)
	if failed > 0 {
		w.Fault("%d of %d requests failed while the proxies' key was replaced", failed, asked)
	}
	return errors.Join(err, w.speaks(ctx, instances, "proxy"))
}

// rotateUntil calls compose/rotate, and kills it when it says a line that begins so.
func (w *world) rotateUntil(ctx context.Context, component, line string) error {
	began := time.Now()
	rotate := exec.CommandContext(ctx, w.Script("rotate"), component)
	rotate.Env = append(os.Environ(), "DOCKER_HOST="+w.Hosts()[0], "WAGGLE_INIT_FLAGS=--skip-ports")
	rotate.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	said, err := rotate.StderrPipe()
	if err != nil {
		return err
	}
	if err := rotate.Start(); err != nil {
		return err
	}
	var all []string
	killed := false
	for lines := bufio.NewScanner(said); lines.Scan(); {
		all = append(all, lines.Text())
		if line != "" && !killed && strings.HasPrefix(lines.Text(), "rotate: "+line) {
			killed = true
			if err := syscall.Kill(-rotate.Process.Pid, syscall.SIGKILL); err != nil {
				return err
			}
		}
	}
	err = rotate.Wait()
	switch {
	case line != "" && !killed:
		return fmt.Errorf("compose/rotate %s never said %q: %w:\n%s", component, line, err, strings.Join(all, "\n"))
	case killed:
		w.Say("compose/rotate %s was killed after %s, when it said %q", component, seconds(time.Since(began)), all[len(all)-1])
	case err != nil:
		return fmt.Errorf("compose/rotate %s: %w:\n%s", component, err, strings.Join(all, "\n"))
	default:
		w.Say("compose/rotate %s: done after %s", component, seconds(time.Since(began)))
	}
	return nil
}

// speaks waits until every running instance of a component says something from now on,
// which it does every ten seconds if it is on the bus.
func (w *world) speaks(ctx context.Context, instances *bus.Mirror, component string) error {
	now := time.Now()
	took, err := poll(ctx, 40*time.Second, "all instances of "+component+" to speak", func(ctx context.Context) error {
		want, err := w.Containers(ctx, "waggle_"+component)
		if err != nil {
			return err
		}
		values, complete := instances.Values()
		heard := 0
		for key, v := range values {
			if strings.HasPrefix(key, bus.InstanceKey(component, "")) && v.Time.After(now) {
				heard++
			}
		}
		if !complete || heard < want {
			return fmt.Errorf("heard of %d of %d", heard, want)
		}
		return nil
	})
	if err == nil {
		w.Say("all instances of %s are on the bus, and were heard within %s", component, seconds(took))
	}
	return err
}
