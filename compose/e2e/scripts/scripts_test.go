// Package scripts tests the scripts that a user calls, against a docker command that
// stands for a manager.
package scripts

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/cli/cli/compose/types"

	"github.com/wagglehq/waggle/compose/tools/stackfile"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

const compose = "../.."

// manager is a swarm's manager that has nothing of Waggle, as the docker command shows it.
type manager struct {
	t *testing.T
	// dir holds what the manager has.
	dir string
}

func newManager(t *testing.T) *manager {
	t.Helper()
	m := &manager{t, t.TempDir()}
	m.write("hangs", "")
	for _, file := range []string{"tasks", "breaks", "refuses", "listener.env"} {
		m.write(file, "")
	}
	for _, kind := range []string{"config", "secret", "network", "volume", "service"} {
		if err := os.Mkdir(filepath.Join(m.dir, kind), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	m.publishes(compose + "/stack.yml")
	return m
}

func (m *manager) write(name, text string) {
	m.t.Helper()
	file := filepath.Join(m.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

func (m *manager) remove(name string) {
	m.t.Helper()
	if err := os.Remove(filepath.Join(m.dir, name)); err != nil && !os.IsNotExist(err) {
		m.t.Fatal(err)
	}
}

// read returns a file of the manager, empty if there is none.
func (m *manager) read(name string) string {
	m.t.Helper()
	text, err := os.ReadFile(filepath.Join(m.dir, name))
	if err != nil && !os.IsNotExist(err) {
		m.t.Fatal(err)
	}
	return string(text)
}

// has returns the names of what there is of a kind.
func (m *manager) has(kind string) []string {
	m.t.Helper()
	entries, err := os.ReadDir(filepath.Join(m.dir, kind))
	if err != nil && !os.IsNotExist(err) {
		m.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if name := e.Name(); !strings.HasSuffix(name, ".labels") && !strings.HasSuffix(name, ".ports") && !strings.HasSuffix(name, ".secrets") {
			names = append(names, name)
		}
	}
	return names
}

// publishes lets 'docker stack config' answer what the files come to.
func (m *manager) publishes(files ...string) {
	m.t.Helper()
	c, err := stackfile.Load(stackfile.Variables(), files...)
	if err != nil {
		m.t.Fatal(err)
	}
	text, err := stackfile.Text(c)
	if err != nil {
		m.t.Fatal(err)
	}
	m.write("merged", text)
}

// answer is what a script said and how it ended.
type answer struct {
	stdout, stderr string
	code           int
}

// run calls a script of compose/ with a few variables.
func (m *manager) run(env []string, script string, args ...string) answer {
	m.t.Helper()
	fake, err := filepath.Abs("testdata")
	if err != nil {
		m.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(m.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(compose, script), args...)
	cmd.Env = append([]string{"PATH=" + fake + ":/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "FAKE=" + m.dir, "AMTOOL=" + tooltest.Path(m.t, "amtool"), "HOME=" + m.dir, "WAGGLE_INIT_FLAGS=--skip-ports"}, env...)
	cmd.Stdin = strings.NewReader("the input")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); cmd.ProcessState == nil {
		m.t.Fatal(err)
	}
	return answer{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

// succeeds and fails run a script that must, and return what it said.
func (m *manager) succeeds(env []string, script string, args ...string) string {
	m.t.Helper()
	a := m.run(env, script, args...)
	if a.code != 0 {
		m.t.Fatalf("%s %v ended with %d:\n%s%s", script, args, a.code, a.stdout, a.stderr)
	}
	return a.stdout + a.stderr
}

func (m *manager) fails(env []string, script string, args []string, want ...string) {
	m.t.Helper()
	a := m.run(env, script, args...)
	if a.code != 1 {
		m.t.Errorf("%s %v ended with %d", script, args, a.code)
	}
	for _, w := range want {
		if !strings.Contains(a.stderr, w) {
			m.t.Errorf("%s %v does not say %q:\n%s", script, args, w, a.stderr)
		}
	}
}

// deployed returns the last call of docker stack deploy, and forgets the calls.
func (m *manager) deployed() string {
	m.t.Helper()
	last := ""
	for line := range strings.Lines(m.read("calls")) {
		if strings.HasPrefix(line, "stack deploy ") {
			last = strings.TrimSpace(line)
		}
	}
	m.write("calls", "")
	return last
}

// stackFile writes a stack file of the user's.
func (m *manager) stackFile(name, text string) string {
	m.t.Helper()
	m.write("files/"+name, text)
	return filepath.Join(m.dir, "files", name)
}

func images(more ...string) []string {
	return append([]string{"WAGGLE_IMAGES=registry.example.com/waggle"}, more...)
}

func TestSomebodySaysWhereTheImagesComeFrom(t *testing.T) {
	m := newManager(t)
	m.fails(nil, "deploy", nil, "WAGGLE_IMAGES is not set", "export WAGGLE_IMAGES=registry.example.com/waggle", "WAGGLE_IMAGES=waggle.invalid")
	m.fails(nil, "init", []string{"--env", "--skip-ports"}, "WAGGLE_IMAGES is not set")
	m.fails([]string{"WAGGLE_IMAGES=waggle"}, "deploy", nil, "names no registry", "Docker Hub for waggle/proxy", "WAGGLE_IMAGES=docker.io/waggle")
	if m.deployed() != "" || m.has("secret") != nil {
		t.Error("something was made nevertheless")
	}
	for _, prefix := range []string{"docker.io/acme", "registry:5000/waggle", "localhost/waggle", "waggle.invalid"} {
		m.succeeds([]string{"WAGGLE_IMAGES=" + prefix}, "init", "--env", "--skip-ports")
	}
	// What makes secrets alone needs no images.
	m.succeeds(nil, "init", "--skip-ports")
}

func TestADeploymentStartsFromTheLastOne(t *testing.T) {
	m := newManager(t)
	pin := m.stackFile("pin.yml", "version: \"3.9\"\nservices: {monitor: {environment: {WHO: \"${MINE_ALONE}\", COST: \"$${MINE_NOT}\"}}}\n")
	m.succeeds(images("WAGGLE_TAG=1.0.0", "WAGGLE_HTTP_PORT=8000", "MINE_ALONE=a b", "MINE_NOT=c", "ALERT_WEBHOOK=https://alerts.example.com/hook"),
		"deploy", "-c", pin, "--with-registry-auth", "--resolve-image=never", "--prune")
	first := m.read("environment")
	if got := m.deployed(); !strings.HasSuffix(got, "stack.yml -c "+pin+" --with-registry-auth --resolve-image never --prune waggle") {
		t.Errorf("deployed by %s", got)
	}

	said := m.succeeds([]string{"WAGGLE_TAG=1.1.0"}, "deploy")
	for _, want := range []string{"WAGGLE_IMAGES=registry.example.com/waggle", "WAGGLE_HTTP_PORT=8000", "MINE_ALONE=a b", "-c " + pin, "--with-registry-auth", "--resolve-image never"} {
		if !strings.Contains(said, "as the last time: "+want+"\n") {
			t.Errorf("it does not say that %s counts again:\n%s", want, said)
		}
	}
	if got, want := m.read("environment"), strings.Replace(strings.Replace(first, "TAG=1.0.0", "TAG=1.1.0", 1), "MINE_NOT=c\n", "", 1); got != want {
		t.Errorf("the environment is\n%swant\n%s", got, want)
	}
	// Not what belongs to one deployment alone.
	if got := m.deployed(); !strings.HasSuffix(got, "-c "+pin+" --with-registry-auth --resolve-image never waggle") {
		t.Errorf("deployed by %s", got)
	}

	another := m.stackFile("another.yml", "version: \"3.9\"\n")
	m.succeeds([]string{"WAGGLE_HTTP_PORT="}, "deploy", "-c", another, "--forget", "MINE_ALONE", "--forget", "--with-registry-auth")
	if got := m.deployed(); !strings.HasSuffix(got, "-c "+pin+" -c "+another+" --resolve-image never waggle") {
		t.Errorf("deployed by %s", got)
	}
	kept := m.succeeds(nil, "deploy", "--show")
	if strings.Contains(kept, "MINE_ALONE") || strings.Contains(kept, "8000") || !strings.Contains(kept, "variable WAGGLE_TAG=1.1.0\n") {
		t.Errorf("kept is\n%s", kept)
	}
	if strings.Contains(kept, "example.com/hook") {
		t.Errorf("the webhook's URL, which is a secret, is in a config:\n%s", kept)
	}
	if configs := m.has("config"); len(configs) != 1 {
		t.Errorf("configs are left over: %v", configs)
	}

	m.succeeds(images(), "deploy", "--forget", "all")
	if got := m.deployed(); !strings.HasSuffix(got, "/stack.yml waggle") || strings.Contains(m.read("environment"), "TAG") {
		t.Errorf("deployed by %s with\n%s", got, m.read("environment"))
	}
}

// The answers may stand in a file, which deploys the same into a swarm that knows nothing.
func TestAnswersInAFile(t *testing.T) {
	m := newManager(t)
	pin := m.stackFile("pin.yml", "version: \"3.9\"\n")
	file := filepath.Join(filepath.Dir(pin), "waggle.env")
	m.succeeds(images("WAGGLE_TAG=1.0.0", "WAGGLE_HTTP_PORT=8000", "ALERT_WEBHOOK=https://alerts.example.com/hook"),
		"deploy", "--env-file", file, "-c", pin, "--with-registry-auth", "--resolve-image", "never")
	want := "# What Waggle is deployed with, written by compose/deploy --env-file. It holds no secret.\n" +
		"WAGGLE_HTTP_PORT=8000\nWAGGLE_IMAGES=registry.example.com/waggle\nWAGGLE_TAG=1.0.0\n" +
		"WAGGLE_FILES=pin.yml\nWAGGLE_FLAGS=--with-registry-auth --resolve-image never\n"
	if got := m.read("files/waggle.env"); got != want {
		t.Fatalf("the file is\n%swant\n%s", got, want)
	}
	call, environment := m.deployed(), m.read("environment")

	other := newManager(t)
	said := other.succeeds([]string{"ALERT_WEBHOOK=https://alerts.example.com/hook"}, "deploy", "--env-file", file)
	if !strings.Contains(said, "as "+file+" says: WAGGLE_TAG=1.0.0\n") {
		t.Errorf("it does not say where the tag is from:\n%s", said)
	}
	if got := other.deployed(); got != call || other.read("environment") != environment {
		t.Errorf("it was deployed by %s, want %s, with\n%s", got, call, other.read("environment"))
	}

	// The file comes before what the swarm has kept, and the environment before the file.
	m.write("files/waggle.env", "# by hand\nWAGGLE_IMAGES=\"registry.example.com/waggle\"\nWAGGLE_TAG=1.1.0\nWAGGLE_HTTP_PORT=8001\n")
	m.succeeds([]string{"WAGGLE_HTTP_PORT=8002"}, "deploy", "--env-file", file)
	if got := m.read("environment"); !strings.Contains(got, "WAGGLE_TAG=1.1.0\n") || !strings.Contains(got, "WAGGLE_HTTP_PORT=8002\n") {
		t.Errorf("deployed with\n%s", got)
	}
	if got := m.read("files/waggle.env"); !strings.Contains(got, "WAGGLE_HTTP_PORT=8002\n") || strings.Contains(got, "WAGGLE_FILES") {
		t.Errorf("the file is\n%s", got)
	}

	m.write("files/waggle.env", "WAGGLE_IMAGES=registry.example.com/waggle\nexport A=1\n")
	m.fails(nil, "deploy", []string{"--env-file", file}, "waggle.env, line 2: 'export A=1' is no NAME=TEXT")
	m.write("files/waggle.env", "WAGGLE_IMAGES=registry.example.com/waggle\nWAGGLE_FLAGS=--detach\n")
	m.fails(nil, "deploy", []string{"--env-file", file}, "the flag --detach cannot be kept")
}

// Docker merges stack files of one version alone: those of the user say any, or none as newer
// ones do.
func TestStackFilesOfAnyVersionAreMerged(t *testing.T) {
	m := newManager(t)
	var args []string
	for name, version := range map[string]string{"old.yml": "version: '3.8'\n", "new.yml": "version: \"3.13\" # the newest\n", "none.yml": ""} {
		args = append(args, "-c", m.stackFile(name, version+"services: {listener: {labels: {from: "+name+"}}}\n"))
	}
	m.succeeds(images(), "deploy", args...)
	said := map[string]int{}
	files := m.read("files-of-the-stack")
	for line := range strings.Lines(files) {
		if strings.HasPrefix(line, "version:") {
			said[line]++
		}
	}
	if len(said) != 1 || said["version: \"3.9\"\n"] != 4 {
		t.Errorf("four files say the versions %v", said)
	}
	for _, name := range []string{"old.yml", "new.yml", "none.yml"} {
		if !strings.Contains(files, "{from: "+name+"}") {
			t.Errorf("what %s says is lost", name)
		}
		if kept := m.succeeds(nil, "deploy", "--show"); !strings.Contains(kept, "/files/"+name+"\n") {
			t.Errorf("%s does not count again:\n%s", name, kept)
		}
	}
}

// A file that a stack file names is looked for beside that one. Docker would look beside ours.
func TestWhatAStackFileNamesLiesBesideIt(t *testing.T) {
	m := newManager(t)
	mine := m.stackFile("mine.yml", `services:
  proxy:
    volumes: ["./certs:/certs:ro", "../more:/more", data:/data]
    command: [./run, "file: no"]
    deploy: {labels: [com.df.alertAnnotations=summary=see file: a.txt]}
    configs:
      - {source: owners, target: /etc/waggle/owners.yml}
configs:
  owners: {file: ./owners.yml, name: waggle_owners_1}
  other: {file: "other.yml", name: other}
  far: {file: /etc/far.yml}
  asked: {file: "${FAR:-/far.yml}"}
secrets:
  cert-acme:
    file: ../acme.pem
`)
	m.succeeds(images("FAR=/far.yml"), "deploy", "-c", mine)
	dir := filepath.Dir(mine)
	files := m.read("files-of-the-stack")
	for _, want := range []string{
		"file: " + dir + "/./owners.yml,", `file: "` + dir + `/other.yml",`, "file: /etc/far.yml}", `file: "${FAR:-/far.yml}"}`, "file: " + dir + "/../acme.pem\n",
		`["` + dir + `/./certs:/certs:ro", "` + dir + `/../more:/more", data:/data]`, `command: [./run, "file: no"]`, "summary=see file: a.txt]", "{source: owners,",
		"file: ${ALERTMANAGER_CONFIG:-./alertmanager.yml}", "file: ./amtool.yml",
	} {
		if !strings.Contains(files, want) {
			t.Errorf("the stack does not say %s", want)
		}
	}
	if t.Failed() {
		t.Log(files[strings.LastIndex(files, "version:"):])
	}
}

// What is accepted beside what a service has is there while one is replaced, and only then.
func TestWhatIsAcceptedForAWhileIsMountedForAWhile(t *testing.T) {
	m := newManager(t)
	for _, c := range []struct {
		env   []string
		mount []string
	}{
		{env: []string{"WAGGLE_TOKEN_PROXY_OTHER=waggle_token_proxy_2"}, mount: []string{
			"      TOKEN_OTHER_FILE: /run/secrets/token_other\n",
			"      - {source: proxy_token_other, target: token_other, uid: \"99\", gid: \"0\", mode: 0440}\n",
			"  proxy_token_other: {external: true, name: waggle_token_proxy_2}\n",
		}},
		{env: []string{"WAGGLE_TOKEN_SCALER_OTHER=waggle_token_scaler_2", "WAGGLE_SEAL_KEY_OTHER=waggle_seal_key_2"}, mount: []string{
			"      SEAL_KEY_OTHER_FILE: /run/secrets/seal_key_other\n",
			"      - {source: scaler_token_other, target: token_other, mode: 0400}\n",
			"  proxy_seal_key_other: {external: true, name: waggle_seal_key_2}\n",
			"  scaler_token_other: {external: true, name: waggle_token_scaler_2}\n",
		}},
		{env: []string{"WAGGLE_TOKEN_PROXY_OTHER=waggle_token_proxy"}},
	} {
		m.succeeds(append(images(), c.env...), "deploy")
		files := m.read("files-of-the-stack")
		for _, line := range c.mount {
			if !strings.Contains(files, line) {
				t.Errorf("%v: the stack has no %q", c.env, line)
			}
		}
		if n := strings.Count(files, "_other, target"); n != strings.Count(strings.Join(c.mount, ""), "external") {
			t.Errorf("%v: %d are mounted", c.env, n)
		}
	}
}

// An engine that cannot say what was deployed is none with nothing deployed.
func TestWhatDockerDoesNotSayIsNotForgotten(t *testing.T) {
	for _, call := range []string{"config ls --filter name=waggle_deployed_", "service inspect waggle_proxy"} {
		t.Run(call, func(t *testing.T) {
			m := newManager(t)
			m.succeeds(append(images(), "WAGGLE_TAG=1.2.3"), "deploy")
			before := m.read("calls")
			m.write("breaks", "0 "+call+"\n")
			m.fails(images(), "deploy", nil, "out of order")
			if after := strings.TrimPrefix(m.read("calls"), before); strings.Contains(after, "stack deploy") {
				t.Error("it was deployed")
			}
		})
	}
}

// Before compose/init has made a swarm, nothing can have been deployed.
func TestWithoutASwarmNothingWasDeployed(t *testing.T) {
	m := newManager(t)
	m.write("breaks", "0 config ls --filter name=waggle_deployed_\n")
	m.write("broken", `Error response from daemon: This node is not a swarm manager. Use "docker swarm init".`)
	m.succeeds(images(), "deploy")
}

func TestAStackFileThatIsNotHereIsNotDropped(t *testing.T) {
	m := newManager(t)
	certs := m.stackFile("certs.yml", "version: \"3.9\"\n")
	m.succeeds(images(), "deploy", "-c", certs)
	if err := os.Remove(certs); err != nil {
		t.Fatal(err)
	}
	m.deployed()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	m.fails(nil, "deploy", nil, "stack files that are not on this machine: "+certs, "deploy on "+host, "--forget "+certs)
	if got := m.deployed(); got != "" {
		t.Errorf("deployed by %s", got)
	}
	m.succeeds(nil, "deploy", "--forget", "certs.yml")

	config := m.stackFile("alertmanager.yml", "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
	m.succeeds([]string{"ALERTMANAGER_CONFIG=" + config}, "deploy")
	if err := os.Remove(config); err != nil {
		t.Fatal(err)
	}
	m.fails(nil, "deploy", nil, "ALERTMANAGER_CONFIG: "+config+" cannot be read", "--forget ALERTMANAGER_CONFIG")
	m.succeeds(nil, "deploy", "--forget", "ALERTMANAGER_CONFIG")
}

func TestWhoGetsTheAlertsStaysUntilSomebodyElseDoes(t *testing.T) {
	m := newManager(t)
	webhook := func(env []string, args ...string) (secret, config string) {
		t.Helper()
		m.succeeds(env, "deploy", args...)
		for line := range strings.Lines(m.read("environment")) {
			if name, ok := strings.CutPrefix(line, "WAGGLE_ALERT_WEBHOOK_SECRET="); ok {
				secret = m.read("secret/" + strings.TrimSpace(name))
			}
			if name, ok := strings.CutPrefix(line, "ALERTMANAGER_CONFIG="); ok {
				config = filepath.Base(strings.TrimSpace(name))
			}
		}
		return secret, config
	}
	hook, chat := "https://alerts.example.com/hook", "https://chat.example.com/hooks/key"
	slack := "https://hooks.slack.com/services/T0/B0/KEY"
	for _, step := range []struct {
		name           string
		env, args      []string
		secret, config string
	}{
		{name: "nobody", env: images(), secret: "none", config: "alertmanager.yml"},
		{name: "a webhook", env: []string{"ALERT_WEBHOOK=" + hook}, secret: hook, config: "alertmanager-webhook.yml"},
		{name: "the same, not told again", secret: hook, config: "alertmanager-webhook.yml"},
		{name: "a configuration of the user's", env: []string{"ALERTMANAGER_CONFIG=../../alertmanager-slack.yml"}, secret: hook, config: "alertmanager-slack.yml"},
		{name: "that again", secret: hook, config: "alertmanager-slack.yml"},
		{name: "ours again", args: []string{"--forget", "ALERTMANAGER_CONFIG"}, secret: hook, config: "alertmanager-webhook.yml"},
		{name: "another", env: []string{"ALERT_WEBHOOK=" + hook + "2"}, secret: hook + "2", config: "alertmanager-webhook.yml"},
		{name: "a chat", env: []string{"ALERT_SLACK=" + chat}, secret: chat, config: "alertmanager-slack.yml"},
		{name: "the same chat, not told again", secret: chat, config: "alertmanager-slack.yml"},
		{name: "no chat any more", args: []string{"--forget", "ALERT_SLACK"}, secret: "none", config: "alertmanager.yml"},
		{name: "a URL of Slack by the wrong name", env: []string{"ALERT_WEBHOOK=" + slack}, secret: slack, config: "alertmanager-slack.yml"},
		{name: "nobody any more", args: []string{"--forget", "ALERT_WEBHOOK"}, secret: "none", config: "alertmanager.yml"},
	} {
		if secret, config := webhook(step.env, step.args...); secret != step.secret || config != step.config {
			t.Errorf("%s: %s by %s, want %s by %s", step.name, secret, config, step.secret, step.config)
		}
	}
}

// TestAlertmanagerIsAskedBefore: a configuration that it would refuse is not deployed.
// Swarm takes the receiver back along with an update of Alertmanager that fails. What was given
// counts all the same, as does everything else that was given then.
func TestWhoGetsTheAlertsLivesThroughARollback(t *testing.T) {
	m := newManager(t)
	m.succeeds(images(), "deploy")
	before := m.read("service/waggle_alertmanager")
	m.succeeds([]string{"ALERT_WEBHOOK=https://alerts.example.com/hook"}, "deploy")
	given := m.read("service/waggle_alertmanager")
	m.write("service/waggle_alertmanager", before)
	if m.succeeds(nil, "deploy"); m.read("service/waggle_alertmanager") != given {
		t.Errorf("Alertmanager has %s, want %s", m.read("service/waggle_alertmanager"), given)
	}
	// Where the secret is gone as well, nothing is left of it.
	m.write("service/waggle_alertmanager", before)
	m.remove("secret/" + strings.Fields(given)[1])
	if m.succeeds(nil, "deploy"); m.read("service/waggle_alertmanager") != before {
		t.Errorf("Alertmanager has %s, want %s", m.read("service/waggle_alertmanager"), before)
	}
}

func TestAlertmanagerIsAskedBefore(t *testing.T) {
	m := newManager(t)
	m.succeeds(images(), "deploy")
	m.deployed()
	wrong := m.stackFile("alertmanager.yml", "route: {receiver: somebody}\nreceivers: [{name: nobody}]\n")
	m.fails([]string{"ALERTMANAGER_CONFIG=" + wrong}, "deploy", nil, "Alertmanager refuses "+wrong, "somebody")
	if got := m.deployed(); got != "" {
		t.Errorf("deployed by %s", got)
	}
	m.fails([]string{"ALERT_SLACK=https://chat.example.com/a", "ALERT_WEBHOOK=https://alerts.example.com/b"}, "deploy", nil, "ALERT_SLACK and ALERT_WEBHOOK are both set")
}

func TestAPortOpenedByHandIsNotClosedWithoutAWord(t *testing.T) {
	m := newManager(t)
	m.succeeds(images(), "deploy")
	m.deployed()
	m.write("service/waggle_proxy", "")
	m.write("service/waggle_proxy.labels", "com.docker.stack.namespace=waggle\n")
	m.write("service/waggle_proxy.ports", "waggle_proxy 80/tcp\nwaggle_proxy 443/tcp\nwaggle_proxy 443/udp\nwaggle_proxy 6379/tcp\n\n")
	m.fails(nil, "deploy", nil, "would be closed, because no stack file publishes them: waggle_proxy 6379/tcp\n", "--forget ports")
	if got := m.deployed(); got != "" {
		t.Errorf("deployed by %s", got)
	}
	tcp := m.stackFile("tcp.yml", "version: \"3.9\"\nservices:\n  proxy:\n    ports:\n      - {target: 6379, published: 6379, protocol: tcp, mode: host}\n      - {target: 5432, published: 5432, protocol: tcp, mode: host}\n    environment: {PRICE: \"$$5\"}\n")
	m.publishes(compose+"/stack.yml", tcp)
	m.succeeds(nil, "deploy", "-c", tcp)
	// Docker's merge has lost one of 443 by TCP and 443 by UDP, and deploy gives it back.
	m.write("deployed.yml", m.read("deployed"))
	c, err := stackfile.Load(nil, filepath.Join(m.dir, "deployed.yml"))
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(c.Services, func(s types.ServiceConfig) bool { return s.Name == "proxy" })
	var open []string
	for _, p := range c.Services[i].Ports {
		open = append(open, fmt.Sprintf("%d:%d/%s", p.Published, p.Target, p.Protocol))
	}
	slices.Sort(open)
	if got := strings.Join(open, " "); got != "443:443/tcp 443:443/udp 5432:5432/tcp 6379:6379/tcp 80:80/tcp" {
		t.Errorf("open are %s", got)
	}
	if price := c.Services[i].Environment["PRICE"]; price == nil || *price != "$5" {
		t.Errorf("a dollar has become %v", price)
	}
	m.publishes(compose + "/stack.yml")
	m.succeeds(nil, "deploy", "--forget", "tcp.yml", "--forget", "ports")
}

func TestDeployRefusesWhatItCannotKeep(t *testing.T) {
	m := newManager(t)
	m.fails(images(), "deploy", []string{"-c", "-"}, "cannot come from the standard input")
	m.fails(images(), "deploy", []string{"-c", "nowhere.yml"}, "nowhere.yml cannot be read")
	m.fails(images(), "deploy", []string{"--forget"}, "--forget wants a word behind it")
}

// A call that hangs is named, whichever it is and whatever would be done with its answer.
func TestAnEngineThatHangs(t *testing.T) {
	for _, c := range []struct {
		script, args, call, named string
	}{
		{"init", "--skip-ports", "info --format {{.ServerVersion}}", "init: error: docker info did not answer within 2 s"},
		{"init", "--skip-ports", "network inspect", "docker network inspect waggle did not answer"},
		{"init", "--skip-ports", "secret inspect waggle_seal_key", "docker secret inspect waggle_seal_key did not answer"},
		{"deploy", "", "config ls", "deploy: error: docker config ls did not answer"},
		{"deploy", "", "secret create", "init: error: docker secret create did not answer"},
		{"look", "listener /v1/services", "ps", "look: error: docker ps did not answer"},
		{"uninstall", "", "service ls", "uninstall: error: docker service ls did not answer"},
		{"demo/down.sh", "", "version", "down.sh: error: docker version did not answer"},
		{"demo/down.sh", "", "service ls", "down.sh: error: docker service ls did not answer"},
		{"demo/demo.sh", "up", "info", "demo.sh: error: docker info did not answer"},
		{"images/images.sh", "proxy", "version", "images.sh: error: docker version did not answer"},
	} {
		t.Run(c.script+" "+c.call, func(t *testing.T) {
			t.Parallel()
			m := newManager(t)
			m.write("hangs", c.call+"\n")
			m.fails(images("WAGGLE_DOCKER_LIMIT=2"), c.script, strings.Fields(c.args), c.named, "WAGGLE_DOCKER_LIMIT=SECONDS")
		})
	}
}

func TestLookAsksInsideTheContainer(t *testing.T) {
	m := newManager(t)
	m.write("containers", "abc123\n")
	if got := m.succeeds(nil, "look", "listener", "/v1/services/shop_web"); got != "exec -i abc123 /waggle-listener -get /v1/services/shop_web\n" {
		t.Errorf("asked by %s", got)
	}
	if got := m.read("input"); got != "" {
		t.Errorf("it was given %q to read", got)
	}
	if got := m.succeeds(nil, "look", "proxy", "-put", "/v1/certs/acme.pem"); got != "exec -i abc123 /waggle-proxy -put /v1/certs/acme.pem\n" {
		t.Errorf("asked by %s", got)
	}
	if got := m.read("input"); got != "the input" {
		t.Errorf("it was given %q to read", got)
	}
	m.fails(nil, "look", []string{"prometheus", "/"}, "none of listener, proxy, monitor and scaler")
	m.fails(nil, "look", []string{"proxy"}, "usage: compose/look SERVICE")

	m.write("containers", "")
	m.write("tasks", "m2 (Running 3 minutes ago)\n")
	m.fails(nil, "look", []string{"listener", "/v1/services"}, "m2 (Running 3 minutes ago)", "DOCKER_HOST=ssh://NODE compose/look listener /v1/services")
}

// TestWaggleRunsWhereTheListenerDoes: in its container, and what reads files in one that sees
// this folder.
func TestWaggleRunsWhereTheListenerDoes(t *testing.T) {
	m := newManager(t)
	m.write("containers", "abc123\n")
	if got := m.succeeds(nil, "waggle.sh", "why", "shop_web"); got != "exec --interactive abc123 /waggle why shop_web\n" {
		t.Errorf("asked by %s", got)
	}
	got := m.succeeds([]string{"TAG=7"}, "waggle.sh", "lint", "shop.yml")
	for _, part := range []string{"run --rm", ":/here:ro", "--entrypoint /waggle", "--network container:abc123", "--env TAG", " lint shop.yml\n"} {
		if !strings.Contains(got, part) {
			t.Errorf("it has no %q: %s", part, got)
		}
	}
	if strings.Contains(got, "--env PATH") {
		t.Errorf("it gives away the path: %s", got)
	}
	m.write("containers", "")
	m.write("tasks", "m2 (Running 3 minutes ago)\n")
	if a := m.run(nil, "waggle.sh", "status"); a.code != 3 || !strings.Contains(a.stderr, "m2 (Running 3 minutes ago)") || !strings.Contains(a.stderr, "DOCKER_HOST=ssh://NODE compose/waggle.sh status") {
		t.Errorf("where the listener is elsewhere: %d %s", a.code, a.stderr)
	}
}

// production is a manager with Waggle on it, deployed by hand.
func production(t *testing.T) *manager {
	m := newManager(t)
	m.succeeds(images(), "deploy")
	m.write("volume/waggle_monitor", "")
	m.write("volume/waggle_monitor.labels", "com.docker.stack.namespace=waggle\n")
	m.write("volume/shop_data", "")
	m.write("secret/shop_password", "")
	for _, name := range []string{"secret/waggle_alert_slack_0123456789ab", "secret/waggle_token_read", "secret/waggle_grafana_password", "config/waggle_grafana_datasource_1", "config/waggle_grafana_proxy_0123456789ab"} {
		m.write(name, "")
	}
	m.deployed()
	return m
}

func TestTheDemoRemovesItsOwnAlone(t *testing.T) {
	m := production(t)
	secrets := m.has("secret")
	m.fails(nil, "demo/down.sh", nil, "was not deployed by the demo (waggle_alertmanager waggle_listener", "compose/uninstall")
	m.fails(nil, "demo/demo.sh", []string{"up"}, "that the demo has not deployed runs in this swarm")
	if calls := m.read("calls"); strings.Contains(calls, " rm ") || !slices.Equal(m.has("secret"), secrets) {
		t.Errorf("something was removed:\n%s", calls)
	}

	// The demo's own goes, and beside it stay the secrets of somebody who has no stack at the moment.
	m = newManager(t)
	m.succeeds(nil, "init", "--skip-ports")
	secrets = m.has("secret")
	m.write("service/waggle_proxy", "")
	m.write("service/waggle_proxy.labels", "com.docker.stack.namespace=waggle waggle.demo=true\n")
	m.write("service/demo", "")
	m.write("service/demo.labels", "waggle.demo=true\n")
	m.write("service/shop", "")
	m.write("service/shop.labels", "com.df.notify=true\n")
	m.write("secret/waggle_alert_webhook_0123456789ab", "")
	m.write("secret/waggle_alert_webhook_0123456789ab.labels", "waggle.demo=true\n")
	m.succeeds(nil, "demo/down.sh")
	if got := m.has("secret"); !slices.Equal(got, secrets) {
		t.Errorf("secrets are %v, want %v", got, secrets)
	}
	if got := m.has("service"); !slices.Equal(got, []string{"shop"}) {
		t.Errorf("services are %v", got)
	}
}

// TestAlertmanagersPassword: the password and the hash by which it is known are made together,
// once, and another pair takes their place when it is named.
func TestAlertmanagersPassword(t *testing.T) {
	m := newManager(t)
	said := m.succeeds(nil, "init", "--skip-ports")
	if got := m.has("secret"); slices.Contains(got, "waggle_alert_password") || !strings.Contains(said, "is made by compose/deploy, because WAGGLE_IMAGES is not set") {
		t.Errorf("without images there are %v:\n%s", got, said)
	}
	m.fails(append(images(), "WAGGLE_ALERT_PASSWORD=short"), "deploy", nil, "WAGGLE_ALERT_PASSWORD has fewer than 16 or more than 72 bytes")
	m.succeeds(images(), "deploy")
	password, web := m.read("secret/waggle_alert_password"), m.read("secret/waggle_alert_password_web")
	if len(password) != 64 || !strings.HasPrefix(web, "basic_auth_users:\n  waggle: $2a$10$") {
		t.Errorf("the password has %d bytes, and it is known by %q", len(password), web)
	}
	m.succeeds(nil, "deploy")
	if m.read("secret/waggle_alert_password") != password || m.read("secret/waggle_alert_password_web") != web {
		t.Error("the next deployment has made another one")
	}
	m.succeeds([]string{"WAGGLE_ALERT_PASSWORD_SECRET=waggle_alert_password_2", "WAGGLE_ALERT_PASSWORD=correct horse battery"}, "deploy")
	m.succeeds(nil, "deploy")
	if got := m.read("secret/waggle_alert_password_2"); got != "correct horse battery" {
		t.Errorf("the other one is %q", got)
	}
	if got := m.read("environment"); !strings.Contains(got, "WAGGLE_ALERT_PASSWORD_SECRET=waggle_alert_password_2\nWAGGLE_ALERT_WEBHOOK_SECRET") || !strings.Contains(got, "WAGGLE_ALERT_WEB_SECRET=waggle_alert_password_2_web\n") {
		t.Errorf("the next deployment has\n%s", got)
	}
	m.remove("secret/waggle_alert_password_2_web")
	m.fails(nil, "deploy", nil, "only one is there, and they belong together", "WAGGLE_ALERT_PASSWORD_SECRET=waggle_alert_password_2_2")
}

func TestUninstallSaysWhatItWouldRemove(t *testing.T) {
	m := production(t)
	said := m.succeeds(nil, "uninstall")
	for _, want := range []string{"services: waggle_alertmanager", "secrets: waggle_alert_password waggle_alert_password_web waggle_alert_slack_0123456789ab waggle_alert_webhook_", "waggle_token", "networks: waggle", "volumes: waggle_monitor", "--yes does it"} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q:\n%s", want, said)
		}
	}
	if calls := m.read("calls"); strings.Contains(calls, " rm ") {
		t.Errorf("something was removed:\n%s", calls)
	}
	if said := m.succeeds(nil, "uninstall", "--yes", "--keep-volumes"); !strings.Contains(said, "to remove those: docker image rm ") {
		t.Errorf("it does not say how to remove the images:\n%s", said)
	}
	if got := m.has("volume"); !slices.Equal(got, []string{"shop_data", "waggle_monitor"}) {
		t.Errorf("volumes are %v", got)
	}
	m.succeeds(nil, "uninstall", "--yes")
	for kind, want := range map[string][]string{"service": nil, "config": nil, "network": nil, "secret": {"shop_password"}, "volume": {"shop_data"}} {
		if got := m.has(kind); !slices.Equal(got, want) {
			t.Errorf("of the kind %s %v are left, want %v", kind, got, want)
		}
	}
	m.fails(nil, "uninstall", []string{"--all"}, "unknown argument --all")
}

// Images of Debian's unstable are made where somebody asks for them by name, and nowhere else.
func TestNothingStandsInForTheOfficialImagesUnasked(t *testing.T) {
	m := newManager(t)
	m.fails(nil, "images/images.sh", []string{"alertmanager"}, "the official image prom/alertmanager:v0.33.1 is not here and cannot be pulled", "WAGGLE_BASES=stand-in")
	m.fails([]string{"WAGGLE_BASES=local"}, "images/images.sh", []string{"alertmanager"}, "it can be official, stand-in or any")
	if calls := m.read("calls"); strings.Contains(calls, "waggle-local") {
		t.Errorf("it looked for stand-ins:\n%s", calls)
	}
	m.fails([]string{"WAGGLE_BASES=stand-in"}, "images/images.sh", []string{"alertmanager"}, "NOT FOR PRODUCTION: in place of the official alertmanager:v0.33.1")
}

// keys returns the secrets of the bus that there are of a component, with what follows
// from the time as NEW.
func (m *manager) keys(component string) string {
	var found []string
	for _, name := range m.has("secret") {
		if strings.HasPrefix(name, "waggle_nats_"+component) {
			found = append(found, regexp.MustCompile(`_2\d{13}$`).ReplaceAllString(name, "_NEW"))
		}
	}
	return strings.Join(found, " ")
}

// steps returns what services had after each deployment, and forgets it.
func (m *manager) steps() []string {
	m.t.Helper()
	text := strings.TrimSpace(m.read("steps"))
	m.write("steps", "")
	return strings.Split(text, "\n")
}

func TestAKeyIsReplacedStepByStep(t *testing.T) {
	const (
		before = "listener nats_proxy waggle_nats_proxy;proxy nats_proxy waggle_nats_proxy;"
		both   = "listener nats_proxy waggle_nats_proxy;listener nats_proxy_other waggle_nats_proxy_NEW;proxy nats_proxy waggle_nats_proxy;"
		got    = "listener nats_proxy waggle_nats_proxy;listener nats_proxy_other waggle_nats_proxy_NEW;proxy nats_proxy waggle_nats_proxy_NEW;"
		after  = "listener nats_proxy waggle_nats_proxy_NEW;proxy nats_proxy waggle_nats_proxy_NEW;"
	)
	env := []string{"KEYS_OF=nats_proxy"}
	rotate := []string{"proxy"}
	for name, c := range map[string]struct {
		breaks, refuses string
		says            []string
		first, then     []string
	}{
		"in one go":                        {first: []string{both, got, after}},
		"before the component has it":      {breaks: "1 stack deploy\n", says: []string{"between two steps"}, first: []string{both}, then: []string{both, got, after}},
		"before the former is forgotten":   {breaks: "2 stack deploy\n", says: []string{"between two steps"}, first: []string{both, got}, then: []string{after}},
		"before the former is removed":     {breaks: "0 secret rm\n", says: []string{"waggle_nats_proxy cannot be removed"}, first: []string{both, got, after}, then: []string{""}},
		"the proxy does not start with it": {refuses: "proxy", says: []string{"waggle_proxy was rolled back", "has waggle_nats_proxy as nats_proxy again"}, first: []string{both, both}, then: []string{both, got, after}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newManager(t)
			m.succeeds(append(images("WAGGLE_TAG=1.0.0"), env...), "deploy", "--resolve-image", "always")
			if got := m.steps(); !slices.Equal(got, []string{before}) {
				t.Fatalf("deployed as %q", got)
			}
			m.write("breaks", c.breaks)
			m.write("refuses", c.refuses)
			if c.says != nil {
				m.fails(env, "rotate", rotate, c.says...)
				if got := m.steps(); !slices.Equal(got, c.first) {
					t.Errorf("the steps were\n%s", strings.Join(got, "\n"))
				}
				// Somebody deploys meanwhile, and everything stays as it is.
				m.write("breaks", "")
				m.write("refuses", "")
				now := m.read("now")
				m.succeeds(env, "deploy")
				if m.read("now") != now {
					t.Errorf("a deployment has changed\n%sto\n%s", now, m.read("now"))
				}
				m.steps()
				c.first = c.then
			}
			said := m.succeeds(env, "rotate", rotate...)
			if got := m.steps(); !slices.Equal(got, c.first) {
				t.Errorf("the steps were\n%s\n%s", strings.Join(got, "\n"), said)
			}
			if got := m.keys("proxy"); got != "waggle_nats_proxy_NEW" {
				t.Errorf("secrets are %s", got)
			}
			if calls := m.read("calls"); !strings.Contains(calls, "stack deploy") || strings.Contains(m.succeeds(nil, "deploy", "--show"), "NATS_") {
				t.Errorf("a name was kept that may change, or nothing was deployed:\n%s", calls)
			}
			m.succeeds(env, "deploy")
			if got := m.steps(); !slices.Equal(got, []string{after}) {
				t.Errorf("the next deployment makes it\n%s", got)
			}
		})
	}
}

func TestTheListenersOwnKeyIsReplacedAtOnce(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	env := []string{"KEYS_OF=nats_listener"}
	m.succeeds(append(images(), env...), "deploy")
	m.steps()
	m.succeeds(env, "rotate", "listener")
	if got := m.steps(); !slices.Equal(got, []string{"listener nats_listener waggle_nats_listener_NEW;"}) {
		t.Errorf("the steps were %q", got)
	}
	if got := m.deployed(); !strings.Contains(got, "--resolve-image changed") {
		t.Errorf("images were looked up anew: %s", got)
	}
	if got := m.keys("listener"); got != "waggle_nats_listener_NEW" {
		t.Errorf("secrets are %s", got)
	}
	// Without services, as after docker stack rm, what is there counts.
	for _, name := range m.has("service") {
		m.remove("service/" + name + ".secrets")
		m.remove("service/" + name)
	}
	m.succeeds(env, "deploy")
	if got := m.keys("listener"); got != "waggle_nats_listener_NEW" {
		t.Errorf("deployed again the secrets are %s", got)
	}
	m.succeeds(nil, "uninstall", "--yes")
	if got := m.keys(""); got != "" {
		t.Errorf("%s are left", got)
	}
}

func TestANATSOfTheUsersIsToldInBetween(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	env := []string{"KEYS_OF=nats_scaler"}
	m.succeeds(append(images("NATS_URL=nats://n1:4222"), env...), "deploy")
	m.write("listener.env", "LOG_LEVEL=info\nNATS_URL=nats://n1:4222\n")
	m.fails(env, "rotate", []string{"--loaded", "scaler"}, "there is no new secret of scaler", "first: compose/rotate scaler")
	m.steps()
	for range 2 {
		said := m.succeeds(env, "rotate", "scaler")
		if got := m.keys("scaler"); got != "waggle_nats_scaler waggle_nats_scaler_NEW" || m.read("steps") != "" {
			t.Errorf("secrets are %s, and deployed was %q", got, m.read("steps"))
		}
		for _, want := range []string{"compose/init --nats-config > nats.conf", "compose/rotate --loaded scaler"} {
			if !strings.Contains(said, want) {
				t.Errorf("it does not say %q:\n%s", want, said)
			}
		}
	}
	m.succeeds(env, "rotate", "--loaded", "scaler")
	want := []string{
		"listener nats_scaler waggle_nats_scaler;scaler nats_scaler waggle_nats_scaler_NEW;",
		"listener nats_scaler waggle_nats_scaler_NEW;scaler nats_scaler waggle_nats_scaler_NEW;",
	}
	if got := m.steps(); !slices.Equal(got, want) || m.keys("scaler") != "waggle_nats_scaler_NEW" {
		t.Errorf("secrets are %s, and the steps were\n%s", m.keys("scaler"), strings.Join(got, "\n"))
	}
}

func TestRotateRefusesWhatItCannotDo(t *testing.T) {
	m := newManager(t)
	m.fails(nil, "rotate", nil, "usage: compose/rotate")
	m.fails(nil, "rotate", []string{"proxy", "monitor"}, "one component at a time")
	m.fails(nil, "rotate", []string{"alertmanager"}, "none of proxy, monitor, scaler and listener")
	m.fails(nil, "rotate", []string{"proxy"}, "there is no service waggle_listener")
	m.succeeds(images(), "deploy")
	m.fails(nil, "rotate", []string{"--loaded", "proxy"}, "--loaded is for a NATS of yours")
}

func TestAReaderIsThereIfSomebodyWantsOne(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	env := []string{"KEYS_OF=^listener nats_reader"}
	m.succeeds(append(images(), env...), "deploy")
	if got := m.steps(); m.keys("reader") != "" || got[0] != "" {
		t.Errorf("nobody asked for %s", got)
	}
	m.succeeds(nil, "init", "--skip-ports", "--reader")
	m.succeeds(env, "deploy")
	m.succeeds(env, "deploy")
	has := "listener nats_reader waggle_nats_reader;"
	if got := m.steps(); !slices.Equal(got, []string{has, has}) {
		t.Errorf("deployed as %q", got)
	}
	m.succeeds(env, "deploy", "--forget", "reader")
	if got := m.steps(); m.keys("reader") != "" || got[0] != "" {
		t.Errorf("%s and %s are left", m.keys("reader"), got)
	}
}
