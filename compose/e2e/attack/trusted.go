package attack

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/stack"
)

// liar is the service on the users' network that says it is somebody else.
const liar = "liar"

// foreign is where clients of the guarded service must come from.
const foreign = "203.0.113.7"

// canary is what must not arrive anywhere.
const canary = "canary-7f3a91c2e4"

// said are headers by which proxies tell tasks of a client, and of what it has asked for.
func said() []string {
	var out []string
	for _, name := range []string{
		"X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Server", "X-Forwarded-Uri", "X-Forwarded-Method", "X-Real-IP",
		"X-Original-URL", "X-Rewrite-URL", "X_Forwarded_For", "X_Forwarded_Host", "X_Real_IP", "X-Client-IP", "True-Client-IP",
	} {
		out = append(out, name+": "+canary)
	}
	return append(out, "Forwarded: for="+canary, "X-Forwarded-For: "+canary)
}

// asked are the services to which the liar lies.
func asked() []stack.Demo {
	return []stack.Demo{
		{Name: "attack_allowed", Replicas: 1, Unchecked: true, Labels: of(own, stack.Labels("/attack/allowed", "allowedAddresses", foreign))},
		{Name: "attack_echo", Image: "echo", Replicas: 1, Unchecked: true, Labels: of(own, stack.Labels("/attack/echo", "forwardAuth", "http://attack_asked:8080/", "forwardAuthHeaders", "X-Seen"))},
		{Name: "attack_asked", Image: "echo", Replicas: 1, Unchecked: true, Labels: of(own, stack.Labels("/attack/asked"))},
	}
}

// trusted has a container on the users' network claim other addresses, where the operator
// trusts a network in which it happens to be.
func (w *world) trusted(ctx context.Context) error {
	if err := w.Program(ctx, "echo", "./attack/testdata/echo", w.Nodes()...); err != nil {
		return err
	}
	const port = 8181 // where the header of the PROXY protocol is taken from those who are trusted
	restore, err := w.with(ctx, []string{"TRUSTED_PROXIES=10.0.0.0/8", fmt.Sprintf("BIND_PORTS=%d accept-proxy", port)}, nil)
	all := append(asked(), stack.Demo{Name: liar, Replicas: 1, Unchecked: true, Node: stack.Manager})
	if err == nil {
		err = w.under(ctx, func(ctx context.Context) error {
			for _, d := range all {
				if err := w.Create(ctx, d); err != nil {
					return err
				}
				if _, err := w.Running(ctx, d.Name, 1); err != nil {
					return err
				}
			}
			if err := w.answer(ctx, "/attack/echo", "/attack/asked"); err != nil {
				return err
			}
			return w.lied(ctx, port)
		})
	}
	for _, d := range all {
		err = errors.Join(err, w.Remove(context.WithoutCancel(ctx), d.Name))
	}
	return errors.Join(err, restore(ctx))
}

// lied tells each proxy what is not so.
func (w *world) lied(ctx context.Context, port int) error {
	for _, node := range w.Nodes() {
		address, err := w.address(ctx, node, "waggle_proxy", "waggle")
		if err != nil {
			return err
		}
		const allowed = "GET /attack/allowed HTTP/1.1"
		for _, lie := range []struct {
			port        int
			first, line string
		}{
			{80, "", ""},
			{80, "", "X-Forwarded-For: " + foreign},
			{80, "", "X-Forwarded-For: " + foreign + ", 10.0.0.1"},
			{80, "", "Forwarded: for=" + foreign},
			{80, "", "X-Real-IP: " + foreign},
			{port, "", "X-Forwarded-For: " + foreign},
			{port, "PROXY TCP4 " + foreign + " " + address + " 40000 80\r\n", ""},
		} {
			status, _, err := w.spoken(ctx, lie.port, address, lie.first, allowed, lie.line)
			if status/100 == 2 || err == nil && status == http.StatusServiceUnavailable {
				w.Fault("%q and %q at port %d of %s: %d, want 403 or no answer", lie.first, lie.line, lie.port, node, status)
			}
		}
		status, seen, err := w.spoken(ctx, 80, address, "", append([]string{"GET /attack/echo HTTP/1.1"}, said()...)...)
		if err != nil || status != http.StatusOK {
			return fmt.Errorf("/attack/echo on %s is answered %d: %w", node, status, err)
		}
		// What the service that is asked for leave has seen is among what the task has seen.
		if strings.Contains(seen, canary) || !strings.Contains(seen, "X-Seen=") {
			w.Fault("with headers of a stranger, task and forwardAuth on %s see %q", node, seen)
		}
	}
	w.Say("a container on the users' network stays who it is, and none of %d headers of its own arrives", len(said()))
	return nil
}

// spoken sends lines from the liar's container, with something before them, and returns what
// is answered.
func (w *world) spoken(ctx context.Context, port int, address, first string, lines ...string) (int, string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	dial, err := w.Within(ctx, stack.Manager, liar)
	if err != nil {
		return 0, "", err
	}
	conn, err := dial(ctx, "tcp", net.JoinHostPort(address, fmt.Sprint(port)))
	if err != nil {
		return 0, "", err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return 0, "", err
	}
	text := first
	for _, line := range lines {
		if line != "" {
			text += line + "\r\n"
		}
	}
	if _, err := io.WriteString(conn, text+"Host: any\r\nConnection: close\r\n\r\n"); err != nil {
		return 0, "", err
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res.StatusCode, string(body), err
}
