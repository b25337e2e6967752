package apply_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/apply"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/render"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/runtime"
	"github.com/wagglehq/waggle/proxy/internal/haproxytest"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// request sends one and returns the answer without following redirects.
func request(t *testing.T, method, url string, header ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Auth" {
			user, password, _ := strings.Cut(header[i+1], ":")
			req.SetBasicAuth(user, password)
			continue
		}
		req.Header.Add(header[i], header[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

// trusting makes the test's own address that of a trusted proxy, so that it can speak
// for clients of other addresses.
func trusting(s *render.Settings) {
	s.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/24")}
}

// untrusting takes the test's own address out of what is trusted.
func untrusting(s *render.Settings) {
	trusting(s)
	s.Untrusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
}

// amongMany has so many more trusted that they do not stand on a line.
func amongMany(s *render.Settings) {
	for i := range 200 {
		s.TrustedProxies = append(s.TrustedProxies, netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, 0, byte(i)}), 32))
		s.Untrusted = append(s.Untrusted, netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, 1, byte(i)}), 32))
	}
}

// TestDeniedClients: what cannot be read is refused too, not passed.
func TestDeniedClients(t *testing.T) {
	w := newWorld(t, trusting)
	w.deploy("web", []string{"127.0.0.2"}, "servicePath", "/", "deniedAddresses", "203.0.113.0/24,2001:db8::/32")
	w.apply()
	for said, status := range map[string]int{
		"203.0.113.9": 403, "203.0.113.9:41234": 403, "[2001:db8::5]:443": 403, "[2001:db8::5]": 403, "2001:db8::5": 403,
		"198.51.100.9": 200, "198.51.100.9:41234": 200, "2001:db9::5": 200, "[2001:db9::5]:443": 200,
		"unknown": 403, "[2001:db9::5": 403, "1.2.3": 403, "203.0.113.9:x:y": 403,
	} {
		if got := request(t, http.MethodGet, w.hap.URL("/"), "X-Forwarded-For", said).StatusCode; got != status {
			t.Errorf("%s: %d, want %d", said, got, status)
		}
	}
}

// family are the headers by which proxies tell who asks, in either spelling.
func family() []string {
	return []string{
		"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Server", "X-Forwarded-Uri", "X-Forwarded-Method",
		"X-Forwarded-Proto", "X-Forwarded-Ssl", "X-Forwarded", "Forwarded", "Forwarded-For", "X-Real-Ip", "X-Original-Url", "X-Original-Uri", "X-Original-Host",
		"X-Original-Forwarded-For", "X-Rewrite-Url", "X-Client-Ip", "True-Client-Ip", "Client-Ip", "X-Cluster-Client-Ip", "Cf-Connecting-Ip", "Fastly-Client-Ip",
		"X-Remote-Addr", "X-Remote-Ip", "X-Originating-Ip", "Wl-Proxy-Client-Ip", "Proxy-Client-Ip", "X-Host",
		"X_forwarded_for", "X-Forwarded_for", "X_forwarded-Host", "X_real_ip", "X_original_url", "True_client_ip", "Client_ip",
	}
}

// TestWhatStrangersSayOfThemselves does not get to a task: nothing of the whole family, in
// either spelling, and everything else does.
func TestWhatStrangersSayOfThemselves(t *testing.T) {
	others := []string{"X-Forward", "X-Original-Name", "X-Realm", "Forward", "X-Client", "X-Request-Id", "Traceparent", "Client-Ipx", "Xx-Real-Ip"}
	for _, c := range []struct {
		name   string
		change func(*render.Settings)
		kept   bool
	}{
		{"nobody is trusted", func(*render.Settings) {}, false},
		{"others are trusted", func(s *render.Settings) { s.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} }, false},
		{"it is trusted but for its network", untrusting, false},
		{"it is trusted", trusting, true},
		{"it is trusted among many", func(s *render.Settings) { trusting(s); amongMany(s) }, true},
		{"it is trusted among many but for its network", func(s *render.Settings) { untrusting(s); amongMany(s) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, c.change)
			w.deploy("web", []string{"127.0.0.5"}, "servicePath", "/", "port", echo(t))
			w.apply()
			var header []string
			for _, name := range slices.Concat(family(), others) {
				header = append(header, name, "192.0.2.99")
			}
			_, body := ask(t, http.DefaultClient, w.hap.URL("/"), header...)
			for _, name := range family() {
				if got := strings.Contains(body, name+": 192.0.2.99"); got != c.kept {
					t.Errorf("%s gets there: %t", name, got)
				}
			}
			for _, name := range others {
				if !strings.Contains(body, name+": 192.0.2.99") {
					t.Errorf("%s does not get there", name)
				}
			}
			if want := "X-Forwarded-For: 127.0.0.1"; !c.kept && (!strings.Contains(body, want) || !strings.Contains(body, "X-Forwarded-Proto: http\r\n")) {
				t.Errorf("%q is missing in %s", want, body)
			}
		})
	}
}

