package proxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/internal/dockerflow"
)

// call asks a proxy's admin port with the token and returns status, body and type.
func (h *house) call(method, path string, body io.Reader, header ...string) (status int, text, kind string) {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), method, "http://"+h.admin+path, body)
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer geheim")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	content, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return res.StatusCode, string(content), res.Header.Get("Content-Type")
}

// ask calls a path of Docker Flow's interface with GET and wants a status.
func (h *house) ask(path string, want int) dockerflow.Response {
	h.t.Helper()
	status, text, kind := h.call(http.MethodGet, dockerflow.Prefix+path, nil)
	if status != want || kind != "application/json" {
		h.t.Fatalf("%s: %d %s: %s; want %d", path, status, kind, text, want)
	}
	var r dockerflow.Response
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		h.t.Fatalf("%s: %v", text, err)
	}
	if (r.Status == "OK") != (want == http.StatusOK) {
		h.t.Errorf("%s: status %d with %q", path, want, r.Status)
	}
	return r
}

// withInterface switches the interface of Docker Flow on.
func (h *house) withInterface() {
	h.config.DockerFlowAPI, h.config.Token = true, "geheim"
}

// ready waits until the first catalog is in force.
func (h *house) ready() {
	h.t.Helper()
	tooltest.Eventually(h.t, "the proxy is healthy", func() error { return h.healthy() })
}

func (h *house) healthy() error {
	res, err := http.Get("http://" + h.admin + "/healthz") //nolint:noctx // answered at once.
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		err = errors.New(res.Status)
	}
	return errors.Join(err, res.Body.Close())
}

// twin is another replica beside h: the same bus and DNS, with a HAProxy of its own
// on another port.
func (h *house) twin() *house {
	h.t.Helper()
	dir, err := os.MkdirTemp("", "wp") // t.TempDir is too long for the path of a socket
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	other := *h
	other.http = tooltest.FreePort(h.t)
	other.admin = "127.0.0.1:" + strconv.Itoa(tooltest.FreePort(h.t))
	other.config.DataDir, other.config.RunDir = filepath.Join(dir, "data"), filepath.Join(dir, "run")
	other.config.Edge.DefaultPorts = strconv.Itoa(other.http)
	h.config.Instance, other.config.Instance = "one", "two"
	other.supervised()
	return &other
}

// TestADoorForCompanions: at an address of its own there is Docker Flow's interface and
// nothing else, and on the admin port it is gone.
func TestADoorForCompanions(t *testing.T) {
	h := newHouse(t)
	h.withInterface()
	h.supervised()
	door := "127.0.0.1:" + strconv.Itoa(tooltest.FreePort(t))
	h.config.DockerFlowAddress, h.config.DockerFlowFrom = door, "127.0.0.0/8"
	h.dns.set("web", "127.0.0.2")
	h.run()
	h.deploy("web", "/a")
	h.ready()
	get := func(addr, path string) int {
		t.Helper()
		res, err := http.Get("http://" + addr + path) //nolint:noctx // answered at once.
		if err != nil {
			t.Fatal(err)
		}
		if err := res.Body.Close(); err != nil {
			t.Fatal(err)
		}
		return res.StatusCode
	}
	tooltest.Eventually(t, "the door is open", func() error {
		res, err := http.Get("http://" + door + dockerflow.Prefix + "/ping") //nolint:noctx // answered at once.
		if err != nil {
			return err
		}
		return res.Body.Close()
	})
	for _, c := range []struct {
		addr, path string
		want       int
	}{
		{door, dockerflow.Prefix + "/ping", 200},
		{door, dockerflow.Prefix + "/reconfigure", 400}, // it has no name, and needs no token
		{door, "/v1/services", 404},
		{door, "/v1/certs", 404},
		{door, "/metrics", 404},
		{door, "/healthz", 404},
		{h.admin, dockerflow.Prefix + "/ping", 404},
		{h.admin, "/v1/config", 401},
	} {
		if got := get(c.addr, c.path); got != c.want {
			t.Errorf("%s%s: %d, want %d", c.addr, c.path, got, c.want)
		}
	}
}

