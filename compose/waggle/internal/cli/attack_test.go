package cli_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/wagglehq/waggle/compose/waggle/internal/cli"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/picture"
)

// hostile moves the cursor, is a link to elsewhere, begins a line of its own, and turns the direction
// of writing.
const hostile = "\x1b[2J\x1b]8;;http://evil.test\x1b\\\u009b31m\r\n applied   all is well\u202e\u200b"

// answering is a listener that answers each path with a text, and others 404.
func answering(t *testing.T, status int, paths map[string]string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, ok := paths[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.WriteHeader(status)
		fmt.Fprint(w, text)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// isPlain finds what a terminal would obey, beside lines.
func isPlain(t *testing.T, about, text string) {
	t.Helper()
	for _, r := range text {
		if !unicode.IsPrint(r) && r != '\n' {
			t.Errorf("%s: it writes %q: %q", about, r, text)
			return
		}
	}
	if strings.Contains(text, "\n applied ") {
		t.Errorf("%s: a text begins a line of its own: %s", about, text)
	}
}

// TestATerminalObeysNobody: whatever labels, names, Docker and the listener say is shown, also where
// colours are, and in what goes wrong.
func TestATerminalObeysNobody(t *testing.T) {
	p := picture.Picture{
		Time: time.Unix(100, 0), Bus: picture.Connected, Failure: hostile, Stack: "waggle", Certificates: map[string][]string{hostile: {hostile}},
		Services: []catalog.Service{
			{ID: "1", Name: "shop_" + hostile, Stack: "shop", Mode: catalog.Replicated, Replicas: 1, Networks: []string{hostile}, Image: "docker-flow-proxy", Labels: map[string]string{
				catalog.Notify: "true", "com.df.servicePath": "/" + hostile, "com.df.port": hostile, "com.df.zzzzzzzzzzzz" + hostile: "1", "com.df.scaleMax": hostile, "com.df.alertName": hostile, "com.df.scrapePort": hostile,
			}},
			{ID: "2", Name: "shop_web", Stack: "shop", Mode: catalog.Replicated, Replicas: 1, Networks: []string{"waggle"}, UpdateState: hostile, Labels: map[string]string{catalog.Notify: "true", "com.df.servicePath": "/", "com.df.port": "80"}},
		},
		Nodes: []catalog.Node{{ID: "n1", Hostname: hostile, State: hostile}},
		Tasks: map[string][]picture.Task{"2": {{Task: catalog.Task{ID: "t", Node: "n1", State: "failed", Desired: "running"}, Error: hostile}}},
		Statuses: []picture.Status{
			{Status: catalog.Status{Component: "proxy", ServiceID: "1", Service: "shop_" + hostile, State: catalog.State("rejected" + hostile), Reason: hostile, Hint: hostile}},
			{Status: catalog.Status{Component: "proxy", ServiceID: "2", Service: "shop_web", State: catalog.StateRejected, Reason: hostile, Hint: hostile}},
		},
	}
	events := fmt.Sprintf("data: %s\n\n", asJSON(t, picture.Event{Kind: picture.Kind("changed" + hostile), Service: hostile, Text: hostile}))
	env := map[string]string{"WAGGLE_URL": answering(t, http.StatusOK, map[string]string{"/v1/picture": asJSON(t, p), "/v1/events": events})}
	for _, args := range [][]string{{"status"}, {"why", "shop_" + hostile}, {"why", "shop_web"}, {"why", "https://shop.test/" + "%1b"}, {"why", "web" + hostile}, {"services"}, {"dance" + hostile}} {
		_, out, errs := waggle(t, env, args...)
		isPlain(t, strings.Join(args, " "), out+errs)
		if len(args) == 2 && args[1] == "shop_web" && !strings.Contains(out, `\x1b[2J`) {
			t.Errorf("what Docker says is not shown: %s", out)
		}
	}
	out, errs, stop := begin(t, env["WAGGLE_URL"], "tail")
	eventually(t, "an event", out, `\u202e`)
	stop()
	isPlain(t, "tail", out.String()+errs.String())
	for name, text := range map[string]string{"an error": asJSON(t, map[string]string{"error": hostile}), "no JSON": hostile} {
		url := answering(t, http.StatusBadGateway, map[string]string{"/v1/picture": text})
		_, out, errs := waggle(t, map[string]string{"WAGGLE_URL": url}, "status")
		isPlain(t, name, out+errs)
	}
	stack := file(t, "services:\n  web:\n    image: x:1\n    networks: [waggle]\n    deploy:\n      labels: {com.df.notify: \"true\", com.df.port: \"80\", com.df.servicePath: /a, \"com.df.zzzzzzzzzzzz\\e[2J\\u202e\": x, \"com.df.servicePat\\u200b\": x}\n"+network)
	for _, args := range [][]string{{"lint", stack}, {"lint", "-o", "github", stack}, {"lint", file(t, "services:\n  \"w\\e[2Jeb\": {image: x}\n")}} {
		_, out, errs := waggle(t, nil, args...)
		isPlain(t, strings.Join(args, " "), out+errs)
	}
}

// TestWhatStopsAQuestionSaysWhatToDo: each way in which the listener cannot be asked.
func TestWhatStopsAQuestionSaysWhatToDo(t *testing.T) {
	refuses := answering(t, http.StatusUnauthorized, map[string]string{"/v1/picture": `{"error": "want a token"}`})
	page := answering(t, http.StatusOK, map[string]string{"/v1/picture": "<html>" + strings.Repeat("x", 5000)})
	broken := answering(t, http.StatusServiceUnavailable, map[string]string{"/v1/picture": "<html>\n" + strings.Repeat("<p>x", 5000)})
	for name, c := range map[string]struct {
		url  string
		code int
		want []string
	}{
		"nobody answers":             {"http://127.0.0.1:1", cli.NoAnswer, []string{"cannot be asked at http://127.0.0.1:1: dial tcp", "fix: on a manager compose/waggle.sh"}},
		"no scheme":                  {"localhost:8080", cli.Usage, []string{`"localhost:8080" is no URL of the listener: want one such as http://127.0.0.1:8080`}},
		"no host":                    {"http://", cli.Usage, []string{"is no URL of the listener"}},
		"another scheme":             {"ftp://x", cli.Usage, []string{"is no URL of the listener"}},
		"a wrong token":              {refuses, cli.NoAnswer, []string{"want a token", "fix: put the listener's READ_TOKEN into the variable WAGGLE_TOKEN"}},
		"a page":                     {page, cli.NoAnswer, []string{"cannot be read", "fix: see whether it is the listener"}},
		"a proxy without a listener": {broken, cli.NoAnswer, []string{"503", "fix: see whether the listener answers"}},
		"nobody answers to a name":   {"http://me:geheim@127.0.0.1:1", cli.NoAnswer, []string{"http://me:xxxxx@127.0.0.1:1"}},
	} {
		for _, args := range [][]string{{"status"}, {"why", "shop_web"}, {"why", "http://shop.test/"}, {"lint", "-against", c.url, file(t, stackOf(service("web", "com.df.notify=true")))}} {
			code, out, errs := waggle(t, map[string]string{"WAGGLE_URL": c.url}, args...)
			if code != c.code || out != "" || len(errs) > 1000 || strings.Contains(errs, "geheim") || strings.Count(errs, "\n") > 2 {
				t.Errorf("%s, %s: %d %s%s", name, args[0], code, out, errs)
			}
			for _, want := range c.want {
				if !strings.Contains(errs, want) {
					t.Errorf("%s, %s: %q is not in %s", name, args[0], want, errs)
				}
			}
		}
	}
}

// TestAskedForHelp as other programs are.
func TestAskedForHelp(t *testing.T) {
	for _, c := range []struct{ args, want string }{{"help", "Commands:"}, {"help lint", "Usage: waggle lint"}, {"version", "test"}} {
		if code, out, errs := waggle(t, nil, strings.Fields(c.args)...); code != cli.Fine || !strings.Contains(out, c.want) {
			t.Errorf("%s: %d %s%s", c.args, code, out, errs)
		}
	}
}

// TestWhatIsAskedAbout: names of services and URLs in each way in which people write them, and what
// is neither.
func TestWhatIsAskedAbout(t *testing.T) {
	env := map[string]string{"WAGGLE_URL": swarm(t), "WAGGLE_TOKEN": token}
	for subject, want := range map[string]string{
		"shop_web": "the swarm has a service shop_web", "http://shop.example.com/": "is for shop_web", "shop.example.com": "is for shop_web", "shop.example.com/cart?a=b": "is for shop_web",
		"HTTP://SHOP.EXAMPLE.COM/": "is for shop_web", "http://shop.example.com:80/a;b/..//c": "is for shop_web", "http://shop.example.com./": "no service asks for", "http://me:pw@shop.example.com/#x": "is for shop_web",
		// Which port of the proxy is published as which is not known.
		"http://shop.example.com:8080/": "is for shop_web", "http://[::1]/": "no service asks for", "http://[fe80::1%25eth0]/": "no service asks for", "http://bücher.example.com/": "no service asks for",
		"web": "is shop_web meant?", "shop.example.com:8080/x": "is for shop_web",
	} {
		code, out, errs := waggle(t, env, "why", subject)
		if !strings.Contains(out, want) || code > cli.Faults {
			t.Errorf("%s: %d %s%s", subject, code, out, errs)
		}
	}
	for _, subject := range []string{"http://", "https:///x", "http://shop.example.com:99999/", "http://shop.example.com:0/", "http://[::1/", "http://%zz/", "ftp://shop.example.com/", "http://a b/", "./x", ":80"} {
		if code, out, errs := waggle(t, env, "why", subject); code != cli.Usage || !strings.Contains(errs, "want ") {
			t.Errorf("%s: %d %s%s", subject, code, out, errs)
		}
	}
}

// TestLintSaysWhatToDoAboutWhatDockerRefuses, and about files in which nothing is Waggle's.
func TestLintSaysWhatToDoAboutWhatDockerRefuses(t *testing.T) {
	web := func(labels string) string {
		return "services:\n  web:\n    image: x:1\n    networks: [waggle]\n    deploy:\n      labels: " + labels + "\n" + network
	}
	for name, c := range map[string]struct {
		text string
		code int
		want []string
	}{
		"a text that YAML takes for true":  {web("{com.df.notify: true}"), cli.Faults, []string{"com.df.notify must be a string", `between quotes, such as "true"`}},
		"a variable that is required":      {web("{com.df.port: '${PORT:?say which}'}"), cli.Faults, []string{"say which", "set the variable PORT for waggle lint"}},
		"a sign of a variable":             {web("{com.df.servicePath: '^/a$'}"), cli.Faults, []string{"write $$"}},
		"what Docker forbids":              {"services:\n  web:\n    image: x:1\n    extends: {service: base}\n", cli.Faults, []string{"docker stack deploy does not take extends", "take extends out"}},
		"a key that stands twice":          {web("{com.df.port: '1', com.df.port: '2'}"), cli.Faults, []string{"already defined"}},
		"an anchor of itself":              {"services: &s\n  web:\n    image: x:1\n    <<: *s\n", cli.Faults, []string{"contains itself"}},
		"nothing under com.df.":            {web("{other: '1'}"), cli.Fine, []string{"no service has labels under com.df., so none is routed"}},
		"a prefix in capitals":             {web("{Com.df.servicePath: /a}"), cli.Fine, []string{"warning: the label Com.df.servicePath is none of Waggle's", "call it com.df.servicePath"}},
		"a prefix with its letters turned": {web("{com.fd.notify: 'true'}"), cli.Fine, []string{"call it com.df.notify"}},
		"a prefix with a slash":            {web("{com.df/notify: 'true'}"), cli.Fine, []string{"call it com.df.notify"}},
		"somebody else's":                  {web("{com.dfx.notify: 'true', com.docker.stack: x}"), cli.Fine, []string{"no mistakes were found"}},
	} {
		code, out, errs := waggle(t, nil, "lint", file(t, c.text))
		for _, want := range c.want {
			if code != c.code || !strings.Contains(out, want) {
				t.Errorf("%s: %d without %q: %s%s", name, code, want, out, errs)
			}
		}
	}
	if code, out, errs := waggle(t, nil, "lint", "nowhere.yml"); code != cli.NoAnswer || out != "" || !strings.Contains(errs, "nowhere.yml") {
		t.Errorf("a file that is not there: %d %s%s", code, out, errs)
	}
}

// TestLintOfBombs: what grows when it is read is refused, soon.
func TestLintOfBombs(t *testing.T) {
	var lists, merges strings.Builder
	lists.WriteString("x-0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n")
	merges.WriteString("x-0: &a0 {k: v}\n")
	for i := range 40 {
		fmt.Fprintf(&lists, "x-%d: &a%d [%s*a%d]\n", i+1, i+1, strings.Repeat(fmt.Sprintf("*a%d, ", i), 8), i)
		fmt.Fprintf(&merges, "x-%d: &a%d\n  <<: [*a%d, *a%d]\n", i+1, i+1, i, i)
	}
	for name, text := range map[string]string{"lists": lists.String(), "merges": merges.String()} {
		code, out, _ := waggle(t, nil, "lint", file(t, text+"services:\n  web:\n    image: x:1\n    deploy: {labels: {<<: *a40}}\n"))
		if code != cli.Faults || !strings.Contains(out, "excessive aliasing") {
			t.Errorf("%s: %d %s", name, code, out)
		}
	}
}
