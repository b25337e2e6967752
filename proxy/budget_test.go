package proxy

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/runtime"
	"github.com/wagglehq/waggle/proxy/internal/haproxytest"
)

// shortNames are n different names with something before each, separated by commas.
func shortNames(n int, before string) string {
	out := make([]string, n)
	for i := range out {
		out[i] = before + strconv.FormatInt(int64(i), 36)
	}
	return strings.Join(out, ",")
}

// indexes are labels at n indexes, names and texts in turn; %d is the index.
func indexes(n int, labels ...string) []string {
	var out []string
	for i := 1; i <= n; i++ {
		for k := 0; k < len(labels); k += 2 {
			out = append(out, fmt.Sprintf("%s.%d", labels[k], i), strings.ReplaceAll(labels[k+1], "%d", strconv.Itoa(i)))
		}
	}
	return out
}

// taken is a port of all addresses on which somebody else listens until the test ends.
func taken(t *testing.T) string {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

func (h *house) master() runtime.Processes {
	h.t.Helper()
	var p runtime.Processes
	tooltest.Eventually(h.t, "HAProxy's master answers", func() (err error) {
		p, err = runtime.NewMaster(h.config.MasterSocket()).ShowProc(h.t.Context())
		return err
	})
	return p
}

// TestOneServiceHarmsNobody: whatever one service asks for, it alone is refused, by name,
// while others change, requests are answered, and HAProxy is the same process.
func TestOneServiceHarmsNobody(t *testing.T) {
	h := newHouse(t)
	h.supervised()
	h.run()
	h.dns.set("web", "127.0.0.2")
	h.deploy("web", "/web")
	h.answers("/web", "127.0.0.2")
	load := haproxytest.StartLoad(t, fmt.Sprintf("http://127.0.0.1:%d/web", h.http), 2, true)
	before := h.master().Master
	for i, c := range []struct {
		name   string
		labels []string
		says   []string
	}{
		{"4,000 hosts and 4,000 paths", []string{"serviceDomain", shortNames(4000, "h"), "servicePath", shortNames(4000, "/")}, []string{"com.df.servicePath", "at most 20000 routes", "16000000"}},
		{"6,000 hosts and 6,000 paths", []string{"serviceDomain", shortNames(6000, "h"), "servicePath", shortNames(6000, "/")}, []string{"at most 20000 routes", "36000000"}},
		{"more labels than the catalog takes", []string{"serviceDomain", shortNames(9000, ""), "servicePath", shortNames(9000, "/")}, []string{"65,536"}},
		{"2,500 indexes", indexes(2500, "port", "80"), []string{"com.df.port.301", "at most 300 indexes", "2500"}},
		{"250 conditional routes", indexes(250, "servicePath", "/%d", "userAgent", "a%d"), []string{"com.df.servicePath.1", "at most 200 comparisons"}},
		{"rounds of a hash", []string{"usersPassEncrypted", "true", "users", "a:$6$rounds=10000000$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSI"}, []string{"com.df.users", "at most 60 ms"}},
		{"cost of bcrypt", []string{"usersPassEncrypted", "true", "users", "a:$2y$20$" + strings.Repeat("a", 53)}, []string{"com.df.users", "at most 60 ms"}},
		{"40 nested repetitions", []string{"pathType", "path_reg", "servicePath", "^/(a+)+$," + strings.ReplaceAll(shortNames(39, "^/(a+)+"), ",", "$,")}, []string{"com.df.servicePath", "no repetition within a repetition"}},
		{"250 ports", append(indexes(250, "srcPort", "1%d", "port", "80"), "reqMode", "tcp"), []string{"com.df.srcPort.1", "at most 100 ports"}},
		{"a port on which somebody listens", []string{"reqMode", "tcp", "srcPort", taken(t)}, []string{"com.df.srcPort=", "in use"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := "/web/" + strconv.Itoa(i)
			begin := time.Now()
			h.deploy("crook", "/crook", c.labels...)
			h.deploy("web", "/web,"+path+"x")
			h.says("crook", append([]string{"rejected"}, c.says...)...)
			told := time.Since(begin)
			h.says("web", `"state": "applied"`, path+"x")
			h.answers(path+"x", "127.0.0.2")
			t.Logf("refused after %s, the other's change is live after %s", told.Round(time.Millisecond), time.Since(begin).Round(time.Millisecond))
			if now := h.master().Master; now.Pid != before.Pid {
				t.Errorf("HAProxy is another process: %d, before %d", now.Pid, before.Pid)
			}
		})
	}
	if n, failed := load.Stop(); n == 0 || len(failed) > 0 {
		t.Errorf("%d of %d requests failed: %.300v", len(failed), n, failed)
	}
}

// TestAPortThatIsTakenAtTheStart: HAProxy does not start with the last good configuration,
// and yet all but the service that asks for the port is served.
func TestAPortThatIsTakenAtTheStart(t *testing.T) {
	h := newHouse(t)
	port := tooltest.FreePort(t)
	stop := h.supervisedUntil()
	h.run()
	h.dns.set("web", "127.0.0.2")
	h.dns.set("database", "127.0.0.3")
	h.deploy("web", "/web")
	h.deploy("database", "/", "reqMode", "tcp", "srcPort", strconv.Itoa(port))
	h.says("database", `"state": "applied"`)
	h.answers("/web", "127.0.0.2")
	h.stop()
	stop()

	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp4", net.JoinHostPort("0.0.0.0", strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	h.supervised()
	h.run()
	// HAProxy tries several times before it is believed that it does not start.
	tooltest.Within(t, time.Minute, "/web is answered", func() error {
		if got, err := h.get("/web"); err != nil || got != "127.0.0.2" {
			return errors.Join(err, errors.New(got))
		}
		return nil
	})
	h.says("database", "rejected", "com.df.srcPort="+strconv.Itoa(port), "in use")
	h.says("web", `"state": "applied"`)
}

// TestOneClientIsBounded: who has as many connections as the operator admits gets no further
// one, on whichever port, and gets them again when he has closed some.
func TestOneClientIsBounded(t *testing.T) {
	h := newHouse(t)
	port := tooltest.FreePort(t)
	h.config.Clients.Connections = 3
	h.supervised()
	h.run()
	h.dns.set("web", "127.0.0.2")
	h.dns.set("raw", "127.0.0.2")
	h.deploy("web", "/web")
	h.deploy("raw", "/", "reqMode", "tcp", "srcPort", strconv.Itoa(port))
	h.says("raw", `"state": "applied"`)
	h.answers("/web", "127.0.0.2")
	var held []net.Conn
	for range 3 {
		var d net.Dialer
		c, err := d.DialContext(t.Context(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		held = append(held, c)
	}
	tooltest.Eventually(t, "the fourth connection is closed", func() error {
		if got, err := h.get("/web"); err == nil {
			return fmt.Errorf("answered by %s", got)
		}
		return nil
	})
	for _, c := range held {
		_ = c.Close()
	}
	h.answers("/web", "127.0.0.2")
	var other net.Dialer
	other.LocalAddr = &net.TCPAddr{IP: net.ParseIP("127.0.0.9")}
	c, err := other.DialContext(t.Context(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(h.http)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := fmt.Fprintf(c, "GET /web HTTP/1.0\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	first := make([]byte, len("HTTP/1.1 200"))
	if _, err := c.Read(first); err != nil || !strings.Contains(string(first), strconv.Itoa(http.StatusOK)) {
		t.Error(errors.Join(err, fmt.Errorf("another client gets %q", first)))
	}
}