// TestWhatAStrangerSaysInOneHeader: each of them alone is found, wherever it stands, and
// whichever look-up leads to the service.
func TestWhatAStrangerSaysInOneHeader(t *testing.T) {
	w, port := newWorld(t), echo(t)
	w.deploy("own", []string{"127.0.0.5"}, "serviceDomain", "own.com", "port", port)
	w.deploy("below", []string{"127.0.0.5"}, "serviceDomain", "*.below.com", "port", port)
	w.deploy("any", []string{"127.0.0.5"}, "servicePath", "/", "port", port)
	w.apply()
	for _, host := range []string{"own.com", "a.below.com", "any.com"} {
		tooltest.Eventually(t, host+" is routed", func() error {
			if status := spoken(t, w.hap.Port, "GET / HTTP/1.1", "Host: "+host).StatusCode; status != 200 {
				return fmt.Errorf("it is answered %d", status)
			}
			return nil
		})
		for _, name := range family() {
			said, host := name+": 192.0.2.99", "Host: "+host
			for _, lines := range [][]string{{said, host, "Accept: */*"}, {host, said, "Accept: */*"}, {host, "Accept: */*", said}} {
				res := spoken(t, w.hap.Port, append([]string{"GET / HTTP/1.1"}, lines...)...)
				body, err := io.ReadAll(res.Body)
				if err != nil {
					t.Fatal(err)
				}
				if strings.Contains(string(body), "192.0.2.99") || !strings.Contains(string(body), "X-Forwarded-For: 127.0.0.1") || res.StatusCode != 200 {
					t.Errorf("%q is answered %d with %s", lines, res.StatusCode, body)
				}
			}
		}
	}
}

// TestWhatAStrangerSaysBehindManyHeaders is found however much comes before it: many names,
// long ones, and ones that nearly fit.
func TestWhatAStrangerSaysBehindManyHeaders(t *testing.T) {
	w := newWorld(t)
	w.deploy("web", []string{"127.0.0.5"}, "servicePath", "/", "port", echo(t))
	w.apply()
	for what, name := range map[string]string{
		"many short names": "A%d", "names as long as they may be": strings.Repeat("X-Forwarde-", 22) + "%d", "names that nearly fit": "X-Original-Forwarde-%d",
	} {
		for _, room := range []int{1_000, 8_000, 19_000} {
			lines := []string{"GET / HTTP/1.1", "Host: a"}
			for size := 0; size < room && len(lines) < 90; size += len(lines[len(lines)-1]) + 2 {
				lines = append(lines, fmt.Sprintf(name, len(lines))+": 1")
			}
			res := spoken(t, w.hap.Port, append(lines, "X-Forwarded-Host: 192.0.2.99")...)
			body, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != 200 || strings.Contains(string(body), "192.0.2.99") {
				t.Errorf("%s, %d bytes: answered %d with %.300s", what, room, res.StatusCode, body)
			}
		}
	}
}

