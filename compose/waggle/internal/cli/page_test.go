package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/compose/waggle/internal/cli"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/picture"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// page is the page about the program.
const page = "../../../../docs/waggle.md"

// swarm answers as the listener of the page's example, to whoever has the token.
func swarm(t *testing.T) string {
	t.Helper()
	svc := func(id, name, network string, labels map[string]string) catalog.Service {
		labels[catalog.Notify] = "true"
		return catalog.Service{ID: id, Name: name, Stack: "shop", Mode: catalog.Replicated, Replicas: 1, Networks: []string{network}, Labels: labels, Image: "shop:1"}
	}
	p := picture.Picture{
		Bus: picture.Connected, Stack: "waggle", Time: time.Unix(100, 0), Certificates: map[string][]string{}, Tasks: map[string][]picture.Task{},
		Services: []catalog.Service{
			svc("1", "shop_api", "shop_default", map[string]string{"com.df.serviceDomain": "shop.example.com", "com.df.servicePath": "/api", "com.df.port": "8080"}),
			svc("2", "shop_web", "waggle", map[string]string{"com.df.serviceDomain": "shop.example.com", "com.df.port": "8080"}),
		},
		Nodes: []catalog.Node{{ID: "n1", Hostname: "h1", State: "ready"}},
		Statuses: []picture.Status{
			{Status: catalog.Status{Component: "proxy", ServiceID: "1", Service: "shop_api", State: catalog.StateRejected, Reason: "shop_api is on only shop_default, and the proxy is on waggle"}},
			{Status: catalog.Status{Component: "proxy", ServiceID: "2", Service: "shop_web", State: catalog.StateApplied}},
		},
	}
	for _, s := range p.Services {
		p.Tasks[s.ID] = []picture.Task{{Task: catalog.Task{ID: "t" + s.ID, Node: "n1", State: "running", Desired: "running"}}}
	}
	for _, c := range []string{"listener", "proxy", "monitor", "scaler"} {
		p.Instances = append(p.Instances, picture.Instance{Instance: catalog.Instance{Component: c, Instance: c + "1"}, Heard: 2})
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+token {
			http.Error(w, `{"error": "want a token"}`, http.StatusUnauthorized)
			return
		}
		if r.URL.Path != "/v1/picture" {
			http.NotFound(w, r)
			return
		}
		if err := json.NewEncoder(w).Encode(p); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

const token = "token-of-the-page-0123"

// program runs a command of the page to its end, which is for the console as soon as it answers.
func program(t *testing.T, env map[string]string, args []string) string {
	t.Helper()
	if args[0] != "console" {
		_, out, errs := waggle(t, env, args...)
		return out + errs
	}
	// The page names a port that may be taken here.
	listens := slices.Index(args, "-listen") + 1
	shown := args[listens]
	args[listens] = tooltest.FreeAddress(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var out, errs bytes.Buffer
	ended := make(chan int)
	go func() { ended <- cli.Main(ctx, args, cli.World{Env: env, Out: &out, Err: &errs, Version: "test"}) }()
	tooltest.Eventually(t, "the console shows the services of the page", func() error {
		answer, err := tooltest.Ask(ctx, tooltest.Request{URL: "http://" + args[listens] + "/"})
		if err == nil && !strings.Contains(string(answer.Body), "shop_api is on only shop_default, and the proxy is on waggle") {
			err = fmt.Errorf("%d %s", answer.Status, answer.Body)
		}
		return err
	})
	stop()
	if code := <-ended; code != cli.Fine || errs.Len() > 0 {
		t.Errorf("the console ends with %d and %s", code, &errs)
	}
	return strings.ReplaceAll(out.String(), args[listens], shown)
}

// TestThePageTellsWhatTheProgramWrites: each command of the page is run, and writes what stands behind it.
func TestThePageTellsWhatTheProgramWrites(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```(sh|text|yaml)\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	t.Chdir(t.TempDir())
	env := map[string]string{"WAGGLE_URL": swarm(t), "WAGGLE_TOKEN": token}
	said, ran := "", 0
	for _, b := range blocks {
		switch b[1] {
		case "yaml":
			name, content, _ := strings.Cut(b[2], "\n")
			if err := os.WriteFile(strings.TrimPrefix(name, "# "), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		case "sh":
			args, isOurs := strings.CutPrefix(strings.TrimSpace(b[2]), "waggle ")
			if said = ""; isOurs {
				ran++
				said = program(t, env, strings.Fields(args))
			}
		case "text":
			if said != b[2] {
				t.Errorf("the page says\n%s\nand waggle\n%s", b[2], said)
			}
		}
	}
	if ran < 4 {
		t.Errorf("only %d commands were run", ran)
	}
	for name, text := range map[string]string{"READ_TOKEN": token + "\nanother-token-0123456789", "READ_TOKEN_FILE": file(t, token)} {
		if code, _, errs := waggle(t, map[string]string{"WAGGLE_URL": env["WAGGLE_URL"], name: text}, "status"); code != 1 {
			t.Errorf("with the listener's own %s: %d %s", name, code, errs)
		}
	}
	if code, _, errs := waggle(t, map[string]string{"WAGGLE_URL": env["WAGGLE_URL"]}, "status"); code != 3 || !strings.Contains(errs, "want a token") {
		t.Errorf("without the token: %d %s", code, errs)
	}
}

// A stack file of services on a page is one that lint finds no mistake in.
func TestStackFilesOfServicesOnThePagesAreRight(t *testing.T) {
	block := regexp.MustCompile("(?s)```yaml\n(# ([a-z]+-stack\\.yml)\n.*?)```")
	seen := 0
	pages, err := filepath.Glob("../../../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(pages, "../../../../README.md") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range block.FindAllStringSubmatch(string(text), -1) {
			if strings.HasSuffix(name, "waggle.md") || m[2] == "owners-stack.yml" {
				continue // whose mistakes it shows, and one of Waggle's own stack
			}
			seen++
			if code, out, errs := waggle(t, nil, "lint", "-stack", strings.TrimSuffix(m[2], "-stack.yml"), file(t, m[1])); code != 0 || strings.Contains(out, "warning") {
				t.Errorf("%s: %s: %d\n%s%s", name, m[2], code, out, errs)
			}
		}
	}
	if seen < 7 {
		t.Errorf("only %d were found", seen)
	}
}

// TestColoursAreForPeople: on a terminal alone, and not for whoever wants none.
func TestColoursAreForPeople(t *testing.T) {
	for name, c := range map[string]struct {
		isTerminal bool
		noColour   string
		want       bool
	}{"a terminal": {true, "", true}, "a program": {false, "", false}, "no colours": {true, "1", false}} {
		var out bytes.Buffer
		cli.Main(t.Context(), []string{"status"}, cli.World{
			Env: map[string]string{"WAGGLE_URL": swarm(t), "WAGGLE_TOKEN": token, "NO_COLOR": c.noColour}, Out: &out, Err: &out, IsTerminal: c.isTerminal,
		})
		if got := strings.Contains(out.String(), "\x1b[31mrejected"); got != c.want || strings.Contains(out.String(), "\x1b[") != c.want {
			t.Errorf("%s: %q", name, out.String())
		}
	}
}
