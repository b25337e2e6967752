package proxycase

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/net/websocket"

	"github.com/wagglehq/waggle/compose/e2e/acceptance"
	"github.com/wagglehq/waggle/compose/e2e/proc"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// bystander is a service that is changed only to see what others notice.
const bystander = "bystander"

// Form is the form of the proxy's cases.
func Form() acceptance.Form {
	steps := acceptance.Common()
	maps.Copy(steps, map[string]acceptance.Reader{
		"deploy": deploy(inForce), "deploy_bad": deploy(refused), "deploy_any": deploy(settled),
		"req": func(values []json.RawMessage) (acceptance.Step, error) {
			var (
				r request
				e expectation
			)
			err := acceptance.Fill(values, &r, &e)
			if err == nil {
				err = errors.Join(r.complete(), e.complete())
			}
			return look(r.String(), r.check(e)), err
		},
		"tcp": func(values []json.RawMessage) (acceptance.Step, error) {
			var port int
			var ids []string
			err := acceptance.Fill(values, &port, &ids)
			if err == nil && len(ids) == 0 {
				err = errors.New("want the greetings")
			}
			return look(strconv.Itoa(port), greetings(port, ids)), err
		},
		"sticky":     texts(look, sticky),
		"proxyproto": texts(look, proxyProtocol),
		"shares": func(values []json.RawMessage) (acceptance.Step, error) {
			var path string
			var n int
			var counts map[string]int
			err := acceptance.Fill(values, &path, &n, &counts)
			if err == nil {
				err = errors.Join(countable(map[string]int{"requests": n}, most), countable(counts, 100))
			}
			return look(path, shares(path, n, counts)), err
		},
		"together": func(values []json.RawMessage) (acceptance.Step, error) {
			var path string
			var counts map[string]int
			err := acceptance.Fill(values, &path, &counts)
			if err == nil {
				err = countable(counts, 50)
			}
			return act(path, together(path, counts)), err
		},
		"ws":           text(webSocket),
		"config_lacks": text(configLacks),
		"inflight":     texts(act, inFlight),
		"putcert_bad":  texts(act, putText),
		"putcert": func(values []json.RawMessage) (acceptance.Step, error) {
			var name, file string
			var status int
			err := acceptance.Fill(values, &name, &file, &status)
			return act(name, putFile(name, file, status)), err
		},
		"killproxy": func(values []json.RawMessage) (acceptance.Step, error) {
			return act("", killHAProxy), acceptance.Fill(values)
		},
		"hosts": func(values []json.RawMessage) (acceptance.Step, error) {
			var lines string
			err := acceptance.Fill(values, &lines)
			if err == nil {
				_, err = acceptance.ParseHosts(lines)
			}
			return act("", knowHosts(lines)), err
		},
	})
	return acceptance.Form{Name: "proxy", Builds: []string{"proxy"}, Tools: []string{"haproxy"}, Steps: steps, Read: read}
}

// attempt does one step.
type attempt func(context.Context, *world) error

// act is a step that changes something, look one that may be tried again.
func act(about string, do attempt) acceptance.Step {
	return acceptance.Step{About: about, Do: func(ctx context.Context, w acceptance.World) error { return do(ctx, w.(*world)) }}
}

func look(about string, do attempt) acceptance.Step {
	s := act(about, do)
	s.Polled = true
	return s
}

// text reads a step with one text.
func text(do func(string) attempt) acceptance.Reader {
	return func(values []json.RawMessage) (acceptance.Step, error) {
		var one string
		err := acceptance.Fill(values, &one)
		return act(one, do(one)), err
	}
}

// texts reads a step with two.
func texts(kind func(string, attempt) acceptance.Step, do func(one, two string) attempt) acceptance.Reader {
	return func(values []json.RawMessage) (acceptance.Step, error) {
		var one, two string
		err := acceptance.Fill(values, &one, &two)
		return kind(one, do(one, two)), err
	}
}