// TestClientAddress: behind trusted proxies it is the last address that none of them has.
func TestClientAddress(t *testing.T) {
	const hop = "X-Forwarded-For"
	for _, c := range []struct {
		name    string
		change  func(*render.Settings)
		allowed string
		header  []string
		status  int
	}{
		{"the connection's", func(*render.Settings) {}, "127.0.0.0/8", nil, 200},
		{"a header of a stranger means nothing", func(*render.Settings) {}, "192.0.2.1", []string{hop, "192.0.2.1"}, 403},
		{"whom a trusted proxy saw", trusting, "192.0.2.1", []string{hop, "192.0.2.1"}, 200},
		{"and not whom its client made up", trusting, "192.0.2.1", []string{hop, "192.0.2.1, 198.51.100.7"}, 403},
		{"through several of them, in several headers", trusting, "192.0.2.1", []string{hop, "6.6.6.6, 192.0.2.1", hop, "10.0.0.7, 10.0.0.8"}, 200},
		{"IPv6", trusting, "2001:db8::/32", []string{hop, "2001:db8::7"}, 200},
		{"a port behind it", trusting, "192.0.2.1", []string{hop, "192.0.2.1:41234"}, 200},
		{"a port behind another's", trusting, "192.0.2.1", []string{hop, "192.0.2.2:41234"}, 403},
		{"brackets", trusting, "2001:db8::/32", []string{hop, "[2001:db8::7]"}, 200},
		{"brackets and a port", trusting, "2001:db8::/32", []string{hop, "[2001:db8::7]:443"}, 200},
		{"brackets around another's", trusting, "2001:db8::/32", []string{hop, "[2001:db9::7]:443"}, 403},
		{"a port behind each", trusting, "192.0.2.1", []string{hop, "192.0.2.1:1, 10.0.0.7:2, 10.0.0.8"}, 200},
		{"what is no address ends the way", trusting, "192.0.2.1", []string{hop, "192.0.2.1, 10.0.0.7, unknown"}, 403},
		{"and admits nobody in the name of the proxy before it", trusting, "127.0.0.0/8", []string{hop, "unknown"}, 403},
		{"nor of one further away", trusting, "10.0.0.0/8", []string{hop, "_hidden, 10.0.0.7"}, 403},
		{"words around an address", trusting, "0.0.0.0/0", []string{hop, "for=192.0.2.1"}, 403},
		{"a client among the trusted who is none of the proxies", untrusting, "192.0.2.1", []string{hop, "192.0.2.1"}, 403},
		{"without the header the proxy itself", trusting, "127.0.0.1", nil, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, c.change)
			w.deploy("web", []string{"127.0.0.2"}, "servicePath", "/", "allowedAddresses", c.allowed)
			w.apply()
			if got := request(t, http.MethodGet, w.hap.URL("/"), c.header...).StatusCode; got != c.status {
				t.Errorf("status %d, want %d", got, c.status)
			}
		})
	}
}

