package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/lab"
	"github.com/wagglehq/waggle/compose/e2e/stack"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// strangers lets a listener of another swarm, which has the right key, follow its own swarm
// on the bus of this one.
func (w *world) strangers(ctx context.Context) error {
	own, err := w.clusterOf(ctx, w.Node(stack.Manager))
	if err != nil {
		return err
	}
	program, err := w.listenerProgram(ctx)
	if err != nil {
		return err
	}
	other, err := lab.Start(ctx, lab.Options{})
	if err != nil {
		return err
	}
	id, err := other.Node(stack.Manager).Docker(ctx, "service", "create", "-d", "--name", "stranger", "--replicas", "0", "--endpoint-mode", "dnsrr",
		"-l", "com.df.notify=true", "-l", "com.df.servicePath=/stranger", "-l", "com.df.port=8080", "none")
	if err == nil {
		err = w.under(ctx, trouble{happens: func(ctx context.Context) error { return w.besides(ctx, program, other.Node(stack.Manager), own, id) }})
	}
	return errors.Join(err, other.Close())
}

func (w *world) clusterOf(ctx context.Context, node *lab.Node) (string, error) {
	return node.Docker(ctx, "info", "--format", "{{.Swarm.Cluster.ID}}")
}

// listenerProgram takes the listener out of its image, to run on this machine, which
// reaches the swarms of both labs.
func (w *world) listenerProgram(ctx context.Context) (string, error) {
	node := w.Node(stack.Manager)
	places, err := w.Places(ctx, "waggle_listener", w.Nodes()...)
	if err != nil {
		return "", err
	}
	if len(places) == 0 {
		return "", errors.New("no listener runs")
	}
	file := node.Dir("waggle-listener")
	_, err = w.Node(places[0].Node).Docker(ctx, "cp", places[0].Container+":/waggle-listener", file)
	return file, err
}

// besides runs the other swarm's listener for a while.
func (w *world) besides(ctx context.Context, program string, manager *lab.Node, own, id string) error {
	var said tooltest.Log
	listener := exec.CommandContext(ctx, program, "-docker-host", manager.Host(), "-nats-url", w.Servers(), "-nats-replicas", "3",
		"-admin", "127.0.0.1:0", "-instance", "stranger", "-data-dir", filepath.Join(manager.Dir("stranger")))
	listener.Env = append(os.Environ(), "NATS_KEY_LISTENER="+w.Key("listener"))
	listener.Stdout, listener.Stderr = &said, &said
	listener.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := listener.Start(); err != nil {
		return err
	}
	defer func() {
		_ = listener.Process.Kill() // It may have ended by itself.
		_ = listener.Wait()
	}()
	w.Say("a listener of another swarm, with the right key, is started")
	began := time.Now()
	took, err := poll(ctx, 20*time.Second, "the other listener to name the swarm whose catalog it must not touch", func(context.Context) error {
		for line := range strings.Lines(said.String()) {
			if strings.Contains(line, own) && (strings.Contains(line, "WARN") || strings.Contains(line, "ERROR")) {
				return nil
			}
		}
		return errors.New("no warning of it has " + own)
	})
	if err != nil {
		w.Fault("%v", err)
	} else {
		w.Say("it refuses the catalog of %s by name, %s after its start", own, seconds(took))
	}
	if err := tooltest.Pause(ctx, 20*time.Second-time.Since(began)); err != nil {
		return err
	}
	for _, b := range w.buses {
		if _, _, err := b.Bucket(bus.CatalogBucket).Get(ctx, catalog.ServiceKey(id)); !errors.Is(err, bus.ErrNotFound) {
			w.Fault("the other swarm's service is in the catalog: %v", err)
			break
		}
	}
	if w.Faulty() {
		lines := strings.Split(strings.TrimSpace(said.String()), "\n")
		fmt.Fprintf(w.Out, "\n    %s\n\n", strings.Join(lines[max(0, len(lines)-8):], "\n    "))
	}
	return nil
}
