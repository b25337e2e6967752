package attack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/wagglehq/waggle/compose/e2e/stack"
	"github.com/wagglehq/waggle/pkg/bus"
)

// secrets has services keep something secret, one of them with a fault, and looks for it
// wherever something can be read without a token. Then HAProxy's worker reads what is its
// controller's.
func (w *world) secrets(ctx context.Context) error {
	keeps, spoils := keeper(), keeper()
	spoils.Name = "attack_spoils"
	spoils.Labels["com.df.serviceCert"] = canary + "-cert"
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
	return stack.Demo{Name: "attack_keeps", Labels: of(own, stack.Labels("/attack/keeps",
		"users", "ann:"+canary+"-users", "setReqHeader", "Authorization Basic "+canary+"-set", "addReqHeader", "X-Api-Key "+canary+"-add", "serviceHeader", "X-Secret:"+canary+"-if"))}
}

// leaked are the canaries in a text, by which it is seen from which labels they are.
func leaked(text string) []string {
	found := regexp.MustCompile(canary+"[a-z-]*").FindAllString(text, -1)
	slices.Sort(found)
	return slices.Compact(found)
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
			if found := leaked(text); len(found) > 0 {
				w.Fault("the %s tells at %s what is secret: %v", service, path, found)
			}
		}
	}
	for _, service := range []string{"listener", "proxy", "monitor", "scaler", "alertmanager"} {
		text, err := w.Said(ctx, "waggle_"+service)
		if err != nil {
			return err
		}
		logged += strings.Count(text, "\n")
		if found := leaked(text); len(found) > 0 {
			w.Fault("%s logs what is secret: %v", service, found)
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
				if found := leaked(string(value.Data)); len(found) > 0 {
					w.Fault("the monitor reads in %s at %s what is secret: %v", name, key, found)
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
		for _, p := range all {
			if p.Parent != masters[node] {
				continue
			}
			files, err := readable(p.PID)
			if err != nil {
				return err
			}
			if len(files) > 0 {
				w.Fault("HAProxy's worker on %s can read %v", node, files)
			}
			w.Say("HAProxy's worker on %s can read %d secrets", node, len(files))
		}
	}
	return nil
}

// readable are the secrets in a process's container that its user and groups may read.
func readable(pid int) ([]string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return nil, err
	}
	ids := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 0 {
			ids[fields[0]] = fields[1:]
		}
	}
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/root/run/secrets/*", pid))
	if err == nil && len(files) == 0 {
		err = errors.New("there are no secrets, so nothing is shown")
	}
	var out []string
	for _, file := range files {
		var st syscall.Stat_t
		if err := syscall.Stat(file, &st); err != nil {
			return nil, err
		}
		owner, group := strconv.Itoa(int(st.Uid)), strconv.Itoa(int(st.Gid))
		// Of real, effective, saved and that of the file system any may be taken.
		shift := 0
		switch {
		case slices.Contains(ids["Uid:"], "0"):
			shift = -1
		case slices.Contains(ids["Uid:"], owner):
			shift = 6
		case slices.Contains(slices.Concat(ids["Gid:"], ids["Groups:"]), group):
			shift = 3
		}
		if shift < 0 || st.Mode>>shift&4 != 0 {
			out = append(out, filepath.Base(file))
		}
	}
	return out, err
}