// outcome makes the judge of what the proxy says of a service that was deployed.
type outcome func(w *world, name string, labels map[string]string) acceptance.Expect

// deploy gives a service its labels and waits for the outcome.
func deploy(want outcome) acceptance.Reader {
	return func(values []json.RawMessage) (acceptance.Step, error) {
		var name string
		var labels map[string]string
		err := acceptance.Fill(values, &name, &labels)
		return act(name, func(ctx context.Context, w *world) error { return w.Deploy(ctx, name, labels, want(w, name, labels)) }), err
	}
}

// inForce wants the labels to be applied.
func inForce(w *world, name string, labels map[string]string) acceptance.Expect {
	return func(s catalog.Status, since time.Duration) error {
		if s.State == catalog.StateRejected {
			return tooltest.Final(fmt.Errorf("%s is rejected: %s", name, s.Reason))
		}
		return settled(w, name, labels)(s, since)
	}
}

// refused wants them to be rejected, with a reason.
func refused(_ *world, name string, _ map[string]string) acceptance.Expect {
	return func(s catalog.Status, _ time.Duration) error {
		if s.State != catalog.StateRejected || s.Service != name || s.Reason == "" {
			return fmt.Errorf("%s is %s (reason %q), want it to be rejected for a reason", s.Service, s.State, s.Reason)
		}
		return nil
	}
}

// settled wants a verdict, whichever it is.
func settled(w *world, name string, labels map[string]string) acceptance.Expect {
	return func(s catalog.Status, since time.Duration) error {
		switch s.State {
		case catalog.StateApplied, catalog.StateIgnored, catalog.StateRejected:
			return nil
		case catalog.StateDegraded:
			if since < knownTask && w.hasTask(name, labels) {
				return fmt.Errorf("%s is degraded although the DNS knows a task: %s", name, s.Reason)
			}
			return nil
		}
		return fmt.Errorf("%s is %s: %s", name, s.State, s.Reason)
	}
}

// withFiles puts the test's own files in place of "@" and their names, on one line.
func (w *world) withFiles(labels map[string]string) map[string]string {
	out := maps.Clone(labels)
	for label, text := range out {
		if content, ok := w.files[strings.TrimPrefix(text, "@")]; ok && strings.HasPrefix(text, "@") {
			out[label] = strings.ReplaceAll(string(content), "\n", `\n`)
		}
	}
	return out
}

// hasTask reports whether the DNS knows where requests for the service are to go.
func (w *world) hasTask(host string, labels map[string]string) bool {
	for label, value := range labels {
		if strings.HasPrefix(label, "outboundHostname") {
			host = value
		}
	}
	return len(w.swarm.Names.Lookup(host)) > 0
}

// Deploy gives a service its labels and waits for the outcome.
func (w *world) Deploy(ctx context.Context, name string, labels map[string]string, want acceptance.Expect) error {
	labels = w.withFiles(labels)
	w.swarm.Deploy(name, labels)
	// A service that is not the proxy's business has no entry.
	status := catalog.Status{Service: name, State: catalog.StateIgnored}
	err := w.publish(ctx, func(st apiState, since time.Duration) error {
		if i := slices.IndexFunc(st.Services, func(s catalog.Status) bool { return s.Service == name }); i >= 0 {
			status = st.Services[i]
		}
		return want(status, since)
	})
	if err == nil && w.lint != nil {
		err = w.lint.compare(ctx, w.settings, name, labels, status)
	}
	return err
}

