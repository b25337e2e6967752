package attack

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/proc"
	"github.com/wagglehq/waggle/compose/e2e/stack"
)

// names are n different names with something before each and behind it, separated by commas.
func names(n int, before, behind string) string {
	out := make([]string, n)
	for i := range out {
		out[i] = before + strconv.FormatInt(int64(i), 36) + behind
	}
	return strings.Join(out, ",")
}

// many are labels at n indexes, names and texts in turn; %d is the index.
func many(n int, labels ...string) map[string]string {
	out := stack.Labels("/thief")
	for i := 1; i <= n; i++ {
		for k := 0; k < len(labels); k += 2 {
			out[fmt.Sprintf("com.df.%s.%d", labels[k], i)] = strings.ReplaceAll(labels[k+1], "%d", strconv.Itoa(i))
		}
	}
	return out
}

// ports are n numbers from one on, separated by commas.
func ports(n, from int) string {
	out := make([]string, n)
	for i := range out {
		out[i] = strconv.Itoa(from + i)
	}
	return strings.Join(out, ",")
}

// tooLarge is in what is said of labels that are more than the catalog takes.
const tooLarge = "65,536"

// greedy are crooks who ask for too much.
func greedy(taken int) []crook {
	tcp := func(srcPort string) map[string]string {
		l := stack.Labels("", "reqMode", "tcp", "srcPort", srcPort)
		delete(l, "com.df.servicePath")
		return l
	}
	return []crook{
		{what: "4,000 hosts and 4,000 paths", labels: stack.Labels(names(4000, "/", ""), "serviceDomain", names(4000, "h", "")), says: []string{"com.df.servicePath", "at most 20000 routes"}},
		{what: "8,000 hosts and 8,000 paths", labels: stack.Labels(names(8000, "/", ""), "serviceDomain", names(8000, "", "")), says: []string{tooLarge}},
		{what: "9,999 indexes", labels: many(9999, "port", "80"), says: []string{tooLarge}},
		{what: "2,500 indexes", labels: many(2500, "port", "80"), says: []string{"com.df.port.301", "at most 300 indexes"}},
		{what: "5,000 conditional routes", labels: many(5000, "servicePath", "/%d", "userAgent", "a%d", "port", "80"), says: []string{tooLarge}},
		{what: "250 conditional routes", labels: many(250, "servicePath", "/%d", "userAgent", "a%d", "port", "80"), says: []string{"com.df.servicePath.1", "at most 200 comparisons"}},
		{what: "a hash of ten million rounds", labels: stack.Labels("/thief", "usersPassEncrypted", "true", "users", "a:$6$rounds=10000000$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSI"), says: []string{"com.df.users", "at most 60 ms"}},
		{what: "a hash of bcrypt at a cost of 20", labels: stack.Labels("/thief", "usersPassEncrypted", "true", "users", "a:$2y$20$"+strings.Repeat("a", 53)), says: []string{"com.df.users", "at most 60 ms"}},
		{what: "40 nested repetitions", labels: stack.Labels("^/(a+)+$,"+names(39, "^/(a+)+", "$"), "pathType", "path_reg"), says: []string{"com.df.servicePath", "no repetition within a repetition"}},
		{what: "3,000 ports", labels: tcp(ports(3000, 20000)), says: []string{"com.df.srcPort", "at most 100 ports"}},
		{what: "a port on which the engine's DNS listens", labels: tcp(strconv.Itoa(taken)), says: []string{"com.df.srcPort=", "in use"}, once: true},
	}
}

// budgets has services ask for so much that all others would have to wait.
func (w *world) budgets(ctx context.Context) error {
	taken, err := w.resolverPort(ctx)
	if err != nil {
		return err
	}
	var quiet time.Duration
	if !w.short {
		// Here somebody else's greed can cost the others time without one failed request.
		if err := w.lossless(ctx, onSteady, idle); err != nil {
			return err
		}
		quiet = w.slow
	}
	err = w.under(ctx, func(ctx context.Context) error { return w.refused(ctx, greedy(taken)...) })
	if err != nil || w.short {
		return err
	}
	most := slowest(quiet)
	w.Say("p99 of others' requests: %s during the attack, %s when nobody attacks, at most %s", milliseconds(w.slow), milliseconds(quiet), milliseconds(most))
	if w.slow > most {
		w.Fault("others' requests were slowed down: p99 %s, want %s", milliseconds(w.slow), milliseconds(most))
	}
	return nil
}

// idle is how nobody attacks, for as long as tells enough requests.
func idle(ctx context.Context) error {
	select {
	case <-time.After(15 * time.Second):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// slowest is the p99 that others' requests may have while somebody is greedy: what people begin
// to notice. Each refusal makes the proxies think, on the machine on which the requests are sent.
func slowest(quiet time.Duration) time.Duration { return quiet + 250*time.Millisecond }

// resolverPort is where the engine's DNS listens within the container of the manager's proxy,
// which differs from one container to the next.
func (w *world) resolverPort(ctx context.Context) (int, error) {
	listening, err := w.listening(ctx, stack.Manager, "waggle_proxy")
	if err != nil {
		return 0, err
	}
	for _, a := range listening {
		if a.Addr().String() == "127.0.0.11" {
			return int(a.Port()), nil
		}
	}
	return 0, fmt.Errorf("the engine's DNS listens nowhere: %v", listening)
}

// listening is where processes in the container of a service's task listen. One of them may
// have ended meanwhile, as a health check does.
func (w *world) listening(ctx context.Context, node, service string) (found []netip.AddrPort, err error) {
	all, err := w.Processes(ctx, node, service)
	if err != nil {
		return nil, err
	}
	for _, p := range all {
		if found, err = proc.Listening(p.PID); err == nil {
			return found, nil
		}
	}
	return nil, err
}
