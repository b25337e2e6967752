package swarm

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/lab"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// inspected is what matters here of a container.
type inspected struct {
	Config     struct{ User string }
	HostConfig struct {
		CapAdd, CapDrop []string
		ReadonlyRootfs  bool
		Privileged      bool
		PidsLimit       *int64
	}
}

// privileges are what the page about operations tells, as the engine has taken it.
func (w *world) privileges(t *testing.T) {
	ctx := tooltest.Context(t, 30*time.Second)
	container := func(service string) (*lab.Node, string) {
		t.Helper()
		for _, name := range nodes() {
			ids, err := w.Node(name).Docker(ctx, "ps", "-q", "--no-trunc", "--filter", "label=com.docker.swarm.service.name=waggle_"+service)
			tooltest.Must(t, err)
			if ids := strings.Fields(ids); len(ids) > 0 {
				return w.Node(name), ids[0]
			}
		}
		t.Fatalf("no container of %s", service)
		return nil, ""
	}
	for _, service := range []string{"listener", "proxy", "monitor", "alertmanager", "scaler"} {
		node, id := container(service)
		text, err := node.Docker(ctx, "inspect", id)
		tooltest.Must(t, err)
		var all []inspected
		tooltest.Must(t, json.Unmarshal([]byte(text), &all))
		c := all[0].HostConfig
		var want []string
		if service == "proxy" {
			want = []string{"CAP_KILL", "CAP_SETGID", "CAP_SETUID"}
		}
		slices.Sort(c.CapAdd)
		if !slices.Equal(c.CapAdd, want) || !slices.Equal(c.CapDrop, []string{"ALL"}) || !c.ReadonlyRootfs || c.Privileged || c.PidsLimit == nil || *c.PidsLimit < 100 {
			t.Errorf("%s: %s", service, text)
		}
	}
	node, id := container("proxy")
	// Everybody in the container by number of user.
	out, err := node.Docker(ctx, "top", id, "-eo", "pid,uid,args")
	tooltest.Must(t, err)
	users := map[string]bool{}
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		switch {
		case len(f) < 3 || f[1] == "UID":
		case strings.Contains(f[2], "waggle-proxy") && slices.Contains(f, "-controller"):
			users["controller "+f[1]] = true
		case strings.Contains(f[2], "haproxy"):
			users["haproxy "+f[1]] = true
		}
	}
	if got := fmt.Sprint(slices.Sorted(maps.Keys(users))); got != "[controller 99 haproxy 98]" {
		t.Errorf("the proxy's processes: %s\n%s", got, out)
	}
	// The program reads its secrets first, whoever runs it.
	for user, want := range map[string]string{"98:99": "permission denied", "99:99": "", "0:0": ""} {
		_, err := node.Docker(ctx, "exec", "--user", user, id, "/waggle-proxy", "-get", "/v1/config")
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("as %s the secrets of the proxy are read: %v", user, err)
		}
	}
}