// Remove takes a service away and waits until the proxy knows, and those that take its
// place have what they need.
func (w *world) Remove(ctx context.Context, name string) error {
	w.swarm.Remove(name)
	if w.lint != nil {
		delete(w.lint.standing, name)
	}
	return w.publish(ctx, func(st apiState, since time.Duration) error {
		for _, s := range st.Services {
			if s.Service == name {
				return fmt.Errorf("the proxy still has %s", name)
			}
			if labels, ok := w.swarm.Labels(s.Service); ok && s.State == catalog.StateDegraded {
				if err := settled(w, s.Service, labels)(s, since); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// publish writes the catalog and waits until the proxy has taken it in and the
// check of what it says finds nothing wrong.
func (w *world) publish(ctx context.Context, check func(apiState, time.Duration) error) error {
	revision, err := w.swarm.Write(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	return acceptance.Poll(ctx, w, acceptance.StepLimit, func(ctx context.Context) error {
		st, err := w.state(ctx)
		if err == nil {
			err = st.reached(revision)
		}
		if err != nil {
			return err
		}
		return check(st, time.Since(began))
	})
}

// knowHosts changes what the DNS knows.
func knowHosts(text string) attempt {
	return func(_ context.Context, w *world) error { return w.swarm.Names.Know(text) }
}

// greetings connects nine times, and all must be greeted by those wanted, and each
// of those must have greeted.
func greetings(port int, ids []string) attempt {
	return func(ctx context.Context, _ *world) error {
		seen := map[string]bool{}
		for range 9 {
			got, err := greeting(ctx, port)
			if err != nil {
				return err
			}
			i := slices.Index(ids, got)
			if i < 0 {
				i = slices.IndexFunc(ids, func(want string) bool { return is(got, want) })
			}
			if i < 0 {
				return fmt.Errorf("port %d greets with %q, want %s", port, got, strings.Join(ids, ", "))
			}
			seen[ids[i]] = true
		}
		if len(seen) != len(ids) {
			return fmt.Errorf("port %d greets with %s alone, want %s", port, strings.Join(slices.Sorted(maps.Keys(seen)), ", "), strings.Join(ids, ", "))
		}
		return nil
	}
}

func greeting(ctx context.Context, port int) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(io.LimitReader(conn, 1024)).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("port %d: no greeting: %w", port, err)
	}
	return strings.TrimSpace(line), nil
}

// fetch makes a plain request that must reach an upstream.
func (w *world) fetch(ctx context.Context, r request) (response, error) {
	if err := r.complete(); err != nil {
		return response{}, err
	}
	got, err := r.send(ctx, w.files)
	if err == nil && (got.status != http.StatusOK || got.seen == nil) {
		err = fmt.Errorf("%s: status %d, want 200 from an upstream", r.Path, got.status)
	}
	return got, err
}

// sticky wants requests without the cookie to reach both tasks, and requests with the
// cookie of a task to reach that task alone.
func sticky(path, cookie string) attempt {
	return func(ctx context.Context, w *world) error {
		cookies := map[string]string{} // by upstream
		for range 12 {
			got, err := w.fetch(ctx, request{Path: path})
			if err != nil {
				return err
			}
			value := ""
			for _, c := range (&http.Response{Header: got.header}).Cookies() {
				if c.Name == cookie {
					value = c.Value
				}
			}
			if value == "" {
				return fmt.Errorf("no cookie %s is set", cookie)
			}
			cookies[got.seen.Service] = value
		}
		if want := []string{"at1", "at2"}; !slices.Equal(slices.Sorted(maps.Keys(cookies)), want) {
			return fmt.Errorf("without the cookie %s are reached, want %s", slices.Sorted(maps.Keys(cookies)), want)
		}
		for task, value := range cookies {
			for range 6 {
				got, err := w.fetch(ctx, request{Path: path, Headers: map[string]string{"Cookie": cookie + "=" + value}})
				if err != nil {
					return err
				}
				if got.seen.Service != task {
					return fmt.Errorf("with the cookie of %s, %s is reached", task, got.seen.Service)
				}
			}
		}
		return nil
	}
}

// proxyProtocol sends a PROXY protocol header before the request.
func proxyProtocol(path, ip string) attempt {
	return func(ctx context.Context, w *world) error {
		addr, err := netip.ParseAddr(ip)
		if err != nil {
			return err
		}
		before := fmt.Sprintf("PROXY TCP4 %s 127.0.0.1 40000 80\r\n", addr)
		if addr.Is6() {
			before = fmt.Sprintf("PROXY TCP6 %s ::1 40000 80\r\n", addr)
		}
		got, err := w.fetch(ctx, request{Path: path, before: before})
		if err != nil {
			return err
		}
		if saw := got.seen.Headers["X-Forwarded-For"]; saw != ip {
			return fmt.Errorf("the upstream saw X-Forwarded-For %q, want %q", saw, ip)
		}
		return nil
	}
}

// silence is how long a WebSocket says nothing.
const silence = 4 * time.Second

// webSocket keeps a connection over silence and a change of another service.
func webSocket(path string) attempt {
	return func(ctx context.Context, w *world) error {
		c, err := websocket.NewConfig("ws://localhost"+path, "http://localhost")
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, requestLimit)
		defer cancel()
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", "127.0.0.1:80")
		if err != nil {
			return err
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(requestLimit)); err != nil {
			return err
		}
		ws, err := websocket.NewClient(c, conn)
		if err != nil {
			return fmt.Errorf("upgrade: %w", err)
		}
		if err := echoes(ws, "before"); err != nil {
			return fmt.Errorf("after the upgrade: %w", err)
		}
		if err := w.disturb(ctx, bystander); err != nil {
			return err
		}
		if err := tooltest.Pause(ctx, silence); err != nil {
			return err
		}
		if err := echoes(ws, "after"); err != nil {
			return fmt.Errorf("after a change of another service and %v of silence: %w", silence, err)
		}
		return nil
	}
}

func echoes(ws *websocket.Conn, text string) error {
	if err := websocket.Message.Send(ws, text); err != nil {
		return err
	}
	var got string
	if err := websocket.Message.Receive(ws, &got); err != nil {
		return err
	}
	if got != text {
		return fmt.Errorf("%q came back, want %q", got, text)
	}
	return nil
}

// inFlight makes a slow request, changes another service while the upstream works
// on it, and wants the answer whole.
func inFlight(path, name string) attempt {
	return func(ctx context.Context, w *world) error {
		before := w.behind.slow.Load()
		answered := make(chan error, 1)
		go func() {
			_, err := w.fetch(ctx, request{Path: path})
			answered <- err
		}()
		if err := acceptance.Poll(ctx, w, acceptance.StepLimit, func(context.Context) error {
			select {
			case err := <-answered:
				return tooltest.Final(errors.Join(fmt.Errorf("%s was over before anything changed", path), err))
			default:
			}
			if w.behind.slow.Load() == before {
				return fmt.Errorf("%s has not reached an upstream", path)
			}
			return nil
		}); err != nil {
			return err
		}
		former, existed := w.swarm.Labels(name)
		if err := w.disturb(ctx, name); err != nil {
			return err
		}
		if err := <-answered; err != nil {
			return fmt.Errorf("while %s changed: %w", name, err)
		}
		if existed {
			return w.Deploy(ctx, name, former, settled(w, name, former))
		}
		return w.Remove(ctx, name)
	}
}

// disturb changes a service: it gets one more path, or it is created.
func (w *world) disturb(ctx context.Context, name string) error {
	w.made++
	path := fmt.Sprintf("/disturbed-%d", w.made)
	labels, existed := w.swarm.Labels(name)
	if !existed {
		labels["port"] = "8080"
	}
	if had := labels["servicePath"]; had != "" {
		separator := w.settings.Env["SEPARATOR"]
		if separator == "" {
			separator = ","
		}
		path = had + separator + path
	}
	labels["servicePath"] = path
	return w.Deploy(ctx, name, labels, settled(w, name, labels))
}

// putFile uploads one of the test's own certificates.
func putFile(name, file string, want int) attempt {
	return func(ctx context.Context, w *world) error {
		content, ok := w.files[strings.TrimPrefix(file, "@")]
		if !ok {
			return fmt.Errorf("the test makes no file %q", file)
		}
		status, body, err := w.put(ctx, name, content)
		if err == nil && status != want {
			err = fmt.Errorf("the upload is answered %d, want %d: %s", status, want, body)
		}
		return err
	}
}

// putText uploads what is no certificate.
func putText(name, text string) attempt {
	return func(ctx context.Context, w *world) error {
		status, body, err := w.put(ctx, name, []byte(text))
		if err == nil && (status < 400 || status > 499) {
			err = fmt.Errorf("the upload of what is no certificate is answered %d, want 4xx: %s", status, body)
		}
		if err == nil && (status == http.StatusUnauthorized || status == http.StatusNotFound || status == http.StatusMethodNotAllowed) {
			err = fmt.Errorf("the upload is answered %d, which says nothing of its content: %s", status, body)
		}
		return err
	}
}

// put is the original's way to bring a certificate.
func (w *world) put(ctx context.Context, name string, content []byte) (status int, body []byte, err error) {
	return w.Request(ctx, http.MethodPut, "/v1/docker-flow-proxy/cert?certName="+url.QueryEscape(name), content)
}

// configLacks wants a text to be neither in the files of the configuration nor in
// what HAProxy says it runs. The file may follow what runs a little later.
func configLacks(text string) attempt {
	return func(ctx context.Context, w *world) error {
		return acceptance.Poll(ctx, w, acceptance.StepLimit, func(ctx context.Context) error {
			files := 0
			err := filepath.WalkDir(filepath.Join(dataDir, "haproxy"), func(path string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				content, err := os.ReadFile(path)
				if errors.Is(err, fs.ErrNotExist) {
					return nil // it was replaced at this moment
				}
				files++
				if err == nil && bytes.Contains(content, []byte(text)) {
					err = fmt.Errorf("%s contains %q", filepath.Base(path), text)
				}
				return err
			})
			if err != nil {
				return err
			}
			if files == 0 {
				return errors.New("there is no configuration")
			}
			runs, err := running(ctx)
			if err == nil && strings.Contains(runs, text) {
				err = fmt.Errorf("HAProxy runs something with %q", text)
			}
			return err
		})
	}
}

// running is what HAProxy says of its backends and servers.
func running(ctx context.Context) (string, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", acceptance.Hall+"/waggle/haproxy.sock")
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, "show backend; show servers state\n"); err != nil {
		return "", err
	}
	text, err := io.ReadAll(conn)
	if err == nil && !bytes.Contains(text, []byte("srv_addr")) {
		err = fmt.Errorf("HAProxy answers %q", text)
	}
	return string(text), err
}

// killHAProxy kills all processes of HAProxy at once, and returns when they are dead.
// No others than those of the case can be seen.
func killHAProxy(ctx context.Context, w *world) error {
	pids, err := haproxies()
	if err != nil {
		return err
	}
	if len(pids) < 2 {
		return fmt.Errorf("%d processes of HAProxy were found, want a master and its worker", len(pids))
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	return acceptance.Poll(ctx, w, acceptance.StepLimit, func(context.Context) error {
		now, err := haproxies()
		if err == nil && slices.ContainsFunc(now, func(pid int) bool { return slices.Contains(pids, pid) }) {
			err = errors.New("a process of HAProxy does not end")
		}
		return err
	})
}

// haproxies returns the processes of HAProxy that are not dead.
func haproxies() ([]int, error) {
	all, err := proc.All()
	var pids []int
	for _, p := range all {
		// The program may stand behind the loader that starts it.
		if slices.Contains(p.Args, "-W") && slices.ContainsFunc(p.Args, func(a string) bool { return filepath.Base(a) == "haproxy" }) {
			pids = append(pids, p.PID)
		}
	}
	return pids, err
}
