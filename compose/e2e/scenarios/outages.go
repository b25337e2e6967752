package scenarios

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/wagglehq/waggle/compose/e2e/stack"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// outages are what is heard when something stops.
func outages() []part {
	var out []part
	play := func(o outage) {
		out = append(out, part{Name: "outage-" + o.name, What: o.what + " stops", Play: func(w *world, ctx context.Context) error { return o.play(ctx, w) }})
	}
	for _, o := range []outage{
		{name: "listener", what: "the listener", service: "waggle_listener", alert: "WaggleComponentDown"},
		{name: "scaler", what: "the scaler", service: "waggle_scaler", alert: "WaggleComponentDown"},
		{name: "proxies", what: "the proxy on all nodes", service: "waggle_proxy", alert: "WaggleComponentDown", stop: (*world).nowhere, back: (*world).anywhere},
		{name: "alertmanager", what: "Alertmanager", service: "waggle_alertmanager", alert: "PrometheusCannotNotify", mute: true},
		{name: "monitor", what: "the monitor with Prometheus", service: "waggle_monitor", mute: true},
	} {
		play(o)
	}
	out = append(out, part{Name: "power", What: "the power of a node is cut", Play: (*world).power})
	// It is the last one because its tasks that cannot start are told for a while after it.
	play(outage{name: "proxy", what: "the proxy on one node", service: "waggle_proxy", alert: "WaggleProxyMissing", stop: (*world).unimaged, back: (*world).reimaged})
	return out
}

// promptly is how long it may take until an alert fires that something has stopped.
const promptly = 2 * time.Minute

// outage is one component that stops.
type outage struct {
	name, what, service string
	// alert is what fires; none if nobody is left who evaluates.
	alert string
	// mute says that nobody can tell people, so that the sign of life must stay away.
	mute bool
	// stop and back are how it is stopped, and comes back; by the number of its replicas if nil.
	stop, back func(*world, context.Context) error
}

// play stops the component, waits until somebody hears of it, and brings it back.
func (o outage) play(ctx context.Context, w *world) error {
	if err := w.knowsNoName(ctx); err != nil {
		return err
	}
	if !w.want(ctx, late, "all is well before", w.well) {
		return nil
	}
	checked := w.compare(ctx)
	if o.stop == nil {
		o.stop = func(w *world, ctx context.Context) error { return w.Scale(ctx, o.service, 0) }
		o.back = func(w *world, ctx context.Context) error { return w.Scale(ctx, o.service, 1) }
	}
	n, began := w.chat.count(), time.Now()
	err := o.stop(w, ctx)
	if err == nil {
		o.hear(ctx, w, n, began)
	}
	err = errors.Join(err, o.back(w, ctx))
	if err == nil {
		err = w.Ready(ctx)
	}
	checked()
	return err
}

// hear waits for the alert, for the message about it, and for the end of the signs of life
// where there can be no message. It prints what a row of the table in docs/operations.md says.
func (o outage) hear(ctx context.Context, w *world, n int, began time.Time) {
	fires, told := "none", "nobody can tell them"
	if o.alert != "" && w.want(ctx, promptly+soon, o.alert+" fires", w.alerts("firing", o.alert)) {
		took := time.Since(began)
		fires = fmt.Sprintf("%s after %.0f s", o.alert, took.Seconds())
		if took > promptly {
			w.Fault("%s fires after %.0f s, want at most %v", o.alert, took.Seconds(), promptly)
		}
	}
	if !o.mute {
		if w.want(ctx, late, "the chat is told", w.says(n, false, o.alert)) {
			for _, m := range w.chat.since(n) {
				if strings.Contains(m.Title, o.alert) && m.Color != over {
					told = fmt.Sprintf("after %.0f s", m.at.Sub(began).Seconds())
					break
				}
			}
		}
		for _, m := range w.chat.since(n) {
			w.Say("message after %.0f s: %s", m.at.Sub(began).Seconds(), m.Title)
		}
	} else if w.want(ctx, 2*late, "the sign of life stays away", w.silent(began)) {
		told = fmt.Sprintf("the last sign of life came after %.0f s", max(0, w.chat.lived().Sub(began).Seconds()))
	}
	w.Say("| %s | %s | %s |", o.what, fires, told)
}