func TestDockerFlowInterface(t *testing.T) {
	h := newHouse(t)
	h.withInterface()
	h.supervised()
	h.dns.set("web", "127.0.0.2")
	h.dns.set("script", "127.0.0.3")
	h.dns.set("later", "127.0.0.3")
	two := h.twin()
	h.run()
	two.run()
	h.deploy("web", "/a")
	h.ready()
	two.ready()
	h.answers("/a", "127.0.0.2")
	port := strconv.Itoa(h.upstream)

	// Without the token only ping answers.
	if status, _, _ := h.call(http.MethodGet, dockerflow.Prefix+"/ping", nil, "Authorization", ""); status != http.StatusOK {
		t.Errorf("ping: %d", status)
	}
	for _, path := range []string{"/reconfigure", "/remove", "/reload", "/config", "/metrics", "/successfulinitreload"} {
		if status, _, _ := h.call(http.MethodGet, dockerflow.Prefix+path, nil, "Authorization", "Bearer other"); status != http.StatusUnauthorized {
			t.Errorf("%s without the token: %d", path, status)
		}
	}
	h.ask("/successfulinitreload", http.StatusOK)

	// When it is answered it is in force here, and soon at the other replica.
	r := h.ask("/reconfigure?serviceName=script&servicePath=/s&port="+port+"&distribute=true", http.StatusOK)
	if r.ServiceName != "script" || r.Service["servicePath"] != "/s" || r.Service["distribute"] != "" {
		t.Errorf("%+v", r)
	}
	if got, err := h.get("/s"); err != nil || got != "127.0.0.3" {
		t.Errorf("answered, but %q %v", got, err)
	}
	two.answers("/s", "127.0.0.3")
	h.says("script", `"state": "applied"`, "/s")

	// A change from the other replica, as a form.
	status, text, _ := two.call(http.MethodPut, dockerflow.Prefix+"/reconfigure", strings.NewReader("serviceName=script&servicePath=/t&port="+port), "Content-Type", "application/x-www-form-urlencoded")
	if status != http.StatusOK {
		t.Fatal(status, text)
	}
	if got, err := two.get("/t"); err != nil || got != "127.0.0.3" {
		t.Errorf("answered, but %q %v", got, err)
	}
	h.answers("/t", "127.0.0.3")
	h.answers("/s", "503")

	// What is wrong is told and changes nothing.
	for _, c := range []struct {
		path string
		want int
		says string
	}{
		{"/reconfigure?servicePath=/x&port=1", http.StatusBadRequest, "serviceName is mandatory"},
		{"/reconfigure?serviceName=a%0Ab&servicePath=/x&port=1", http.StatusBadRequest, "want letters and digits"},
		{"/reconfigure?serviceName=script&servicePath=x&port=" + port, http.StatusBadRequest, "com.df.servicePath"},
		{"/reconfigure?serviceName=script&servicePath=/x&port=http", http.StatusBadRequest, `com.df.port="http"`},
		{"/reconfigure?serviceName=script&servicePath=/x", http.StatusBadRequest, "com.df.port"},
		{"/reconfigure?serviceName=script&reqMode=tcp&port=1", http.StatusBadRequest, "com.df.srcPort"},
		{"/reconfigure?serviceName=script&port=80", http.StatusConflict, ""},
		{"/reconfigure?serviceName=script&servicePath=/x&port=1&bad%20name=1", http.StatusBadRequest, "the name of a label"},
		{"/remove", http.StatusBadRequest, "serviceName is mandatory"},
		{"/remove?serviceName=web", http.StatusConflict, "labels of its own"},
		{"/reload?recreate=perhaps", http.StatusBadRequest, "true or false"},
	} {
		if r := h.ask(c.path, c.want); !strings.Contains(r.Message, c.says) {
			t.Errorf("%s: %q does not say %q", c.path, r.Message, c.says)
		}
	}
	if got, _ := h.get("/t"); got != "127.0.0.3" {
		t.Errorf("a wrong request changed the service: %q", got)
	}

	// A route that another service has stays that one's, and so does a name.
	if r := h.ask("/reconfigure?serviceName=later&servicePath=/a&port="+port, http.StatusConflict); !strings.Contains(r.Message, "belongs to web") {
		t.Error(r.Message)
	}
	h.says("later", "rejected", "belongs to web")
	if r := h.ask("/reconfigure?serviceName=web&servicePath=/other&port="+port, http.StatusConflict); !strings.Contains(r.Message, "another service is called web") {
		t.Error(r.Message)
	}
	h.answers("/other", "503")
	h.answers("/a", "127.0.0.2")
	h.remove("web")
	h.answers("/a", "127.0.0.3")
	h.answers("/other", "127.0.0.2")

	h.ask("/reload", http.StatusOK)
	h.ask("/reload?recreate=true", http.StatusOK)
	h.ask("/remove?serviceName=later", http.StatusOK)
	h.ask("/remove?serviceName=nobody", http.StatusOK)
	if got, _ := h.get("/a"); got != "503" {
		t.Errorf("removed, but %q", got)
	}
	two.answers("/a", "503")

	h.dumps(port)

	// It lives through a start without a bus, and a bus that lost its store.
	h.stop()
	h.bus.Stop()
	h.bus.LoseStore()
	h.dns.set("script", "127.0.0.2")
	h.run()
	h.answers("/t", "127.0.0.2")
	if r := h.ask("/reconfigure?serviceName=script&servicePath=/u&port="+port, http.StatusServiceUnavailable); !strings.Contains(r.Message, "nothing was changed") {
		t.Error(r.Message)
	}
	h.bus.StartAgain()
	h.prepareAgain()
	h.deploy("more", "/more")
	h.says("more", "degraded")
	h.answers("/t", "127.0.0.2")
	h.says("script", `"state": "applied"`)
	h.ask("/remove?serviceName=script", http.StatusOK)
	two.answers("/t", "503")
}