// TestAddressesChangeWithoutAReload: the entries of lists are drift like everything
// else, and a controller that starts anew adopts them.
func TestAddressesChangeWithoutAReload(t *testing.T) {
	w := newWorld(t, trusting)
	status := func(client string) int {
		return request(t, http.MethodGet, w.hap.URL("/"), "X-Forwarded-For", client).StatusCode
	}
	same := func() {
		t.Helper()
		if _, _, err := w.h.Tidy(t.Context()); err != nil {
			t.Fatal(err)
		}
		if drift, err := w.h.Compare(t.Context()); err != nil || drift != "" {
			t.Errorf("drift %q (%v)", drift, err)
		}
		if err := w.h.CheckFile(t.Context()); err != nil {
			t.Error(err)
		}
	}
	w.deploy("web", []string{"127.0.0.2"}, "servicePath", "/", "allowedAddresses", "192.0.2.0/24,2001:db8::/32", "deniedAddresses", "192.0.2.9")
	w.apply()
	same()
	for client, want := range map[string]int{"192.0.2.1": 200, "192.0.2.9": 403, "198.51.100.1": 403, "2001:db8::1": 200, "2001:db9::1": 403} {
		if got := status(client); got != want {
			t.Errorf("%s: %d, want %d", client, got, want)
		}
	}
	w.deploy("web", []string{"127.0.0.2"}, "servicePath", "/", "allowedAddresses", "198.51.100.1,2001:db8::/32", "deniedAddresses", "192.0.2.9")
	if res := w.apply(); !res.Changed || res.Reload != "" {
		t.Errorf("%+v, want a change without a reload", res)
	}
	same()
	for client, want := range map[string]int{"192.0.2.1": 403, "198.51.100.1": 200, "2001:db8::1": 200} {
		if got := status(client); got != want {
			t.Errorf("after the change %s: %d, want %d", client, got, want)
		}
	}
	w.h = w.applier()
	if err := w.h.Adopt(t.Context()); err != nil {
		t.Fatal(err)
	}
	if res := w.apply(); res.Changed {
		t.Errorf("a restart of the controller changed %+v", res)
	}
	same()
	list := filepath.Join(w.hap.Dir, fmt.Sprintf("web-be%d_0.allowed.acl", w.backend))
	if err := runtime.New(w.hap.Stats).Do(t.Context(), runtime.AddACL(list, "10.9.9.9"), runtime.DelACL(list, "198.51.100.1")); err != nil {
		t.Fatal(err)
	}
	if drift, err := w.h.Compare(t.Context()); err != nil || !strings.Contains(drift, "10.9.9.9") || !strings.Contains(drift, "198.51.100.1") {
		t.Errorf("a list that somebody changed: drift %q (%v), want both entries", drift, err)
	}
	if _, err := os.Stat(list); err != nil {
		t.Error(err)
	}
	delete(w.services, "web")
	w.h.Forget()
	w.apply()
	if _, err := os.Stat(list); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the list of a service that is gone remains (%v)", err)
	}
}

// TestRateLimit: each client has its own count, which a reload does not reset.
func TestRateLimit(t *testing.T) {
	w := newWorld(t, trusting)
	w.deploy("web", []string{"127.0.0.2"}, "servicePath", "/web", "rateLimit", "3/1h")
	w.deploy("api", []string{"127.0.0.2"}, "servicePath", "/api", "rateLimit", "1/1h")
	w.apply()
	get := func(path, client string) *http.Response {
		t.Helper()
		return request(t, http.MethodGet, w.hap.URL(path), "X-Forwarded-For", client)
	}
	for i, want := range []int{200, 200, 200, 429, 429} {
		res := get("/web", "192.0.2.1")
		if after := res.Header.Get("Retry-After"); res.StatusCode != want || (after == "3600") != (want == 429) {
			t.Errorf("request %d: %d, Retry-After %q, want %d", i+1, res.StatusCode, after, want)
		}
	}
	for _, other := range []struct{ path, client string }{{"/web", "192.0.2.2"}, {"/api", "192.0.2.1"}, {"/web", "2001:db8::1"}} {
		if got := get(other.path, other.client).StatusCode; got != 200 {
			t.Errorf("%s at %s: %d, want 200: its count is another", other.client, other.path, got)
		}
	}
	for i, want := range []int{200, 200, 429} {
		if got := get("/web", fmt.Sprintf("2001:db8::%d", i+2)).StatusCode; got != want {
			t.Errorf("address %d of one network: %d, want %d", i+2, got, want)
		}
	}
	w.deploy("other", []string{"127.0.0.2"}, "servicePath", "/other", "denyHttp", "true")
	if res := w.apply(); res.Reload == "" {
		t.Fatalf("%+v, want a reload", res)
	}
	table := fmt.Sprintf("show table web-be%d_0\n", w.backend)
	tooltest.Eventually(t, "the new worker learns the counts of the old one", func() error {
		conn, err := new(net.Dialer).DialContext(t.Context(), "unix", w.hap.Stats)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		if _, err := conn.Write([]byte(table)); err != nil {
			return err
		}
		text, err := io.ReadAll(conn)
		if !strings.Contains(string(text), "key=::ffff:192.0.2.1 ") {
			return errors.Join(fmt.Errorf("it has %q", text), err)
		}
		return nil
	})
	if got := get("/web", "192.0.2.1").StatusCode; got != 429 {
		t.Errorf("after a reload: %d, want 429", got)
	}
}

