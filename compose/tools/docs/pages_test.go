package docs

import (
	"bytes"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// pages are all pages for people, by path.
func pages(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/adr/*.md", "*/README.md"} {
		found, err := filepath.Glob(root + "/" + pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range found {
			out[strings.TrimPrefix(name, root+"/")] = text(t, strings.TrimPrefix(name, root+"/"))
		}
	}
	for _, name := range []string{"README.md", "CONTRIBUTING.md", "docs/getting-started.md", "docs/operations.md", "docs/adr/0001-state-not-events.md"} {
		if out[name] == "" {
			t.Fatalf("%s is missing or empty", name)
		}
	}
	return out
}

func text(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(root + "/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestCommandsOfAPage(t *testing.T) {
	page := "Text.\n```sh\nmake a\n# why\nmake b \\\n  C=1\n```\n1. More:\n\n   ```sh\n   make c\n   ```\n```yaml\nmake: no\n```\n"
	if got, want := strings.Join(Commands(page), ";"), "make a;make b   C=1;make c"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if prose := WithoutBlocks(page); strings.Contains(prose, "make") || !strings.Contains(prose, "1. More:") {
		t.Errorf("the prose is %q", prose)
	}
	if got := strings.Join(Links("[a](b.md) and [c](d.md#e), ![f](g.png \"h\")"), ";"); got != "b.md;d.md;g.png" {
		t.Errorf("links are %q", got)
	}
}

// rule is one form of command that a page may show.
type rule struct {
	form *regexp.Regexp
	// by is what runs such a command: a Makefile that has the target, a script or
	// a test in which the text stands.
	by func(m []string) (file, has string)
	// check returns what is wrong with the command, beyond its form.
	check func(t *testing.T, page string, m []string) string
}

const assignments = `((?:[A-Z_]+=(?:"[^"]*"|\$\([^)]*\)|\S+) )*)`

func rules() []rule {
	in := func(file, has string) func([]string) (string, string) {
		return func([]string) (string, string) { return file, has }
	}
	form := func(pattern string) *regexp.Regexp { return regexp.MustCompile("^" + pattern + "$") }
	trial := func(m []string) (string, string) { return "compose/e2e/trials/first.go", m[1] }
	fine := func(*testing.T, string, []string) string { return "" }
	return []rule{
		{form(assignments + `make ([a-z-]+)((?: [A-Z_]+=(?:"[^"]*"|\S+))*)`),
			func(m []string) (string, string) { return "Makefile", "\n" + m[2] + ": " },
			func(t *testing.T, _ string, m []string) string { return variables(t, m[1]+m[3]) }},
		{form(assignments + `compose/deploy((?: -c \S+| --with-registry-auth| --resolve-image never| --show| --forget \S+| --env-file \S+| --same-images)*)`), in("compose/demo/demo.sh", "/../deploy"),
			func(t *testing.T, page string, m []string) string {
				for _, file := range regexp.MustCompile(`-c (\S+)`).FindAllStringSubmatch(m[2], -1) {
					if _, err := os.Stat(root + "/" + file[1]); err == nil && strings.HasPrefix(file[1], "compose/") {
						continue // one that we bring
					}
					if !strings.Contains(page, "\n# "+file[1]+"\n") {
						return "the page has no block that begins with # " + file[1]
					}
				}
				return variables(t, m[1])
			}},
		{form(`eval "\$\(compose/init (--env)\)"`), in("compose/deploy", "--env"), fine},
		{form(`compose/init (--nats-config) > nats\.conf`), in("compose/init", "--nats-config"), fine},
		{form(`compose/init (--reader)`), in("compose/e2e/scripts/scripts_test.go", `"init", "--skip-ports", "--reader"`), fine},
		{form(`compose/rotate (?:--loaded )?(?:proxy|monitor|scaler|listener)`), in("compose/e2e/scripts/scripts_test.go", `"rotate", "--loaded", "scaler"`), fine},
		{form(`docker stack deploy -c (compose/stack.yml) --with-registry-auth (waggle)`), in("compose/deploy", "stack deploy "), fine},
		{form(`docker stack deploy -c ([a-z-]+\.yml) (shop)`), in("compose/deploy", "stack deploy "), fine},
		{form(`(?:docker run --rm(?: -i)?(?: -v /var/run/docker\.sock:/var/run/docker\.sock)? waggle\.invalid/|waggle-)(scaler)(?::\S+)? ([a-z]+)((?: -[a-z]+ (?:"[^"]*"|\S+))*)(?: -)?(?: < \S+)?(?: > \S+)?`),
			func(m []string) (string, string) { return m[1] + "/" + m[2] + ".go", `Name: "` + m[2] + `"` }, toolFlags},
		{form(`export ((?:[A-Z_]+=\S+ ?)+)`), in("compose/images/images.sh", "WAGGLE_TAG"),
			func(t *testing.T, _ string, m []string) string { return variables(t, m[1]) }},
		{form(`docker push \S+/waggle/([a-z]+):\S+`), in("compose/images/images.sh", "docker build"),
			func(t *testing.T, _ string, m []string) string {
				if _, err := os.Stat(root + "/" + m[1] + "/Dockerfile"); err != nil {
					return "no such image"
				}
				return ""
			}},
		// What a component answers is proved by its own tests; here, that it is asked for
		// what it has, at the port at which the demo publishes it.
		{form(`curl (?:-X (POST|PUT|DELETE) -H "Authorization: Bearer \$WAGGLE_TOKEN" )?(?:--data-binary @[a-z.]+ )?'?http://localhost(?::(\d+))?(/[a-z0-9_./-]*)(?:\?[a-z0-9_=&]*)?'?`),
			in("compose/e2e/cmd/story/story.go", "curl http://"), endpoint},
		{form(`docker service (create) --name ([a-z]+) --network waggle --endpoint-mode dnsrr(?: --label com\.df\.\S+)+ waggle.invalid/demo:dev`), in("compose/e2e/cmd/story/story.go", `"--label"`), fine},
		// These are what trials do, word by word.
		{form(`(git clone https://github\.com/wagglehq/waggle && cd waggle)`), in("go.work", "./compose/e2e"), fine},
		{form(`((?:docker service create --name hello .* traefik/whoami)|(?:openssl req -x509 .*)|(?:cat cert\.pem key\.pem > shop\.pem)|(?:curl --cacert .*)|(?:docker service update --label-add com\.df\.alertName=try .*)|(?:docker swarm join-token manager))`), trial, fine},
		{form(`git checkout v\d\.\d\.\d`), in("compose/e2e/trials/upgrade.go", `"git checkout v"`), fine},
		{form(`docker service update (--label-rm com\.df\.[a-zA-Z]+ ?)+hello`), in("compose/e2e/scenarios/world.go", "takes one away"), fine},
		{form(`docker service (update --label-add com\.df\.\S+|rm) hello`), in("compose/e2e/cmd/story/story.go", `"--label-add"`), fine},
		{form(`docker service (?:scale|logs --tail \d+) waggle_([a-z]+)(?:=[01])?`), in("compose/stack.yml", "endpoint_mode: dnsrr"), stackService},
		{form(`compose/look ([a-z]+)(?: -(post|put|delete))? '?(/[a-z0-9_./-]*)(?:\?[a-z0-9_=&]*)?'?(?: <[a-z.]+)?`), in("compose/e2e/scripts/scripts_test.go", `"look", "proxy", "-put"`),
			func(t *testing.T, _ string, m []string) string { return routed(t, m[1], m[2], m[3]) }},
		{form(`docker exec \$\(docker ps -q -f name=waggle_([a-z]+)\) /waggle-([a-z]+) -(get) (/[a-z0-9_/]*)`), in("compose/look", `"/waggle-$service"`),
			func(t *testing.T, _ string, m []string) string {
				if !strings.Contains(text(t, m[1]+"/Dockerfile"), `ENTRYPOINT ["/waggle-`+m[2]+`"]`) {
					return "the image of " + m[1] + " has no /waggle-" + m[2]
				}
				return routed(t, m[1], m[3], m[4])
			}},
		{form(`waggle (lint|why|status|get|console|import) \S.*|waggle status`), in("compose/waggle/internal/cli/page_test.go", `"waggle "`), fine},
		{form(`compose/waggle\.sh (why) \S+`), in("compose/e2e/scripts/scripts_test.go", `"waggle.sh", "why"`), fine},
		{form(`(sha256sum --check --ignore-missing SHA256SUMS|cosign verify(?:-blob)? .*)`), in(".github/workflows/release.yml", "SHA256SUMS.sigstore.json"), fine},
		{form(`docker secret create (\S+) (\S+)`), in("compose/init", "docker secret create"), fine},
		{form(`docker swarm init|docker (?:service|node|config|secret|volume) ls(?: --filter name=waggle)?`), in("compose/e2e/scripts/testdata/docker", "ls"), fine},
		{form(`compose/uninstall((?: --yes| --keep-volumes)*)`), in("compose/e2e/scripts/scripts_test.go", `"uninstall", "--yes"`), fine},
		{form(`docker (?:save -o waggle.tar(?: waggle.invalid/[a-z]+:\S+)+|load -i waggle.tar)`), in("compose/e2e/lab/lab.go", `"save"`), fine},
		{form(`openssl rand -base64 24 \| docker secret create (\S+) -`), func(m []string) (string, string) { return "compose/grafana.yml", "external: true, name: " + m[1] + "}" }, fine},
		{form(`printf 'me:%s\\n' "\$\(openssl passwd -6\)" \| docker secret create (\S+) -`), func(m []string) (string, string) { return "compose/console.yml", "external: true, name: " + m[1] + "}" }, fine},
		{form(`docker volume inspect waggle_([a-z]+)`), in("compose/stack.yml", "\nvolumes:\n"), stackService},
		{form(`cd ([a-z]+) && go test (?:-race |-run (\w+) )?(\./[a-z/]+/)( -update)?`), in("CONTRIBUTING.md", "go test"), goTest},
	}
}

// variables returns the first variable that nothing reads.
func variables(t *testing.T, words string) string {
	read := ""
	for _, name := range []string{"Makefile", "compose/stack.yml", "compose/init", "compose/deploy", "compose/rotate", "compose/images/images.sh", "compose/lib/engine.sh", "compose/lib/answers.sh", "compose/grafana.yml", "compose/console.yml", "compose/console-forward.yml", "compose/images/release.sh", "compose/waggle/internal/cli/cli.go"} {
		read += text(t, name)
	}
	for _, m := range regexp.MustCompile(`([A-Z_]+)=`).FindAllStringSubmatch(words, -1) {
		if !regexp.MustCompile(`\b` + m[1] + `\b`).MatchString(read) {
			return "nothing reads " + m[1]
		}
	}
	return ""
}

// endpoint checks a request to one of our own ports against the stack file and the routes in the code.
func endpoint(t *testing.T, _ string, m []string) string {
	method, port, where := m[1], m[2], m[3]
	if port == "" {
		return "" // through the proxy, to a service of the page's own
	}
	service := regexp.MustCompile(`(?s)\n  ([a-z]+):\n(?:    [^\n]*\n)*?[^\n]*target: 8080, published: ` + port + `,`).FindStringSubmatch(text(t, "compose/demo.yml"))
	if service == nil {
		return "the demo publishes no port " + port
	}
	return routed(t, service[1], method, where)
}

// routed returns what is wrong with a request to a service's admin port, by a method in
// any case, GET if it is empty.
func routed(t *testing.T, service, method, where string) string {
	t.Helper()
	if method == "" {
		method = "get"
	}
	method = strings.ToUpper(method[:1]) + strings.ToLower(method[1:])
	code := ""
	for _, file := range []string{"api.go", "audit.go", "certs.go", "config.go"} {
		if content, err := os.ReadFile(filepath.Join(root, service, "internal/api", file)); err == nil {
			code += string(content)
		}
	}
	for _, route := range regexp.MustCompile(`(?:\br|\btrusted|\))\.`+method+`\("([^"]+)"`).FindAllStringSubmatch(code, -1) {
		pattern := "/v1/" + strings.TrimPrefix(strings.TrimPrefix(route[1], "/v1"), "/")
		if ok, _ := path.Match(strings.ReplaceAll(pattern, "{name}", "*"), where); ok {
			return ""
		}
	}
	return service + " has no such path"
}

// toolFlags returns the first flag of a tool of a component that it does not have.
func toolFlags(t *testing.T, _ string, m []string) string {
	code := text(t, m[1]+"/"+m[2]+".go")
	for _, f := range regexp.MustCompile(` -([a-z]+) `).FindAllStringSubmatch(m[3], -1) {
		if !strings.Contains(code, `"`+f[1]+`"`) {
			return "it has no flag -" + f[1]
		}
	}
	return ""
}

func stackService(t *testing.T, _ string, m []string) string {
	if !strings.Contains(text(t, "compose/stack.yml"), "\n  "+m[1]+":\n") {
		return "the stack has no " + m[1]
	}
	return ""
}

func goTest(t *testing.T, _ string, m []string) string {
	var code []byte
	found, err := filepath.Glob(root + "/" + m[1] + "/" + m[3] + "*_test.go")
	if err != nil || len(found) == 0 {
		return "no tests there"
	}
	for _, name := range found {
		code = append(code, text(t, strings.TrimPrefix(name, root+"/"))...)
	}
	if m[2] != "" && !bytes.Contains(code, []byte("func "+m[2]+"(")) {
		return "no such test"
	}
	if m[4] != "" && !bytes.Contains(code, []byte(`flag.Bool("update"`)) {
		return "its tests know no -update"
	}
	return ""
}

// fault returns what is wrong with a command of a page: that no rule knows it, that nothing
// runs it, or what its rule says.
func fault(t *testing.T, page, command string) string {
	t.Helper()
	for _, r := range rules() {
		m := r.form.FindStringSubmatch(command)
		if m == nil {
			continue
		}
		if file, has := r.by(m); !strings.Contains(text(t, file), has) {
			return file + " has no " + strconv.Quote(has)
		}
		return r.check(t, page, m)
	}
	return "no rule knows this command"
}

// facts are those of this repository.
func facts(t *testing.T) Facts {
	t.Helper()
	f := Facts{Defaults: map[string][]string{}, Ports: map[string]bool{"2377": true, "7946": true, "4789": true}}
	settings := text(t, "docs/settings.md")
	for _, m := range regexp.MustCompile("(?m)^\\| `[^`]+` \\| `([A-Z0-9_]+)` \\| (?:`([^`]*)`|empty) \\|").FindAllStringSubmatch(settings, -1) {
		f.Defaults[m[1]] = append(f.Defaults[m[1]], m[2])
	}
	stack := text(t, "compose/stack.yml") + text(t, "compose/grafana.yml")
	for _, m := range regexp.MustCompile(`\$\{([A-Z0-9_]+):-([^}]*)\}`).FindAllStringSubmatch(stack, -1) {
		f.Defaults[m[1]] = append(f.Defaults[m[1]], m[2])
	}
	for _, file := range []string{"compose/stack.yml", "compose/demo.yml", "docs/settings.md", "compose/exporters.yml"} {
		for _, port := range regexp.MustCompile(`\b\d{2,5}\b`).FindAllString(text(t, file), -1) {
			f.Ports[port] = true
		}
	}
	// Providers of DNS read their variables themselves, as their tests show.
	providers := text(t, "proxy/internal/certs/acme/dns/dns_test.go") + text(t, "proxy/acmetest/zone.go")
	f.Variable = func(name string) bool {
		setting := strings.TrimSuffix(name, "_FILE") // by which every setting is read, too
		return strings.Contains(settings, "`"+name+"`") || strings.Contains(settings, "`"+setting+"`") || variables(t, name+"=") == "" ||
			regexp.MustCompile(`"`+setting+`(_FILE)?\b`).MatchString(providers) || placeholders[strings.TrimRight(name, "_")]
	}
	f.Exists = func(path string) bool { _, err := os.Stat(root + "/" + path); return err == nil }
	f.Command = func(page, command string) string { return fault(t, page, command) }
	return f
}

// placeholders are beginnings of names that stand on pages for all names with them, and a
// name of Docker Flow's that a page takes leave of.
var placeholders = map[string]bool{"DF_NOTIFY": true, "DFP_SERVICE": true, "LISTENER_ADDRESS": true}

// told is what of a page is about Waggle: of pages that set others against it, in tables of
// two columns, only the right one is.
func told(name, page string) string {
	if !strings.HasPrefix(name, "docs/") || !strings.Contains(page, "| Waggle |") {
		return page
	}
	out := ""
	for line := range strings.Lines(page) {
		if cells := strings.Split(line, "|"); len(cells) >= 4 {
			line = strings.Join(cells[2:], "|")
		}
		out += line
	}
	return out
}

// What pages say is so. Decisions and the history tell of what was.
func TestThePagesAreRight(t *testing.T) {
	f, seen := facts(t), 0
	for name, page := range pages(t) {
		seen += len(Commands(page))
		if strings.HasPrefix(name, "docs/adr/") || name == "CHANGELOG.md" {
			continue
		}
		for _, wrong := range Wrong(told(name, page), f) {
			t.Errorf("%s: %s", name, wrong)
		}
	}
	if seen < 30 {
		t.Errorf("only %d commands were found", seen)
	}
	for _, script := range []string{"compose/init", "compose/deploy", "compose/look", "compose/rotate", "compose/uninstall", ".ci/run"} {
		if info, err := os.Stat(root + "/" + script); err != nil || info.Mode()&0o111 == 0 {
			t.Errorf("%s cannot be called: %v", script, err)
		}
	}
}

func TestCommandsThatAreWrongAreFound(t *testing.T) {
	for command, want := range map[string]string{
		"curl http://localhost:8081/v1/nonsense":                                              "listener has no such path",
		"curl http://localhost:9999/v1/services":                                              "the demo publishes no port 9999",
		"compose/look scaler /v1/nonsense":                                                    "scaler has no such path",
		"compose/look proxy -post /v1/services":                                               "proxy has no such path",
		"docker exec $(docker ps -q -f name=waggle_proxy) /waggle-listener -get /v1/services": "the image of proxy has no /waggle-listener",
		"docker volume inspect waggle_nonsense":                                               "the stack has no nonsense",
		"WAGGLE_NONSENSE=1 compose/deploy":                                                    "nothing reads WAGGLE_NONSENSE",
		"compose/deploy -c nonsense.yml":                                                      "the page has no block that begins with # nonsense.yml",
		"cd proxy && go test -run TestNonsense ./internal/wish/route/table/":                  "no such test",
	} {
		for _, r := range rules() {
			if m := r.form.FindStringSubmatch(command); m != nil {
				if got := r.check(t, "", m); got != want {
					t.Errorf("%s: %q, want %q", command, got, want)
				}
			}
		}
	}
}

func TestLinksLeadSomewhere(t *testing.T) {
	for name, page := range pages(t) {
		for _, link := range Links(page) {
			if strings.Contains(link, "://") {
				continue
			}
			if _, err := os.Stat(path.Join(root, path.Dir(name), link)); err != nil {
				t.Errorf("%s leads to %s, which is not there", name, link)
			}
		}
	}
}

func TestLabelsOnThePagesAreKnown(t *testing.T) {
	known := map[string]bool{"cron": true, "letsencrypt": true, "x": true}
	for line := range strings.Lines(text(t, "listener/internal/known/labels.txt")) {
		if words := strings.Fields(line); len(words) > 0 && words[0] != "#" {
			known[words[0]] = true
		}
	}
	for name, page := range pages(t) {
		for _, m := range regexp.MustCompile(`com\.df\.([A-Za-z]+)`).FindAllStringSubmatch(page, -1) {
			if !known[m[1]] {
				t.Errorf("%s names the label com.df.%s, which nobody knows", name, m[1])
			}
		}
	}
}

// A page that is right becomes wrong by one word, and that is found.
func TestAWrongWordOnAPageIsFound(t *testing.T) {
	const right = "`WAGGLE_MAXCONN` (default `9000`) bounds connections on port 8404; see `compose/stack.yml`.\n\n```sh\ncompose/look proxy /v1/services\n```\n"
	f := facts(t)
	if wrong := Wrong(right, f); wrong != nil {
		t.Fatalf("the right page: %v", wrong)
	}
	for _, c := range []struct{ is, becomes, want string }{
		{"`WAGGLE_MAXCONN`", "`WAGGLE_MAXCON`", "nothing reads WAGGLE_MAXCON"},
		{"`9000`", "`32000`", "the default of WAGGLE_MAXCONN is 9000, not 32000"},
		{"8404", "8405", "nothing listens on port 8405"},
		{"compose/stack.yml", "compose/stacks.yml", "there is no compose/stacks.yml"},
		{"compose/look proxy /v1/services", "compose/look proxy /v1/servers", "compose/look proxy /v1/servers: proxy has no such path"},
		{"compose/look proxy", "compose/peek proxy", "compose/peek proxy /v1/services: no rule knows this command"},
	} {
		got := Wrong(strings.ReplaceAll(right, c.is, c.becomes), f)
		if !slices.Contains(got, c.want) {
			t.Errorf("%s for %s: %v, want %s", c.becomes, c.is, got, c.want)
		}
	}
}

// The same on pages as they are, one word of each.
func TestAWrongWordOnAPageOfOursIsFound(t *testing.T) {
	f := facts(t)
	for _, c := range []struct{ page, is, becomes, want string }{
		{"docs/install.md", "`WAGGLE_SUBNET`", "`WAGGLE_SUBNETS`", "nothing reads WAGGLE_SUBNETS"},
		{"docs/install.md", "`WAGGLE_MAXCONN` (default `9000`)", "`WAGGLE_MAXCONN` (default `32000`)", "the default of WAGGLE_MAXCONN is 9000, not 32000"},
		{"docs/tls.md", "port 80 open", "port 8089 open", "nothing listens on port 8089"},
		{"docs/operations.md", "`compose/alertmanager-email.yml`", "`compose/alertmanager-mail.yml`", "there is no compose/alertmanager-mail.yml"},
		{"docs/getting-started.md", "'/v1/scale-service?", "'/v1/scale-services?", "scaler has no such path"},
		{"README.md", "make demo\n", "make demos\n", "make demos: Makefile has no"},
	} {
		page := told(c.page, text(t, c.page))
		if !strings.Contains(page, c.is) {
			t.Errorf("%s has no %q", c.page, c.is)
			continue
		}
		got := strings.Join(Wrong(strings.ReplaceAll(page, c.is, c.becomes), f), "\n")
		t.Logf("%s, %s for %s: %s", c.page, strings.TrimSpace(c.becomes), strings.TrimSpace(c.is), got)
		if !strings.Contains(got, c.want) {
			t.Errorf("%s with %s: %q, want %s", c.page, c.becomes, got, c.want)
		}
	}
}

func TestLogLinesOnThePagesAreLogged(t *testing.T) {
	_, table, _ := strings.Cut(text(t, "docs/operations.md"), "## Log lines")
	table, _, _ = strings.Cut(table, "\n## ")
	lines := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(table, -1)
	if len(lines) < 10 {
		t.Fatalf("only %d lines were found", len(lines))
	}
	var code []byte
	for _, folder := range []string{"listener", "proxy", "monitor", "scaler", "pkg"} {
		if err := filepath.WalkDir(root+"/"+folder, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
				return err
			}
			content, err := os.ReadFile(name)
			code = append(code, content...)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range lines {
		if !bytes.Contains(code, []byte(`"`+m[1]+`"`)) {
			t.Errorf("nobody logs %q", m[1])
		}
	}
}

// Each decision has a number of its own, in its name and its title.
func TestDecisionsAreNumbered(t *testing.T) {
	found, err := filepath.Glob(root + "/docs/adr/*.md")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	last := 0
	for _, name := range found {
		base := filepath.Base(name)
		number := strings.TrimLeft(base[:4], "0")
		title, _, _ := strings.Cut(text(t, "docs/adr/"+base), "\n")
		n, err := strconv.Atoi(number)
		if err != nil || n <= last || !strings.HasPrefix(title, "# "+number+". ") || base[4] != '-' {
			t.Errorf("%s with the title %q: want one number in both, above %d", base, title, last)
		}
		last = n
		for _, heading := range []string{"\n## Context\n", "\n## Decision\n", "\n## Consequences\n"} {
			if !strings.Contains(text(t, "docs/adr/"+base), heading) {
				t.Errorf("%s has no part %s", base, strings.TrimSpace(heading))
			}
		}
	}
}