// silent is a condition: the sign of life, which comes each minute, has not come for one and a half.
func (w *world) silent(since time.Time) func(context.Context) error {
	return func(context.Context) error {
		last := w.chat.lived()
		if last.Before(since) {
			last = since
		}
		if quiet := time.Since(last); quiet < 90*time.Second {
			return fmt.Errorf("it came %.0f s ago", quiet.Seconds())
		}
		return nil
	}
}

// well is a condition: nothing fires but what always does, and the sign of life comes.
func (w *world) well(ctx context.Context) error {
	all, err := w.query(ctx, `ALERTS{alertname!="Watchdog"}`)
	if err != nil {
		return err
	}
	if len(all) > 0 {
		return fmt.Errorf("there are %v", all)
	}
	if last := w.chat.lived(); time.Since(last) > 90*time.Second {
		return errors.New("no sign of life has come")
	}
	return nil
}

// nowhere takes the proxy off all nodes, and anywhere lets it come back.
func (w *world) nowhere(ctx context.Context) error { return w.place(ctx, "node.hostname==nowhere") }

func (w *world) anywhere(ctx context.Context) error { return w.place(ctx) }

func (w *world) place(ctx context.Context, constraints ...string) error {
	return w.Update(ctx, "waggle_proxy", func(spec map[string]any) {
		spec["TaskTemplate"].(map[string]any)["Placement"] = map[string]any{"Constraints": constraints}
	})
}

// unimaged ends the proxy of the worker, which has no image for another one any more.
func (w *world) unimaged(ctx context.Context) (err error) {
	w.back, err = w.Unimage(ctx, stack.Worker, "waggle_proxy")
	return err
}

// reimaged gives the image back.
func (w *world) reimaged(ctx context.Context) error {
	if w.back == nil {
		return nil
	}
	return w.back(ctx)
}

// power: a node that dies is one message, and one when it is back.
func (w *world) power(ctx context.Context) error {
	if !w.want(ctx, late, "all is well before", w.well) {
		return nil
	}
	if err := w.keepOff(ctx, stack.Worker, "waggle_monitor", "waggle_alertmanager"); err != nil {
		return err
	}
	const service = "go-moved"
	if err := w.Create(ctx, stack.Demo{Name: service, Replicas: 4, Unchecked: true, Labels: stack.Labels("/"+service, "scrapePort", "8080")}); err != nil {
		return err
	}
	if _, err := w.Running(ctx, service, 4); err != nil {
		return err
	}
	checked := w.compare(ctx)
	n, began := w.chat.count(), time.Now()
	w.Say("the power of %s is cut", stack.Worker)
	if err := w.PowerOff(stack.Worker); err != nil {
		return err
	}
	w.want(ctx, promptly+soon, "NodeDown fires", w.alerts("firing", "NodeDown"))
	w.Say("| a node | NodeDown after %.0f s |", time.Since(began).Seconds())
	w.want(ctx, late, "the chat is told", w.says(n, false, "NodeDown", stack.Worker))
	// Alerts about targets that cannot be scraped would come after five minutes.
	if err := tooltest.Pause(ctx, 6*time.Minute-time.Since(began)); err != nil {
		return err
	}
	w.heard(n, 1, began)
	err := w.PowerOn(ctx, stack.Worker)
	if err == nil {
		w.want(ctx, late, "the chat is told that the node is back", w.says(n, true, "NodeDown", stack.Worker))
		w.heard(n, 1, began)
	}
	checked()
	return errors.Join(err, w.Remove(ctx, service))
}

// heard says which messages have come since there were n, and that so many of them tell that
// something is wrong.
func (w *world) heard(n, want int, began time.Time) {
	bad := 0
	for _, m := range w.chat.since(n) {
		w.Say("message after %.0f s: %s %s", m.at.Sub(began).Seconds(), m.Title, strings.TrimSpace(m.Text))
		if m.Color != over {
			bad++
		}
	}
	if bad != want {
		w.Fault("%d messages tell of something wrong, want %d", bad, want)
	}
}

// keepOff has services with one task run elsewhere than on a node.
func (w *world) keepOff(ctx context.Context, node string, services ...string) error {
	for _, service := range services {
		home, err := w.Home(ctx, service)
		if err != nil {
			return err
		}
		if home != node {
			continue
		}
		if err := w.Replace(ctx, service, func(template map[string]any) {
			template["Placement"] = map[string]any{"Constraints": []string{"node.hostname!=" + node}}
		}); err != nil {
			return err
		}
	}
	return w.Ready(ctx)
}