// TestUsers: any printable character may be part of a password, and the task sees none.
func TestUsers(t *testing.T) {
	var all strings.Builder
	for r := ' '; r <= '~'; r++ {
		if r != ',' {
			all.WriteRune(r)
		}
	}
	password := "x" + all.String() + "äß€"
	w := newWorld(t, func(s *render.Settings) { s.Users = []route.User{{Name: "ops", Password: "ops pass"}} })
	w.renderer.SetSecrets(map[string]string{"enc": "my-user:$6$AcrjVWOkQq1vWp$t55F7Psm3Ujvp8lpqdAwrc5RxWORYBeDV6ji9KoO029ojooj4Pi.JVGwxdicB0Fuu.NSDyGaZt7skHIo3Nayq/\n"})
	port := echo(t)
	deploy := func(name string, pairs ...string) {
		w.deploy(name, []string{"127.0.0.5"}, append([]string{"port", port, "servicePath", "/" + name}, pairs...)...)
	}
	deploy("own", "users", "ann:"+password+",ops")
	deploy("secret", "usersSecret", "enc", "usersPassEncrypted", "true")
	deploy("nobody", "users", "ghost", "allowedMethods", "GET")
	deploy("open")
	w.apply()
	for _, c := range []struct {
		path, auth string
		status     int
	}{
		{"/own", "", 401},
		{"/own", "ann:" + password, 200},
		{"/own", "ann:x" + all.String(), 401},
		{"/own", "ops:ops pass", 200},
		{"/own", "my-user:my-pass", 401},
		{"/secret", "my-user:my-pass", 200},
		{"/secret", "my-user:my-pas", 401},
		{"/secret", "ann:" + password, 401},
		{"/nobody", "ghost:", 401},
		{"/nobody", "", 401},
		{"/open", "", 200},
	} {
		res := request(t, http.MethodGet, w.hap.URL(c.path), "Auth", c.auth)
		if res.StatusCode != c.status {
			t.Errorf("%s as %q: %d, want %d", c.path, c.auth, res.StatusCode, c.status)
		}
		if want := `Basic realm="` + c.path[1:] + `Realm"`; c.status == 401 && res.Header.Get("WWW-Authenticate") != want {
			t.Errorf("%s asks by %q, want %q", c.path, res.Header.Get("WWW-Authenticate"), want)
		}
		body := bufio.NewScanner(res.Body)
		for body.Scan() {
			if c.path != "/open" && strings.HasPrefix(body.Text(), "Authorization") {
				t.Errorf("%s: the task sees %s", c.path, body.Text())
			}
		}
	}
	if got := request(t, http.MethodPost, w.hap.URL("/nobody")).StatusCode; got != 403 {
		t.Errorf("a method that is not allowed, without a user: %d, want 403", got)
	}
	info, err := os.Stat(filepath.Join(w.hap.Dir, apply.ConfigName))
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the file with passwords has mode %v (%v), want 0640", info.Mode(), err)
	}
}

// TestRefusalTellsNoPassword: HAProxy repeats what it does not understand.
func TestRefusalTellsNoPassword(t *testing.T) {
	w := newWorld(t)
	for _, bad := range []string{
		"  user ann insecure-password 'geheim pw' geheim\n",
		"  user ann insecure-password 'geheim pw\n",
		"  user ann password 'geheim'\\'' pw' geheim\n",
	} {
		f := file.File{Frame: []*file.Section{file.NewSection("", "userlist", "x", "", file.ReadLines(bad)...)}}
		_, err := w.h.Apply(t.Context(), f)
		var refused *apply.CheckError
		if !errors.As(err, &refused) || strings.Contains(err.Error(), "geheim") || !strings.Contains(err.Error(), "haproxy.cfg.next:2") {
			t.Errorf("%s: got %v, want a refusal that names the line and no password", bad, err)
		}
	}
}

