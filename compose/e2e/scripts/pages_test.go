package scripts

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestThePageOfTLS: each command on docs/tls.md is called, in the order of the page, with the stack
// files that stand there, and has the effect that is told of it.
func TestThePageOfTLS(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	m.write("containers", "abc123\n")
	page, err := os.ReadFile(compose + "/../docs/tls.md")
	if err != nil {
		t.Fatal(err)
	}
	// What is kept of the deployment after each call of compose/deploy.
	kept := map[string]func(environment, files string) bool{
		"ACME_EMAIL=ops@example.com compose/deploy":                        func(e, _ string) bool { return strings.Contains(e, "ACME_EMAIL=ops@example.com\n") },
		"compose/deploy --forget ACME_EMAIL":                               func(e, _ string) bool { return !strings.Contains(e, "ACME_EMAIL=ops") },
		"ACME_EMAIL=ops@example.com ACME_DIRECTORY=staging compose/deploy": func(e, _ string) bool { return strings.Contains(e, "ACME_DIRECTORY=staging\n") },
		"compose/deploy -c acme.yml":                                       func(_, f string) bool { return strings.Contains(f, "ACME_FALLBACK") },
		"compose/deploy -c dns.yml":                                        func(_, f string) bool { return strings.Contains(f, "CLOUDFLARE_DNS_API_TOKEN_FILE") },
		"compose/deploy -c import.yml":                                     func(_, f string) bool { return strings.Contains(f, "/opt/traefik/acme.json:/import/acme.json:ro") },
	}
	for _, block := range regexp.MustCompile("(?s)```(sh|yaml)\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		if name, ok := strings.CutPrefix(block[2], "# "); block[1] == "yaml" && ok {
			name, _, _ = strings.Cut(name, "\n")
			m.stackFile(name, block[2])
		}
		if block[1] != "sh" {
			continue
		}
		for line := range strings.Lines(block[2]) {
			line = strings.TrimSpace(line)
			if first, _, _ := strings.Cut(line, " "); slices.Contains([]string{"docker", "openssl", "cat", "curl"}, first) {
				continue // They are not ours, and need a swarm: see the part deploy of make certificates, and the trials.
			}
			m.called(line)
			if holds := kept[line]; holds != nil && !holds(m.read("environment"), m.read("files-of-the-stack")) {
				t.Errorf("after %q it is deployed with\n%s", line, m.read("environment"))
			}
			delete(kept, line)
		}
	}
	for line := range kept {
		t.Errorf("the page has no %q any more", line)
	}
}

// called calls a command of a page: variables, a script of compose/ or waggle, and its words.
func (m *manager) called(line string) {
	m.t.Helper()
	words := strings.Fields(strings.Replace(line, "waggle why", "compose/waggle.sh why", 1))
	env := images()
	for len(words) > 0 && strings.Contains(words[0], "=") {
		env, words = append(env, words[0]), words[1:]
	}
	words = slices.DeleteFunc(words, func(w string) bool { return strings.HasPrefix(w, "<") }) // All are given something to read.
	for i, w := range words {
		if strings.HasSuffix(w, ".yml") {
			words[i] = m.dir + "/files/" + w
		}
	}
	script, ok := strings.CutPrefix(words[0], "compose/")
	if !ok {
		m.t.Errorf("nobody knows how to call %q", line)
		return
	}
	m.succeeds(env, script, words[1:]...)
}
