package swarm

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/stack"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// console is deployed as its file says, shows the services to whoever has the password, and
// nothing to others: neither by the proxy nor past it.
func (w *world) console(t *testing.T) {
	ctx := tooltest.Context(t, 5*time.Minute)
	w.create(t, stack.Demo{Name: "looker", Replicas: 1, Labels: stack.Labels("/looker")})
	hash, err := exec.CommandContext(ctx, "openssl", "passwd", "-6", "open-sesame").Output()
	tooltest.Must(t, err)
	tooltest.Must(t, w.Secret(ctx, "waggle_console_users", "me:"+string(hash)))
	tooltest.Must(t, w.Add(ctx, []string{"CONSOLE_DOMAIN=console.example.com"}, "console.yml"))

	ask := func(password string) (status int, page string, err error) {
		header := http.Header{"Host": {"console.example.com"}}
		if password != "" {
			header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("me:"+password)))
		}
		answer, page, err := w.Ask(ctx, stack.Manager, "/", header)
		if err != nil {
			return 0, "", err
		}
		return answer.StatusCode, page, nil
	}
	took := eventually(t, "the console shows what runs to whoever has the password", func() error {
		status, page, err := ask("open-sesame")
		if err == nil && (status != http.StatusOK || !strings.Contains(page, `id="board:looker"`)) {
			err = fmt.Errorf("%d %.600s", status, page)
		}
		return err
	})
	t.Logf("the console showed what runs after %v", took)
	for _, password := range []string{"", "guessed"} {
		if status, page, err := ask(password); err != nil || status != http.StatusUnauthorized || strings.Contains(page, "looker") {
			t.Errorf("with the password %q: %d %v %.200s", password, status, err, page)
		}
	}

	node, err := w.Home(ctx, "looker")
	tooltest.Must(t, err)
	dial, err := w.Within(ctx, node, "looker")
	tooltest.Must(t, err)
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dial(ctx, network, "127.0.0.11:53")
	}}
	addresses, err := resolver.LookupHost(ctx, "tasks.waggle_console.")
	tooltest.Must(t, err)
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	for _, address := range addresses {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(address, "8090")+"/", nil)
		tooltest.Must(t, err)
		answer, err := client.Do(req)
		tooltest.Must(t, err)
		page, err := io.ReadAll(answer.Body)
		tooltest.Must(t, err)
		tooltest.Must(t, answer.Body.Close())
		if answer.StatusCode != http.StatusForbidden || strings.Contains(string(page), "looker") {
			t.Errorf("past the proxy: %s %.200s", answer.Status, page)
		}
	}
	_, err = w.Docker(ctx, "service", "rm", "waggle_console")
	tooltest.Must(t, err)
	tooltest.Must(t, w.Remove(ctx, "looker"))
	w.gone(t, "/looker")
}
