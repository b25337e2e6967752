package attack

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/wagglehq/waggle/compose/e2e/stack"
	"github.com/wagglehq/waggle/pkg/catalog"
)

// aliases has services and a container take the name of a service as an alias, so that DNS
// answers with their addresses too. None of its requests may get to them, whatever the
// catalog knows of them, and its own updates lose none.
func (w *world) aliases(ctx context.Context) error {
	all := []stack.Demo{
		// A stack gives each of its services the short name as an alias, and somebody has
		// created a service of that name by hand.
		{Name: "shop_web", Replicas: 2, Named: true, Unchecked: true, Aliases: []string{"web"}, Labels: stack.Labels("/shop")},
		{Name: "web", Replicas: 1, Named: true, Unchecked: true, Labels: stack.Labels("/web")},
		{Name: "unlabelled", Replicas: 2, Named: true, Unchecked: true, Aliases: []string{"shop_web"}},
		{Name: "labelled", Replicas: 1, Named: true, Unchecked: true, Aliases: []string{"shop_web"}, Labels: stack.Labels("/labelled")},
	}
	err := w.under(ctx, func(ctx context.Context) error {
		for _, d := range all {
			if err := w.Create(ctx, d); err != nil {
				return err
			}
			if _, err := w.Running(ctx, d.Name, int(d.Replicas)); err != nil {
				return err
			}
		}
		if err := w.answer(ctx, "/shop", "/web"); err != nil {
			return err
		}
		remove, err := w.Stranger(ctx, stack.Manager, "tasks.shop_web")
		if err == nil {
			err = w.onlyTheirOwn(ctx)
		}
		return errors.Join(err, remove(context.WithoutCancel(ctx)))
	})
	for _, d := range all {
		err = errors.Join(err, w.Remove(context.WithoutCancel(ctx), d.Name))
	}
	return err
}

func (w *world) onlyTheirOwn(ctx context.Context) error {
	for _, node := range w.Nodes() {
		if err := poll(ctx, told, "the proxy on "+node+" to see them in DNS", func(ctx context.Context) error {
			n, err := w.Metric(ctx, node, "waggle_proxy", "waggle_proxy_foreign_addresses")
			// Both of unlabelled, that of labelled, the container, and those of shop_web for web.
			if err == nil && n < 6 {
				err = fmt.Errorf("it refuses %v addresses", n)
			}
			return err
		}); err != nil {
			w.Fault("%v", err)
		}
	}
	for service, words := range map[string][]string{
		"shop_web": {"which is not used", "it is a task of labelled", "it is no task of shop_web"}, "web": {"it is a task of shop_web"},
	} {
		if err := poll(ctx, told, service+" to be warned", func(ctx context.Context) error { return w.warned(ctx, service, words) }); err != nil {
			w.Fault("%v", err)
		}
	}
	if err := w.only(ctx, 5000, map[string]string{"/shop": "shop_web.", "/web": "web."}); err != nil {
		return err
	}
	return w.lossless(ctx, "/shop", func(ctx context.Context) error {
		if err := w.Force(ctx, "shop_web"); err != nil {
			return err
		}
		return w.only(ctx, 1000, map[string]string{"/shop": "shop_web."})
	})
}

// warned is an error unless a replica of the proxy has applied the service and says all that.
func (w *world) warned(ctx context.Context, service string, words []string) error {
	statuses, err := w.Verdicts(ctx, w.listener, service)
	if err != nil {
		return err
	}
	for _, s := range statuses {
		if s.Component == "proxy" && s.State == catalog.StateApplied && says(s, words...) {
			return nil
		}
	}
	return fmt.Errorf("nobody says %q: %+v", words, statuses)
}

// only sends requests for each path to all proxies, and counts those that are answered by a
// task whose name does not begin with the text given.
func (w *world) only(ctx context.Context, requests int, paths map[string]string) error {
	g, all := errgroup.WithContext(ctx)
	for path, prefix := range paths {
		for _, node := range w.Nodes() {
			g.Go(func() error {
				for i := range requests / len(w.Nodes()) {
					name, err := w.Answer(all, node, path)
					if err != nil {
						return fmt.Errorf("request %d for %s on %s: %w", i+1, path, node, err)
					}
					if !strings.HasPrefix(name, prefix) {
						return fmt.Errorf("request %d for %s on %s was answered by %s", i+1, path, node, name)
					}
				}
				return nil
			})
		}
	}
	began := time.Now()
	if err := g.Wait(); err != nil {
		w.Fault("%v", err)
		return ctx.Err()
	}
	w.Say("%d requests to each of %d services in %d s were answered by their own tasks alone", requests, len(paths), int(time.Since(began).Seconds()))
	return nil
}
