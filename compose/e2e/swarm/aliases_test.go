package swarm

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/wagglehq/waggle/compose/e2e/stack"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// aliases has services and a container take the name of a service as an alias, so that
// DNS answers with their addresses too. None of its requests may get to them, whatever the
// catalog knows of them, and its own updates lose none.
func (w *world) aliases(t *testing.T) {
	ctx := tooltest.Context(t, 4*time.Minute)
	// A stack gives each of its services the short name as an alias, and somebody has
	// created a service of that name by hand.
	w.create(t, stack.Demo{Name: "shop_web", Replicas: 2, Named: true, Aliases: []string{"web"}, Labels: stack.Labels("/shop")})
	w.create(t, stack.Demo{Name: "web", Replicas: 1, Named: true, Labels: stack.Labels("/web")})
	for _, d := range []stack.Demo{
		{Name: "unlabelled", Replicas: 2, Named: true, Unchecked: true, Aliases: []string{"shop_web"}},
		{Name: "labelled", Replicas: 1, Named: true, Unchecked: true, Aliases: []string{"shop_web"}, Labels: stack.Labels("/labelled")},
	} {
		tooltest.Must(t, w.Create(ctx, d))
		_, err := w.Running(ctx, d.Name, int(d.Replicas))
		tooltest.Must(t, err)
	}
	remove, err := w.Stranger(ctx, stack.Manager, "tasks.shop_web")
	tooltest.Must(t, err)
	for _, node := range nodes() {
		eventually(t, "the proxy on "+node+" to see them in DNS", func() error {
			n, err := w.Metric(t.Context(), node, "waggle_proxy", "waggle_proxy_foreign_addresses")
			// Both of unlabelled, that of labelled, the container, and those of shop_web for web.
			if err == nil && n < 6 {
				err = fmt.Errorf("it refuses %v addresses", n)
			}
			return err
		})
	}
	w.says(t, "shop_web", "proxy", "applied", "which is not used", "it is a task of labelled", "it is no task of shop_web")
	w.says(t, "web", "proxy", "applied", "it is a task of shop_web")
	w.only(t, 5000, map[string]string{"/shop": "shop_web.", "/web": "web."})
	w.lossless(t, "/shop", func() {
		tooltest.Must(t, w.Force(ctx, "shop_web"))
		w.only(t, 1000, map[string]string{"/shop": "shop_web."})
	})
	w.answered(t, "/shop", 2)
	tooltest.Must(t, remove(ctx))
	for _, name := range []string{"labelled", "unlabelled", "web", "shop_web"} {
		tooltest.Must(t, w.Remove(ctx, name))
	}
	w.gone(t, "/shop")
	w.gone(t, "/web")
}

// only sends requests for each path to both proxies, and fails for each that is answered by
// a task whose name does not begin with the text given.
func (w *world) only(t *testing.T, requests int, paths map[string]string) {
	t.Helper()
	g, ctx := errgroup.WithContext(tooltest.Context(t, 2*time.Minute))
	for path, prefix := range paths {
		for _, node := range nodes() {
			g.Go(func() error { return w.onlyAt(ctx, requests/2, node, path, prefix) })
		}
	}
	tooltest.Must(t, g.Wait())
}

func (w *world) onlyAt(ctx context.Context, requests int, node, path, prefix string) error {
	for i := range requests {
		name, err := w.Answer(ctx, node, path)
		if err != nil {
			return fmt.Errorf("request %d for %s on %s: %w", i+1, path, node, err)
		}
		if !strings.HasPrefix(name, prefix) {
			return fmt.Errorf("request %d for %s on %s was answered by %s", i+1, path, node, name)
		}
	}
	return nil
}