// dumps looks at what can be read: no password stands in it.
func (h *house) dumps(port string) {
	h.t.Helper()
	h.ask("/reconfigure?serviceName=script&servicePath=/t&port="+port+"&setReqHeader="+"Authorization%20Basic-geheimnis", http.StatusOK)
	for _, path := range []string{"/v1/config", dockerflow.Prefix + "/config"} {
		status, text, kind := h.call(http.MethodGet, path, nil)
		if status != http.StatusOK || !strings.HasPrefix(kind, "text/plain") || !strings.Contains(text, "backend script-be"+port) {
			h.t.Errorf("%s: %d %s\n%s", path, status, kind, text)
		}
		if strings.Contains(text, "geheimnis") {
			h.t.Errorf("%s tells a password:\n%s", path, text)
		}
	}
	if status, _, _ := h.call(http.MethodGet, "/v1/config", nil, "Authorization", ""); status != http.StatusUnauthorized {
		h.t.Errorf("the configuration without the token: %d", status)
	}
	status, text, _ := h.call(http.MethodGet, dockerflow.Prefix+"/config?type=json", nil)
	var services map[string]map[string]string
	if err := json.Unmarshal([]byte(text), &services); status != http.StatusOK || err != nil || services["script"]["servicePath"] != "/t" {
		h.t.Errorf("%d %v %s", status, err, text)
	}
	status, text, kind := h.call(http.MethodGet, dockerflow.Prefix+"/metrics", nil)
	if status != http.StatusOK || !strings.HasPrefix(kind, "text/csv") || !strings.HasPrefix(text, "# pxname,svname,") {
		h.t.Errorf("%d %s %s", status, kind, text)
	}
	if _, text, _ := h.call(http.MethodGet, "/metrics", nil); !strings.Contains(text, "\nhaproxy_up 1\n") {
		h.t.Error("/metrics lacks haproxy_up 1")
	}
}