// TestCORS: a preflight request never reaches the task, and answers name an origin only
// if it is listed.
func TestCORS(t *testing.T) {
	w := newWorld(t)
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf("https://p%d.acme.com", i))
	}
	w.deploy("web", []string{"127.0.0.2"}, "servicePath", "/web", "corsOrigins", strings.Join(many, ","), "corsMethods", "PUT",
		"corsHeaders", "X-Token", "corsCredentials", "true", "corsMaxAge", "60", "users", "ann:x")
	w.deploy("any", []string{"127.0.0.2"}, "servicePath", "/any", "corsOrigins", "*")
	w.apply()
	for _, c := range []struct {
		name, method, path, origin string
		asks                       bool
		status                     int
		want                       string
	}{
		{"preflight", "OPTIONS", "/web", "https://p99.acme.com", true, 204, "https://p99.acme.com true PUT X-Token 60"},
		{"preflight of a stranger", "OPTIONS", "/web", "https://p100.acme.com", true, 204, ""},
		{"a request without a password is told to its page too", "GET", "/web", "https://p0.acme.com", false, 401, "https://p0.acme.com true"},
		{"a request of a stranger", "GET", "/web", "https://evil.com", false, 401, ""},
		{"OPTIONS that is no preflight", "OPTIONS", "/any", "https://a.com", false, 200, "*"},
		{"any origin", "GET", "/any", "https://a.com", false, 200, "*"},
		{"no page at all", "GET", "/any", "", false, 200, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var header []string
			if c.origin != "" {
				header = append(header, "Origin", c.origin)
			}
			if c.asks {
				header = append(header, "Access-Control-Request-Method", "PUT")
			}
			res := request(t, c.method, w.hap.URL(c.path), header...)
			var got []string
			for _, name := range []string{"Allow-Origin", "Allow-Credentials", "Allow-Methods", "Allow-Headers", "Max-Age"} {
				got = append(got, res.Header.Get("Access-Control-"+name))
			}
			if text := strings.Join(strings.Fields(strings.Join(got, " ")), " "); res.StatusCode != c.status || text != c.want {
				t.Errorf("%d %q, want %d %q", res.StatusCode, text, c.status, c.want)
			}
			if vary := res.Header.Get("Vary"); (vary == "Origin") != (c.path == "/web") {
				t.Errorf("Vary %q", vary)
			}
		})
	}
}

