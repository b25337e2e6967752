package attack

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/wagglehq/waggle/compose/e2e/stack"
)

// owned is the file of owners: what the victims have, and for others what is below the name
// of their stack.
const owned = `
mode: enforce
stacks:
  shop: {hosts: [shop.acme.com, "*.acme.com"], groups: [shop], ports: [6379]}
default: {hosts: ["*.$stack.example"], paths: ["/$stack"]}
`

// victims are what the thieves are after.
func victims() []stack.Demo {
	return []stack.Demo{
		{Name: "shop_web", Replicas: 1, Named: true, Unchecked: true, Labels: of("shop", stack.Labels("/", "serviceDomain", "shop.acme.com", "serviceGroup", "shop"))},
		{Name: "shop_all", Replicas: 1, Named: true, Unchecked: true, Labels: of("shop", stack.Labels("/", "serviceDomain", "*.acme.com"))},
	}
}

// thieves each have a way of their own to ask for the victims' requests.
func thieves() []crook {
	row := func(what, label string, labels ...string) crook {
		l := stack.Labels("/", labels...)
		return crook{what: what, labels: l, says: []string{"com.df." + label}}
	}
	raw := func(c crook, absent ...string) crook {
		for _, label := range absent {
			delete(c.labels, "com.df."+label)
		}
		return c
	}
	return []crook{
		row("a condition that always holds", "serviceDomain", "serviceDomain", "shop.acme.com", "servicePathExclude", "/zzz"),
		row("a part of the clients", "serviceDomain", "serviceDomain", "shop.acme.com", "userAgent", "Go-http-client"),
		row("another comparison of paths", "serviceDomain", "serviceDomain", "shop.acme.com", "pathType", "path_reg", "servicePath", "^/.*"),
		row("a longer path", "serviceDomain", "serviceDomain", "shop.acme.com", "servicePath", "/a"),
		row("an explicit order, for any host", "servicePath", "aclName", "0", "servicePath", "/a,/b,/_"),
		row("well-known paths of any host", "servicePath", "servicePath", "/.well-known/acme-challenge"),
		row("a redirect", "redirectFromDomain", "redirectFromDomain", "login.acme.com", "serviceDomain", "www.thief.example"),
		row("a name below a wildcard", "serviceDomain", "serviceDomain", "login.acme.com"),
		row("a group", "serviceGroup", "serviceDomain", "www.thief.example", "serviceGroup", "shop", "weight", "100"),
		row("a longer comparison of hosts", "serviceDomain", "serviceDomainAlgo", "hdr_reg(host)", "serviceDomain", "^[a-z0-9.-]+[.]acme[.]com$"),
		raw(row("the port of TLS, while there is no certificate", "srcPort", "reqMode", "tcp", "srcPort", "443"), "servicePath"),
		raw(row("another's port", "srcPort", "reqMode", "tcp", "srcPort", "6379"), "servicePath"),
		row("what fits no route", "isDefaultBackend", "servicePath", "/thief", "isDefaultBackend", "true"),
	}
}

// owners has a stack ask for the hosts of another, in proxies that know whose is what.
func (w *world) owners(ctx context.Context) error {
	restore, err := w.with(ctx, []string{"OWNERS=" + owned}, nil)
	if err == nil {
		err = w.under(ctx, w.robbed)
	}
	for _, d := range victims() {
		err = errors.Join(err, w.Remove(context.WithoutCancel(ctx), d.Name))
	}
	return errors.Join(err, restore(ctx))
}

func (w *world) robbed(ctx context.Context) error {
	for _, d := range victims() {
		if err := w.Create(ctx, d); err != nil {
			return err
		}
		if _, err := w.Running(ctx, d.Name, int(d.Replicas)); err != nil {
			return err
		}
	}
	if err := poll(ctx, told, "the victims to be answered", w.unrobbed); err != nil {
		return err
	}
	for _, c := range thieves() {
		if err := w.refused(ctx, c); err != nil {
			return err
		}
		if err := w.unrobbed(ctx); err != nil {
			w.Fault("%s: %v", c.what, err)
		}
	}
	return nil
}

// unrobbed is an error unless requests for the victims' hosts are answered by them.
func (w *world) unrobbed(ctx context.Context) error {
	for host, service := range map[string]string{"shop.acme.com": "shop_web.", "login.acme.com": "shop_all.", "a.b.acme.com": "shop_all."} {
		for _, path := range []string{"/", "/a", "/.well-known/acme-challenge/x"} {
			for _, node := range w.Nodes() {
				status, body, err := w.from(ctx, node, host, path)
				if err == nil && (status != http.StatusOK || !strings.HasPrefix(body, "hello from "+service)) {
					err = fmt.Errorf("answered %d %q", status, body)
				}
				if err != nil {
					return fmt.Errorf("%s%s on %s: %w", host, path, node, err)
				}
			}
		}
	}
	return nil
}
