package listener

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/dockertest"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// Companions that stand on another network find Docker Flow's endpoints at an address of
// their own, and nothing else there.
func TestCompanionsHaveADoorOfTheirOwn(t *testing.T) {
	const token, paths = "0123456789abcdef", "/v1/docker-flow-swarm-listener"
	h := newHouse(t)
	h.reads = token
	h.swarm.Create(web())
	door := fmt.Sprintf("127.0.0.1:%d", tooltest.FreePort(t))
	h.run(func(c *Config) { c.DockerFlow.Companions.Address = door })
	ask := func(addr, path, user, password string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+path, nil)
		tooltest.Must(t, err)
		if user != "" {
			req.SetBasicAuth(user, password)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0 // it does not listen yet
		}
		tooltest.Must(t, res.Body.Close())
		return res.StatusCode
	}
	tooltest.Eventually(t, "the services are known at the door", func() error {
		if got := ask(door, paths+"/get-services", "any", token); got != http.StatusOK {
			return fmt.Errorf("status %d", got)
		}
		return nil
	})
	for _, c := range []struct {
		addr, path, password string
		want                 int
	}{
		{door, paths + "/ping", "", 200},
		{door, paths + "/get-services", "", 401},
		{door, paths + "/get-services", "another", 401},
		{door, paths + "/notify-services", "", 401},
		{door, paths + "/notify-services", token, 200},
		{door, paths + "/get-nodes", token, 200},
		{door, "/v1/services", token, 404},
		{door, "/metrics", token, 404},
		{h.admin, paths + "/get-services", token, 404},
		{h.admin, "/v1/services", token, 200},
	} {
		user := ""
		if c.password != "" {
			user = "any"
		}
		if got := ask(c.addr, c.path, user, c.password); got != c.want {
			t.Errorf("%s%s with %q: %d, want %d", c.addr, c.path, c.password, got, c.want)
		}
	}
}

func TestCompanionsByTheirAddressNeedNoToken(t *testing.T) {
	h := newHouse(t)
	h.swarm.Create(web())
	door := fmt.Sprintf("127.0.0.1:%d", tooltest.FreePort(t))
	h.run(func(c *Config) { c.DockerFlow.Companions = app.Companions{Address: door, From: "127.0.0.0/8"} })
	tooltest.Eventually(t, "the services are known at the door", func() error {
		res, err := http.Get("http://" + door + "/v1/docker-flow-swarm-listener/get-services") //nolint:noctx // answered at once.
		if err != nil {
			return err
		}
		defer func() { _ = res.Body.Close() }()
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d", res.StatusCode)
		}
		return nil
	})
}

func TestADoorThatNobodyCouldUseIsAnError(t *testing.T) {
	swarm, server := dockertest.New(t), bustest.Start(t)
	for want, c := range map[string]app.Companions{
		"docker-flow-address: want a read-token or docker-flow-from beside it":         {Address: ":8081"},
		`docker-flow-address: "8081": want :PORT, ADDRESS:PORT or NETWORK:PORT`:        {Address: "8081", From: "10.0.0.0/8"},
		"docker-flow-from: want a docker-flow-address beside it":                       {From: "10.0.0.0/8"},
		`docker-flow-from: "monitor": want an address or a network such as 10.0.0.0/8`: {Address: ":8081", From: "monitor"},
	} {
		config := Config{DockerHost: swarm.Host(), NATSURL: server.URL(), NATSReplicas: 1, Resync: resyncOfTests, Instance: "l1", DockerFlow: DockerFlow{Companions: c}}
		err := Run(t.Context(), config, shellOfTests(t, "127.0.0.1:0", ""))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", c, err, want)
		}
	}
}