// TestSecurityHeaders: what the task says itself stays.
func TestSecurityHeaders(t *testing.T) {
	w := newWorld(t)
	w.deploy("web", []string{"127.0.0.2"}, "servicePath", "/", "securityHeaders", "true", "setResHeader", "X-Frame-Options DENY")
	w.apply()
	res := request(t, http.MethodGet, w.hap.URL("/"))
	for name, want := range map[string]string{
		"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "strict-origin-when-cross-origin", "Strict-Transport-Security": "",
	} {
		if got := res.Header.Values(name); strings.Join(got, "|") != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// TestForwardAuth: only a clear yes of the other service lets a request in.
func TestForwardAuth(t *testing.T) {
	asked := make(chan http.Header, 100)
	auth := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Header.Clone()
		w.Header().Set("X-User", "ann")
		w.Header().Add("X-Group", "a")
		w.Header().Add("X-Group", "b")
		w.Header().Set("X-Other", "not asked for")
		w.Header().Add("Set-Cookie", "s=1")
		w.Header().Add("Set-Cookie", "t=2")
		w.Header().Set("WWW-Authenticate", "Bearer")
		w.Header().Set("Location", "http://login.test/?back=1")
		status, _ := strconv.Atoi(r.Header.Get("X-Want"))
		if r.URL.RequestURI() != "/verify?x=%20" || r.Method != http.MethodGet {
			status = 500
		}
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, strings.Repeat("body", 1000))
	}))
	t.Cleanup(auth.Close)
	w := newWorld(t, trusting)
	port := echo(t)
	deploy := func(name string, pairs ...string) {
		w.deploy(name, []string{"127.0.0.5"}, append([]string{"port", port, "servicePath", "/" + name}, pairs...)...)
	}
	deploy("web", "forwardAuth", auth.URL+"/verify?x=%20", "forwardAuthHeaders", "X-User,X-Group")
	deploy("dead", "forwardAuth", fmt.Sprintf("http://127.0.0.9:%d/", tooltest.FreePort(t)), "forwardAuthHeaders", "X-User")
	deploy("noname", "forwardAuth", "http://auth.does-not-exist.invalid/")
	deploy("open")
	begin := time.Now()
	w.apply()
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("a name that does not exist holds a check up: %v", took)
	}
	for _, c := range []struct {
		path, want string
		status     int
	}{
		{"/web", "200", 200},
		{"/web", "204", 200},
		{"/web", "401", 401},
		{"/web", "403", 403},
		{"/web", "302", 302},
		{"/web", "307", 307},
		{"/web", "404", 503},
		{"/web", "500", 503},
		{"/web", "304", 503},
		{"/dead", "200", 503},
		{"/noname", "200", 503},
		{"/open", "200", 200},
	} {
		res := request(t, http.MethodPost, w.hap.URL(c.path+"?q=1"), "X-Want", c.want, "X-User", "forged", "X-Forwarded-For", "192.0.2.1", "X-Forwarded-Uri", "/forged", "Cookie", "c=1", "X_user", "forged")
		if res.StatusCode != c.status {
			t.Errorf("%s, answered %s: %d, want %d", c.path, c.want, res.StatusCode, c.status)
		}
		seen := http.Header{}
		body := bufio.NewScanner(res.Body)
		for body.Scan() {
			name, value, _ := strings.Cut(body.Text(), ": ")
			seen.Add(name, value)
		}
		if c.path == "/web" && c.status == 200 {
			if got := fmt.Sprint(seen["X-User"], seen["X-Group"], seen["X-Other"], seen["X_user"]); got != "[ann] [a b] [] []" {
				t.Errorf("the task sees %s", got)
			}
		}
		if passed := c.path == "/web" && c.status != 200 && c.status != 503; passed != (res.Header.Get("Location") != "") ||
			passed && (res.Header.Get("WWW-Authenticate") != "Bearer" || len(res.Header.Values("Set-Cookie")) != 2) {
			t.Errorf("%s, answered %s: the client gets %v", c.path, c.want, res.Header)
		}
	}
	question := <-asked
	for name, want := range map[string]string{
		"X-Forwarded-Method": "POST", "X-Forwarded-Proto": "http", "X-Forwarded-Host": fmt.Sprintf("127.0.0.1:%d", w.hap.Port),
		"X-Forwarded-Uri": "/web?q=1", "X-Forwarded-For": "192.0.2.1", "Cookie": "c=1", "X-Want": "200",
	} {
		if got := strings.Join(question.Values(name), "|"); got != want {
			t.Errorf("the service is asked with %s %q, want %q", name, got, want)
		}
	}
}

// TestSilentAuthServiceHarmsNobodyElse: while it is waited for, others are served.
func TestSilentAuthServiceHarmsNobodyElse(t *testing.T) {
	release := make(chan struct{})
	auth := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	t.Cleanup(auth.Close)
	t.Cleanup(func() { close(release) })
	w := newWorld(t)
	w.deploy("silent", []string{"127.0.0.2"}, "servicePath", "/silent", "forwardAuth", auth.URL)
	w.deploy("open", []string{"127.0.0.2"}, "servicePath", "/open")
	w.apply()
	url := w.hap.URL("/silent")
	results := make(chan int, 50)
	for range cap(results) {
		go func() {
			res, err := http.Get(url) //nolint:noctx // the proxy answers within its own limit
			if err != nil {
				results <- 0
				return
			}
			_ = res.Body.Close()
			results <- res.StatusCode
		}()
	}
	load := haproxytest.StartLoad(t, w.hap.URL("/open"), 2, true)
	for range cap(results) {
		if got := <-results; got != 503 {
			t.Errorf("status %d, want 503", got)
		}
	}
	if requests, failed := load.Stop(); len(failed) > 0 || requests < 100 {
		t.Errorf("%d of %d requests to another service failed: %v", len(failed), requests, failed)
	}
}