func TestInterfaceIsOffUnlessAskedFor(t *testing.T) {
	h := newHouse(t)
	h.supervised()
	h.run()
	h.deploy("web", "/a")
	h.ready()
	for _, path := range []string{"/ping", "/certs"} {
		if status, _, _ := h.call(http.MethodGet, dockerflow.Prefix+path, nil); status != http.StatusNotFound {
			t.Errorf("%s: %d", path, status)
		}
	}
	if status, _, _ := h.call(http.MethodPut, dockerflow.Prefix+"/cert?certName=a", nil); status != http.StatusNotFound {
		t.Errorf("an upload: %d", status)
	}
	if status, _, _ := h.call(http.MethodGet, "/v1/config", nil); status != http.StatusForbidden {
		t.Errorf("the configuration where there is no token: %d", status)
	}
	if _, text, _ := h.call(http.MethodGet, "/metrics", nil); strings.Contains(text, "\nhaproxy_up ") {
		t.Error("/metrics has haproxy_up")
	}
}

// TestHealthyWithTheCatalogOfToday: what the disk remembers serves at once, but counts
// as healthy only if there is no bus.
func TestHealthyWithTheCatalogOfToday(t *testing.T) {
	h := newHouse(t)
	h.supervised()
	h.run()
	h.dns.set("web", "127.0.0.2")
	h.deploy("web", "/a")
	h.answers("/a", "127.0.0.2")
	tooltest.Eventually(t, "the state is kept", func() error {
		_, err := os.Stat(filepath.Join(h.config.DataDir, "services.json"))
		return err
	})
	h.stop()
	h.bus.Stop()
	h.bus.LoseStore()
	h.bus.StartAgain()
	h.prepareAgain()
	h.run()
	h.says("web", "applied")
	if err := h.healthy(); err == nil || !strings.HasPrefix(err.Error(), "503") {
		t.Errorf("healthy before the catalog has been read: %v", err)
	}
	h.deploy("web", "/a")
	h.ready()
	h.answers("/a", "127.0.0.2")
}

// TestReplicasAgree: while one of two proxies is away, twenty services change; when
// it is back it serves what is so now as soon as it has made its pass.
func TestReplicasAgree(t *testing.T) {
	h := newHouse(t)
	h.supervised()
	two := h.twin()
	h.run()
	two.run()
	const services = 20
	for i := range services {
		h.dns.set(fmt.Sprintf("web%d", i), "127.0.0.2")
		h.deploy(fmt.Sprintf("web%d", i), fmt.Sprintf("/old%d", i))
	}
	last := fmt.Sprintf("/old%d", services-1)
	h.answers(last, "127.0.0.2")
	two.answers(last, "127.0.0.2")

	two.stop()
	for i := range services / 2 {
		h.deploy(fmt.Sprintf("web%d", i), fmt.Sprintf("/new%d", i))
	}
	two.run()
	for i := services / 2; i < services; i++ {
		h.deploy(fmt.Sprintf("web%d", i), fmt.Sprintf("/new%d", i))
	}
	for _, replica := range []*house{h, two} {
		for i := range services {
			replica.answers(fmt.Sprintf("/new%d", i), "127.0.0.2")
			replica.answers(fmt.Sprintf("/old%d", i), "503")
		}
		replica.ready()
	}
	for _, replica := range []*house{h, two} {
		tooltest.Eventually(t, "both know both, and agree", func() error {
			_, text, _ := replica.call(http.MethodGet, "/v1/instances", nil)
			var seen []struct {
				Instance, Hash  string
				Self, Disagrees bool
			}
			if err := json.Unmarshal([]byte(text), &seen); err != nil {
				return err
			}
			if len(seen) != 2 || seen[0].Instance != "one" || seen[1].Instance != "two" || seen[0].Hash != seen[1].Hash || seen[0].Self == seen[1].Self {
				return errors.New(text)
			}
			_, text, _ = replica.call(http.MethodGet, "/metrics", nil)
			for _, want := range []string{"\nwaggle_proxy_replicas 2\n", "\nwaggle_proxy_replicas_disagreeing 0\n"} {
				if !strings.Contains(text, want) {
					return errors.New("no" + want)
				}
			}
			return nil
		})
	}
}
