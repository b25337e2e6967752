package attack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/stack"
	"github.com/wagglehq/waggle/pkg/bus"
)

// secrets has services keep something secret, one of them with a fault, and looks for it
// wherever something can be read without a token. Then HAProxy's worker reads what is its
// controller's.
func (w *world) secrets(ctx context.Context) error {
	keeps, spoils := keeper(), keeper()
	spoils.Name = "attack_spoils"
	spoils.Labels["com.df.serviceCert"] = canary
	return w.under(ctx, func(ctx context.Context) error {
		err := errors.Join(
			w.Create(ctx, keeps),
			w.Create(ctx, spoils),
		)
		if err == nil {
			err = poll(ctx, told, "both to be judged", func(ctx context.Context) error {
				for _, d := range []stack.Demo{keeps, spoils} {
					statuses, err := w.Verdicts(ctx, w.listener, d.Name)
					if err != nil {
						return err
					}
					if len(statuses) == 0 {
						return errors.New("nobody says anything of " + d.Name)
					}
				}
				return nil
			})
		}
		if err == nil {
			err = errors.Join(w.told(ctx, keeps.Name, spoils.Name), w.asMonitor(ctx), w.asWorker(ctx))
		}
		after := context.WithoutCancel(ctx)
		return errors.Join(err, w.Remove(after, keeps.Name), w.Remove(after, spoils.Name))
	})
}

// keeper is a service with something secret in every label that can hold it.
func keeper() stack.Demo {
	return stack.Demo{Name: "attack_keeps", Labels: of(own, stack.Labels("/attack/keeps", "users", "ann:"+canary, "setReqHeader", "Authorization Basic "+canary,
		"addResHeader", "X-Api-Key "+canary, "serviceHeader", "X-Secret:"+canary))}
}

// told looks for what is secret in all that is answered and logged.
func (w *world) told(ctx context.Context, services ...string) error {
	asked, logged := 0, 0
	for service, paths := range map[string][]string{
		"listener": {"/v1/services", "/metrics", "/healthz"},
		"proxy":    {"/v1/services", "/v1/instances", "/v1/certs", "/v1/config", "/metrics"},
		"monitor":  {"/v1/services", "/v1/targets", "/metrics"},
		"scaler":   {"/v1/services", "/v1/decisions", "/metrics"},
	} {
		node, err := w.Home(ctx, "waggle_"+service)
		if service == "proxy" {
			node, err = stack.Manager, nil
		}
		if err != nil {
			return err
		}
		for _, name := range services {
			paths = append(paths, "/v1/services/"+name)
		}
		for _, path := range paths {
			asked++
			var text string
			// A path that wants a token, or does not know the service, says so and no more.
			if err := w.Inside(ctx, node, "waggle_"+service, 8080, path, &text); err != nil {
				text = err.Error()
			}
			if strings.Contains(text, canary) {
				w.Fault("the %s tells at %s what is secret", service, path)
			}
		}
	}
	for _, service := range []string{"listener", "proxy", "monitor", "scaler", "alertmanager"} {
		text, err := w.Said(ctx, "waggle_"+service, 0)
		if err != nil {
			return err
		}
		logged += strings.Count(text, "\n")
		if strings.Contains(text, canary) {
			w.Fault("%s logs what is secret", service)
		}
	}
	w.Say("%d paths without a token and %d lines of logs were read", asked, logged)
	return nil
}

// asMonitor looks for what is secret in the buckets that the monitor may read.
func (w *world) asMonitor(ctx context.Context) error {
	reading, stop := context.WithCancel(ctx)
	defer stop()
	all, err := w.BusesAs(reading, "monitor")
	if err != nil {
		return err
	}
	read := 0
	for _, b := range all {
		defer b.Close()
		for name, filter := range map[string]string{bus.CatalogBucket: ">", bus.StatusBucket: "monitor.>"} {
			mirror := b.Bucket(name).Mirror(filter, func() {})
			go func() { _ = mirror.Run(reading) }() // It ends with its context.
			if err := poll(ctx, told, "the bucket "+name, func(context.Context) error {
				if !mirror.Synced() {
					return errors.New("it is not read to its end")
				}
				return nil
			}); err != nil {
				return err
			}
			values, _ := mirror.Values()
			for key, value := range values {
				read++
				if strings.Contains(string(value.Data), canary) {
					w.Fault("the monitor reads in %s at %s what is secret", name, key)
				}
			}
		}
	}
	w.Say("%d entries of the bus were read as the monitor", read)
	if read == 0 {
		w.Fault("the monitor reads nothing on the bus, so nothing is shown")
	}
	return nil
}

// asWorker reads the secrets of the proxy's container as the user that HAProxy's worker is.
func (w *world) asWorker(ctx context.Context) error {
	masters, err := w.masters(ctx)
	if err != nil {
		return err
	}
	for _, node := range w.Nodes() {
		all, err := w.Processes(ctx, node, "waggle_proxy", "haproxy.cfg")
		if err != nil {
			return err
		}
		container, err := w.Container(ctx, node, "waggle_proxy")
		if err != nil {
			return err
		}
		for _, p := range all {
			if p.Parent != masters[node] {
				continue
			}
			user, err := userOf(p.PID)
			if err != nil {
				return err
			}
			w.readsNone(ctx, node, container, user)
		}
	}
	return nil
}

// userOf is the user and the group that a process has, as user:group.
func userOf(pid int) (string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return "", err
	}
	ids := map[string]string{}
	for line := range strings.Lines(string(text)) {
		// Uid: real, effective, saved, of the file system.
		if fields := strings.Fields(line); len(fields) > 2 {
			ids[fields[0]] = fields[2]
		}
	}
	return ids["Uid:"] + ":" + ids["Gid:"], nil
}

func (w *world) readsNone(ctx context.Context, node, container, user string) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	const script = `ls /run/secrets >/dev/null || exit 3; read=; for f in $(ls /run/secrets); do head -c 1 "/run/secrets/$f" >/dev/null 2>&1 && read="$read $f"; done; echo "read:$read"`
	out, err := w.Node(node).Docker(ctx, "exec", "--user", user, container, "sh", "-c", script)
	switch {
	case err != nil && !strings.Contains(out+err.Error(), "Permission denied"):
		w.Fault("as %s in the proxy on %s: %v", user, node, err)
	case err == nil && strings.TrimSpace(out) != "read:":
		w.Fault("as %s, which HAProxy's worker is, the proxy on %s can read the secrets%s", user, node, strings.TrimPrefix(strings.TrimSpace(out), "read:"))
	default:
		w.Say("as %s, which HAProxy's worker is, none of the secrets of the proxy on %s can be read", user, node)
	}
}
