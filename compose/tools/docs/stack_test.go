package docs

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
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
)

// deployed is what compose/stack.yml comes to where nothing was chosen.
func deployed(t *testing.T, further ...string) *types.Config {
	t.Helper()
	c, err := stackfile.Load(stackfile.Variables(), append([]string{root + "/compose/stack.yml"}, further...)...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// rows returns the cells of the table of a page whose first heading is this, without
// the code marks.
func rows(t *testing.T, page, heading string) [][]string {
	t.Helper()
	_, table, found := strings.Cut(page, "\n| "+heading)
	if !found {
		t.Fatalf("no table begins with %s", heading)
	}
	_, table, _ = strings.Cut(table, "--- |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	var out [][]string
	for line := range strings.Lines(table) {
		var cells []string
		for cell := range strings.SplitSeq(strings.Trim(strings.TrimSpace(line), "|"), "|") {
			cells = append(cells, strings.ReplaceAll(strings.TrimSpace(cell), "`", ""))
		}
		out = append(out, cells)
	}
	return out
}

func operations(t *testing.T) string { return text(t, "docs/operations.md") }

// What the page says of each service is what the stack file has.
func TestOperationsTellTheServicesAsTheyAre(t *testing.T) {
	page, c := operations(t), deployed(t)
	told := map[string]string{}
	for _, row := range rows(t, page, "Service | Where") {
		told[strings.TrimPrefix(row[0], "waggle_")] = row[1] + "; " + row[3]
	}
	limits, processes := map[string]string{}, map[string]string{}
	for _, row := range rows(t, page, "Service | Limit") {
		limits[row[0]], processes[row[0]] = row[1], row[2]
	}
	var alone []string
	for _, s := range c.Services {
		where := "one on every node"
		if s.Deploy.Mode == "replicated" {
			where = "one"
			alone = append(alone, s.Name)
			if *s.Deploy.Replicas != 1 {
				t.Errorf("%s has %d replicas, and the page says 1", s.Name, *s.Deploy.Replicas)
			}
		}
		for _, constraint := range s.Deploy.Placement.Constraints {
			if constraint == "node.role == manager" {
				where += ", on a manager"
			}
		}
		networks := slices.SortedFunc(maps.Keys(s.Networks), func(a, b string) int { return strings.Compare(b, a) })
		if want := where + "; " + strings.Join(networks, ", "); told[s.Name] != want {
			t.Errorf("the page says of %s %q, and the stack file %q", s.Name, told[s.Name], want)
		}
		if got, want := limits[s.Name], size(int64(s.Deploy.Resources.Limits.MemoryBytes)); got != want {
			t.Errorf("the page says that %s has %q of memory, and the stack file %q", s.Name, got, want)
		}
		said := fmt.Sprintf("%.0f s after the last one ended", time.Duration(*s.HealthCheck.Interval).Seconds())
		if !strings.Contains(page, said) {
			t.Errorf("the page does not say of the health check of %s that it begins %s", s.Name, said)
		}
		if got, want := processes[s.Name], fmt.Sprint(s.Deploy.Resources.Limits.Pids); got != want {
			t.Errorf("the page says that %s has %q processes, and the stack file %q", s.Name, got, want)
		}
		if len(s.Ulimits) != 0 {
			t.Errorf("%s has ulimits, and the page says that there are none", s.Name)
		}
		for _, v := range s.Volumes {
			if v.Type == "volume" && !strings.Contains(page, "`waggle_"+v.Source+"`") {
				t.Errorf("the page does not name the volume waggle_%s", v.Source)
			}
		}
		for _, m := range s.Secrets {
			name := c.Secrets[m.Source].Name
			if m.Source != "alert_webhook" && !strings.Contains(page, "`"+name+"`") {
				t.Errorf("the page does not name the secret %s", name)
			}
		}
	}
	if len(told) != len(c.Services) || len(limits) != len(c.Services) || len(alone) != 4 {
		t.Errorf("the page has %d services and %d limits, the stack %d services, %v of one replica", len(told), len(limits), len(c.Services), alone)
	}
	if !strings.Contains(page, "`compose/stack.yml` sets no `ulimits`") {
		t.Error("the page does not say that there are no ulimits")
	}
	for name, file := range c.Secrets {
		if !file.External.External {
			t.Errorf("the secret %s is not made by compose/init", name)
		}
	}
}

// What a container may do beyond serving is what the page says, and no more: no privilege but
// those, no root that can be written to, secrets for those alone who need them.
func TestOperationsTellThePrivilegesAsTheyAre(t *testing.T) {
	page, c := operations(t), deployed(t)
	type row struct{ user, privileges, writes, readers string }
	told := map[string]row{}
	for _, r := range rows(t, page, "Service | User | Privileges") {
		told[r[0]] = row{r[1], r[2], r[3], r[4]}
	}
	if len(told) != len(c.Services) {
		t.Errorf("the page tells the privileges of %d services of %d", len(told), len(c.Services))
	}
	for _, s := range c.Services {
		r := told[s.Name]
		if !slices.Equal(s.CapDrop, []string{"ALL"}) || !s.ReadOnly || s.Privileged {
			t.Errorf("%s drops the privileges %v, read only: %t", s.Name, s.CapDrop, s.ReadOnly)
		}
		if want := cmp.Or(strings.Join(s.CapAdd, ", "), "none"); r.privileges != want {
			t.Errorf("the page says that %s has the privileges %q, and the stack file %q", s.Name, r.privileges, want)
		}
		var writes []string
		for _, v := range s.Volumes {
			switch v.Type {
			case "volume":
				writes = append(writes, "its volume")
			case "tmpfs":
				writes = append(writes, v.Target)
			case "bind":
				if !v.ReadOnly {
					t.Errorf("%s may write to %s of the node", s.Name, v.Source)
				}
			}
		}
		if want := cmp.Or(strings.Join(writes, ", "), "nothing"); r.writes != want {
			t.Errorf("the page says that %s writes to %q, and the stack file %q", s.Name, r.writes, want)
		}
		root := strings.Contains(r.user, "root")
		if (s.Name == "proxy") != (s.User == "0:0") {
			t.Errorf("%s has the user %q, and the page says %q", s.Name, s.User, r.user)
		}
		for _, m := range s.Secrets {
			mode, owner := uint32(0o444), ""
			if m.Mode != nil {
				mode, owner = *m.Mode, m.UID
			}
			switch {
			case r.readers == "everybody in it":
			case mode&0o007 != 0:
				t.Errorf("everybody in %s can read the secret %s (%o), and the page says %s", s.Name, m.Source, mode, r.readers)
			case root && s.Name != "proxy" && owner != "" && owner != "0", s.Name == "monitor" && owner != "65534":
				t.Errorf("the secret %s of %s belongs to %q, and the page says %s", m.Source, s.Name, owner, r.readers)
			}
		}
	}
}

// HAProxy is another user than the controller, whose secrets are, and shares its group, which
// has no right to them.
func TestHAProxyHasNoRightToTheSecretsOfTheProxy(t *testing.T) {
	page, c := operations(t), deployed(t)
	i := slices.IndexFunc(c.Services, func(s types.ServiceConfig) bool { return s.Name == "proxy" })
	proxy := c.Services[i]
	user := func(setting string) (uid, gid string) {
		value := proxy.Environment[setting]
		if value == nil {
			t.Fatalf("the stack file does not set %s", setting)
		}
		if !strings.Contains(page, " "+*value) {
			t.Errorf("the page does not say that %s is %s", setting, *value)
		}
		uid, gid, _ = strings.Cut(*value, ":")
		return uid, gid
	}
	hUID, hGID := user("HAPROXY_USER")
	cUID, cGID := user("CONTROLLER_USER")
	if hUID == cUID || hGID != cGID {
		t.Errorf("HAProxy is %s:%s and the controller %s:%s", hUID, hGID, cUID, cGID)
	}
	if len(proxy.Secrets) == 0 {
		t.Error("the proxy has no secrets")
	}
	for _, m := range proxy.Secrets {
		if m.Mode == nil || *m.Mode != 0o440 || m.UID != cUID || m.GID != "0" {
			t.Errorf("the secret %s belongs to %s:%s", m.Source, m.UID, m.GID)
		}
	}
}

// Docker orders mounts by their secrets' names, and two of one name by chance, so that each
// deployment could start the tasks anew.
func TestNoServiceHasOneSecretTwice(t *testing.T) {
	c := deployed(t)
	for _, s := range c.Services {
		mounts := map[string]string{}
		for _, m := range s.Secrets {
			name := c.Secrets[m.Source].Name
			if other, is := mounts[name]; is {
				t.Errorf("%s has the secret %s as %s and as %s", s.Name, name, other, m.Target)
			}
			mounts[name] = m.Target
		}
	}
}

// size writes a number of bytes as the stack file does.
func size(bytes int64) string {
	if bytes%(1<<30) == 0 {
		return fmt.Sprintf("%dG", bytes>>30)
	}
	return fmt.Sprintf("%dM", bytes>>20)
}

// Who is on which network is told with the ports, and what attachable does with it.
func TestOperationsTellThePortsAsTheyAre(t *testing.T) {
	page, c := operations(t), deployed(t)
	if c.Networks["control"].Attachable || !strings.Contains(page, "`attachable: false`, which keeps single containers") {
		t.Error("the page does not say what attachable: false does, or the network is attachable")
	}
	both := []string{}
	published := []string{}
	for _, s := range c.Services {
		if len(s.Networks) == 2 {
			both = append(both, s.Name)
		}
		for _, p := range s.Ports {
			if s.Name != "proxy" || p.Mode != "host" {
				t.Errorf("%s publishes %d, and the page says that the proxy alone publishes, on the nodes", s.Name, p.Published)
			}
			published = append(published, fmt.Sprintf("%d/%s", p.Published, p.Protocol))
		}
		if s.Deploy.EndpointMode != "dnsrr" {
			t.Errorf("%s has the endpoint mode %q", s.Name, s.Deploy.EndpointMode)
		}
	}
	slices.Sort(published)
	if got := strings.Join(published, " "); got != "443/tcp 443/udp 80/tcp" || !strings.Contains(page, "of the nodes' ports only 80 and 443 (by UDP too) are") {
		t.Errorf("published are %s", got)
	}
	slices.Sort(both)
	if got := strings.Join(both, ","); got != "monitor,proxy" || !strings.Contains(page, "Proxy and monitor are on both networks, but only ports for requests answer on both") {
		t.Errorf("on both networks are %s", got)
	}
	// What is not for requests is closed by the settings' defaults, which the stack leaves alone.
	for _, s := range c.Services {
		for _, name := range []string{"ADMIN", "STATS_ADDRESS", "PROMETHEUS_LISTEN"} {
			if value, ok := s.Environment[name]; ok {
				t.Errorf("the stack sets %s of %s to %s", name, s.Name, *value)
			}
		}
	}
	for _, row := range []string{"| `ADMIN` | `control:8080` |", "| `STATS_ADDRESS` | `control` |", "| `PROMETHEUS_LISTEN` | `control:9090` |"} {
		if !strings.Contains(text(t, "docs/settings.md"), row) {
			t.Errorf("the settings lack %s", row)
		}
	}
	for name := range pages(t) {
		if strings.Contains(text(t, name), "which nothing else can join") {
			t.Errorf("%s says that nothing else can join the control network; a service can", name)
		}
	}
	// The ports are those that the images' settings have.
	settings := text(t, "docs/settings.md")
	for _, row := range rows(t, page, "Service | Port") {
		for port := range strings.SplitSeq(row[1], ", ") {
			if row[0] == "alertmanager" {
				continue // it is not ours; the demo and the scaler's alerts use the port
			}
			if !regexp.MustCompile("`(?:[a-z0-9.]*:|80,)?" + port + "[,:`]").MatchString(settings) {
				t.Errorf("no setting has the port %s of %s", port, row[0])
			}
		}
	}
}

// Every variable that the stack file and the scripts read stands on the page with its default.
func TestOperationsTellEveryVariable(t *testing.T) {
	told := map[string]string{}
	for _, row := range rows(t, operations(t), "Variable | Default") {
		names, defaults := strings.Split(row[0], ", "), strings.Split(row[1], ", ")
		for i, name := range names {
			told[name] = row[1]
			if len(names) == len(defaults) {
				told[name] = defaults[i]
			}
		}
	}
	stack := text(t, "compose/stack.yml")
	for _, m := range regexp.MustCompile(`\$\{([A-Z_]+)(?::-([^}]*))?`).FindAllStringSubmatch(stack, -1) {
		name, value := m[1], m[2]
		switch {
		case name == "WAGGLE_ALERTMANAGER_HASH" || name == "WAGGLE_ALERT_WEBHOOK_SECRET" || name == "WAGGLE_ALERT_WEB_SECRET" || strings.HasPrefix(name, "WAGGLE_NATS_"):
			// compose/init sets them.
		case told[name] == "":
			t.Errorf("the page does not tell %s", name)
		case name == "NATS_URL" || value == "" || name == "ALERTMANAGER_CONFIG":
			// These are told in words.
		case told[name] != value:
			t.Errorf("the page says that %s is %q if not given, and the stack file %q", name, told[name], value)
		}
	}
	for _, script := range []string{"init", "deploy", "rotate", "lib/engine.sh", "lib/keys.sh", "lib/memory.sh"} {
		for _, m := range regexp.MustCompile(`\$\{(WAGGLE_[A-Z_]+)(?::-([^}$]+)\}|[:+-])`).FindAllStringSubmatch(text(t, "compose/"+script), -1) {
			switch name, value := m[1], m[2]; {
			case told[name] == "":
				t.Errorf("compose/%s reads %s, which the page does not tell", script, name)
			case name == "WAGGLE_IMAGES":
				// Only compose/init goes without, for machines on which images were built.
			case value != "" && told[name] != value:
				t.Errorf("the page says that %s is %q if not given, and compose/%s %q", name, told[name], script, value)
			}
		}
	}
}

// Each stack file on a page is one that Docker takes beside ours, and none takes away a
// port that serves everybody.
func TestStackFilesOnThePagesFitTheStack(t *testing.T) {
	seen := 0
	for name, page := range pages(t) {
		for _, block := range Blocks(page) {
			title := regexp.MustCompile(`^# ([a-z]+\.yml)\n`).FindStringSubmatch(block.Text)
			if block.Kind != "yaml" || title == nil {
				continue
			}
			seen++
			file := filepath.Join(t.TempDir(), title[1])
			if err := os.WriteFile(file, []byte(block.Text), 0o600); err != nil {
				t.Fatal(err)
			}
			c := deployed(t, file)
			if len(c.Services) != 5 {
				t.Errorf("%s: %s makes %d services of 5, so it names one that is not there", name, title[1], len(c.Services))
			}
			open := map[string]bool{}
			for _, s := range c.Services {
				for _, p := range s.Ports {
					open[fmt.Sprintf("%d/%s", p.Target, p.Protocol)] = true
				}
			}
			for _, port := range []string{"80/tcp", "443/tcp"} {
				if !open[port] {
					t.Errorf("%s: with %s the port %s is closed", name, title[1], port)
				}
			}
			if title[1] == "tcp.yml" && !open["6379/tcp"] {
				t.Errorf("%s: with tcp.yml the port 6379 is not open", name)
			}
		}
	}
	if seen < 4 {
		t.Errorf("only %d stack files were found", seen)
	}
}

// Docker ends a check that takes longer than it waits, and counts it as a failure.
func TestHealthChecksLastNoLongerThanDockerWaits(t *testing.T) {
	last := 0
	for _, s := range deployed(t).Services {
		for _, word := range s.HealthCheck.Test {
			text, ok := strings.CutPrefix(word, "-healthcheck-hold=")
			if !ok {
				continue
			}
			last++
			hold, err := time.ParseDuration(text)
			if wait := time.Duration(*s.HealthCheck.Timeout); err != nil || hold < time.Minute || wait < hold+10*time.Second {
				t.Errorf("the check of %s lasts for %q (%v), and Docker waits for %v", s.Name, text, err, wait)
			}
		}
	}
	if last != 4 {
		t.Errorf("%d checks last, want those of our four services", last)
	}
}

// The check of Alertmanager is a few lines of shell: the first one that finds it well ends at
// once, the others last, and each ends at once when something is wrong.
func TestTheCheckOfAlertmanagerLastsWhileAllIsWell(t *testing.T) {
	dir := t.TempDir()
	var script string
	for _, s := range deployed(t).Services {
		if s.Name == "alertmanager" && s.HealthCheck.Test[0] == "CMD-SHELL" {
			script = s.HealthCheck.Test[1]
		}
	}
	if !strings.Contains(script, "/bin/amtool ") || !strings.Contains(script, "/dev/shm/") {
		t.Fatalf("the check is %q", script)
	}
	script = strings.NewReplacer("/bin/amtool ", dir+"/amtool ", "/dev/shm/", dir+"/").Replace(script)
	// Alertmanager is well as often as it has lines left, and each question takes one.
	program := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	program("amtool", "cd "+dir+"; echo asked >>asked; [ -s well ] && sed -i 1d well")
	program("sleep", "exit 0")
	check := func(well int) (code, asked int) {
		t.Helper()
		for name, lines := range map[string]int{"well": well, "asked": 0} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.Repeat("well\n", lines)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", script)
		cmd.Env = []string{"PATH=" + dir + ":/usr/bin:/bin"}
		out, err := cmd.CombinedOutput()
		if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
			t.Fatalf("%v\n%s", err, out)
		}
		text, err := os.ReadFile(filepath.Join(dir, "asked"))
		if err != nil {
			t.Fatal(err)
		}
		return cmd.ProcessState.ExitCode(), strings.Count(string(text), "\n")
	}
	for i, c := range []struct {
		what                    string
		well, wantCode, wantAsk int
	}{
		{"it starts", 0, 1, 1},
		{"it is well for the first time", 100, 0, 1},
		{"it stays well", 100, 0, 60},
		{"it fails after a while", 3, 1, 4},
		{"it fails still", 0, 1, 1},
		{"it is well again", 100, 0, 1},
		{"and stays so", 100, 0, 60},
	} {
		if code, asked := check(c.well); code != c.wantCode || asked != c.wantAsk {
			t.Errorf("%d, %s: it ends with %d after %d questions, want %d after %d", i, c.what, code, asked, c.wantCode, c.wantAsk)
		}
	}
}