// leader: another leader is no message.
func (w *world) leader(ctx context.Context) error {
	if !w.want(ctx, late, "all is well before", w.well) {
		return nil
	}
	old, err := w.leads(ctx, w.Managers())
	if err != nil {
		return err
	}
	if err := w.keepOff(ctx, old, "waggle_monitor", "waggle_alertmanager"); err != nil {
		return err
	}
	others := slices.DeleteFunc(w.Managers(), func(name string) bool { return name == old })
	checked := w.compare(ctx)
	n, began := w.chat.count(), time.Now()
	w.Say("the engine of %s, which leads the swarm, stops", old)
	if err := w.Node(old).Freeze(); err != nil {
		return err
	}
	w.want(ctx, promptly, "another manager leads", func(ctx context.Context) error {
		now, err := w.leads(ctx, others)
		if err == nil && now == old {
			err = errors.New(old + " still does")
		}
		return err
	})
	if err := w.Node(old).Thaw(); err != nil {
		return err
	}
	w.Say("it goes on after %.0f s", time.Since(began).Seconds())
	if err := tooltest.Pause(ctx, 4*time.Minute); err != nil {
		return err
	}
	w.heard(n, 0, began)
	checked()
	return nil
}

// leads returns the leader of the swarm, by the word of the first of these managers that
// knows one.
func (w *world) leads(ctx context.Context, managers []string) (string, error) {
	var failed error
	for _, m := range managers {
		nodes, err := w.Via(m).NodeList(ctx)
		for _, n := range nodes {
			if n.ManagerStatus.Leader {
				return n.Description.Hostname, nil
			}
		}
		failed = errors.Join(failed, err)
	}
	return "", errors.Join(errors.New("the swarm has no leader"), failed)
}

// prepareOutages deploys with a DNS server that knows no name, as most do of what Docker does
// not know either, and with a sign of life that goes to the chat.
func (c *chat) prepareOutages(ctx context.Context, s *stack.Stack) (stack.Extra, error) {
	if err := c.listen(ctx, s.Here()); err != nil {
		return stack.Extra{}, err
	}
	if err := c.knowNoName(ctx, s.Here()); err != nil {
		return stack.Extra{}, err
	}
	c.below = "" // as it is without a setting
	text, err := os.ReadFile(s.Script("alertmanager-slack.yml"))
	if err != nil {
		return stack.Extra{}, err
	}
	const receiver = "  - name: sign-of-life\n"
	if strings.Count(string(text), receiver) != 1 {
		return stack.Extra{}, fmt.Errorf("alertmanager-slack.yml has not one receiver %q", receiver)
	}
	config := s.Node(stack.Manager).Dir("alertmanager.yml")
	changed := strings.Replace(string(text), receiver, receiver+"    webhook_configs:\n      - url: http://"+c.address+signOfLife+"\n", 1)
	if err := os.WriteFile(config, []byte(changed), 0o600); err != nil {
		return stack.Extra{}, err
	}
	return stack.Extra{Env: []string{"ALERT_WEBHOOK=http://" + c.address + "/services/T0/B0/KEY", "ALERTMANAGER_CONFIG=" + config}}, nil
}

// knowNoName answers each question that there is no such name.
func (c *chat) knowNoName(ctx context.Context, host string) error {
	var lc net.ListenConfig
	conn, err := lc.ListenPacket(ctx, "udp", net.JoinHostPort(host, "53"))
	if err != nil {
		return err
	}
	c.names = &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, question *dns.Msg) {
		_ = w.WriteMsg(new(dns.Msg).SetRcode(question, dns.RcodeNameError)) // Who asked has gone.
	})}
	go func() { _ = c.names.ActivateAndServe() }() // It ends when it is shut down.
	return nil
}

// knowsNoName returns an error unless what runs in the swarm is told that a name does not exist.
func (w *world) knowsNoName(ctx context.Context) error {
	node, err := w.Home(ctx, "waggle_monitor")
	if err != nil {
		return err
	}
	dial, err := w.Within(ctx, node, "waggle_monitor")
	if err != nil {
		return err
	}
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dial(ctx, network, "127.0.0.11:53")
	}}
	_, err = resolver.LookupHost(ctx, "nobody.example.com.")
	var answer *net.DNSError
	if errors.As(err, &answer) && answer.IsNotFound {
		return nil
	}
	return fmt.Errorf("a name that does not exist: %w, want that there is no such host", err)
}