// TestSendProxy: a task is told the client's address by the PROXY protocol.
func TestSendProxy(t *testing.T) {
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.5:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	begins := make(chan string, 10)
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			head := make([]byte, 12)
			n, _ := conn.Read(head)
			begins <- string(head[:n])
			_ = conn.Close()
		}
	}()
	port := strconv.Itoa(ln.Addr().(*net.TCPAddr).Port)
	stream := tooltest.FreePort(t)
	w := newWorld(t)
	w.deploy("v1", []string{"127.0.0.5"}, "port", port, "servicePath", "/1", "sendProxy", "v1")
	w.deploy("v2", []string{"127.0.0.5"}, "port", port, "servicePath", "/2", "sendProxy", "v2")
	w.deploy("tcp", []string{"127.0.0.5"}, "port", port, "reqMode", "tcp", "srcPort", strconv.Itoa(stream), "sendProxy", "v1")
	w.apply()
	first := func(what string) {
		t.Helper()
		for {
			select {
			case got := <-begins:
				if want := map[string]string{"v1": "PROXY TCP4 ", "v2": "\r\n\r\n\x00\r\nQUIT\n"}[what]; !strings.HasPrefix(got, want) {
					t.Errorf("%s: the connection begins with %q, want %q", what, got, want)
				}
				for len(begins) > 0 {
					<-begins // HAProxy tries again
				}
				return
			case <-time.After(5 * time.Second):
				t.Fatalf("%s: no connection", what)
			}
		}
	}
	post := func(path string) { _ = request(t, http.MethodPost, w.hap.URL(path)) }
	post("/1")
	first("v1")
	post("/2")
	first("v2")
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", stream))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	first("v1")
	w.tasks["v1"] = nil
	w.apply()
	w.tasks["v1"] = []netip.Addr{netip.MustParseAddr("127.0.0.5")}
	if res := w.apply(); res.Reload != "" {
		t.Errorf("%+v, want no reload for a server that comes back", res)
	}
	post("/1")
	first("v1")
}

// TestLifeOfAccess: services with all that come, change and go, on a HAProxy that may
// have learned of their backends while it ran.
func TestLifeOfAccess(t *testing.T) {
	w := newWorld(t)
	settled := func(what string) {
		t.Helper()
		w.apply()
		tooltest.Eventually(t, what+": nothing is left to do", func() error {
			_, more, err := w.h.Tidy(t.Context())
			if err == nil && more {
				err = errors.New("there is more")
			}
			return err
		})
		if drift, err := w.h.Compare(t.Context()); err != nil || drift != "" {
			t.Errorf("%s: drift %q (%v)", what, drift, err)
		}
		if err := w.h.CheckFile(t.Context()); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	w.deploy("plain", []string{"127.0.0.3"}, "servicePath", "/plain")
	settled("a plain service")
	for _, pairs := range [][]string{
		{"allowedAddresses", "127.0.0.0/8"}, {"rateLimit", "100/1s"}, {"users", "ann:x"}, {"corsOrigins", "*"},
		{"forwardAuth", "http://127.0.0.9:1/"}, {"securityHeaders", "true"}, {"sendProxy", "v2"},
	} {
		name := strings.ToLower(pairs[0])
		w.deploy(name, []string{"127.0.0.2"}, append(pairs, "servicePath", "/"+name)...)
		settled(pairs[0])
	}
	for _, name := range []string{"corsorigins", "securityheaders", "allowedaddresses", "ratelimit", "forwardauth", "users", "sendproxy"} {
		delete(w.services, name)
		settled(name + " removed")
		tooltest.Eventually(t, name+" is not served any more, and the plain service is", func() error {
			gone, err := tooltest.Status(t.Context(), w.hap.URL("/"+name))
			plain, errPlain := tooltest.Status(t.Context(), w.hap.URL("/plain"))
			if gone != 503 || plain != 200 {
				return errors.Join(fmt.Errorf("status %d and %d", gone, plain), err, errPlain)
			}
			return nil
		})
	}
	files, err := filepath.Glob(filepath.Join(w.hap.Dir, "forwardauth-*.lua"))
	if err != nil || len(files) > 0 {
		t.Errorf("scripts that nothing needs remain: %v (%v)", files, err)
	}
}
