package supervisor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/internal/haproxytest"
)

// The users of the stack file: HAProxy shares its group with the controller, which owns all.
var (
	forHAProxy    = &User{UID: 98, GID: 99}
	forController = &User{UID: 99, GID: 99}
)

// apart runs HAProxy and the controller as users of their own.
func apart(o *Options) {
	o.HaproxyUser, o.ControllerUser = forHAProxy, forController
	o.Controller = []string{"/bin/sh", "-c", `printf %s $$ >"$0/controller.pid" && exec sleep 3600`, filepath.Dir(o.Config)}
}

// asInTheStack is the supervisor as root with the privileges that the stack file leaves it, in
// a folder as a former version wrote it: all of the controller's user, and for it alone.
func asInTheStack(t *testing.T, h *haproxytest.Instance, o Options, self string) *exec.Cmd {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("the supervisor becomes other users here: run this test as root")
	}
	err := filepath.WalkDir(h.Dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "run" {
			return fs.SkipDir // a folder in memory, as Docker mounts it
		}
		if err == nil && d.IsDir() {
			err = os.Chmod(path, 0o755)
		}
		return errors.Join(err, os.Chown(path, int(forController.UID), int(forController.GID)))
	})
	if err != nil {
		t.Fatal(err)
	}
	// HAProxy of 'make setup' may lie in a home into which nobody else looks.
	const script = `set -e
cache=$1 kept=$2 self=$3
shift 3
for closed; do
  mount --bind "$cache" "$kept"
  mount -t tmpfs -o mode=755 none "$closed"
  mkdir -p "$cache"
  mount --bind "$kept" "$cache"
done
exec setpriv --bounding-set=-all,+setuid,+setgid,+kill "$self"`
	cache := filepath.Dir(filepath.Dir(o.Haproxy))
	args := []string{"--mount", "sh", "-c", script, "sh", cache, t.TempDir(), self}
	for dir := "/"; dir != cache; {
		name, _, _ := strings.Cut(strings.TrimPrefix(cache[len(dir):], "/"), "/")
		dir = filepath.Join(dir, name)
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm()&0o001 == 0 {
			args = append(args, dir)
			break
		}
	}
	return exec.Command("unshare", args...) //nolint:noctx,gosec // it is stopped by start, and the arguments are ours.
}

// status is a line of /proc/PID/status, as proc(5) describes it.
func status(t *testing.T, pid int, name string) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n"+name+":\t")
	line, _, _ := strings.Cut(rest, "\n")
	return line
}

// readAs reads a file as HAProxy's worker could.
func readAs(u *User, path string) error {
	cmd := exec.Command("cat", path) //nolint:noctx // it ends at once.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: u.credential()}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// TestHAProxyCannotReadWhatTheControllerKnows: they are two users without any privilege, who
// share what HAProxy needs, and the supervisor needs three privileges for it.
func TestHAProxyCannotReadWhatTheControllerKnows(t *testing.T) {
	s := start(t, strings.Replace(lastGood, "status 200", "status 200 if { path,map_beg({dir}/paths.map) -m found }", 1), apart, func(o *Options) {
		dir := filepath.Dir(o.Config)
		for name, text := range map[string]string{"paths.map": "/ x\n", "secret": "of the controller\n"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	})
	s.answers(t, 200)
	p := s.processes(t)
	controller := s.controller(t, 0)
	for _, c := range []struct {
		who, users, groups string
		pid                int
	}{
		{"master", "98", "99", p.Master.Pid}, {"worker", "98", "99", p.Worker.Pid}, {"controller", "99", "99", controller},
	} {
		four := func(n string) string { return strings.Join([]string{n, n, n, n}, "\t") }
		if got := status(t, c.pid, "Uid"); got != four(c.users) {
			t.Errorf("the %s runs as %s", c.who, got)
		}
		if got := status(t, c.pid, "Gid") + status(t, c.pid, "Groups"); strings.TrimSpace(got) != four(c.groups) {
			t.Errorf("the %s is in the groups %s", c.who, got)
		}
		for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapAmb"} {
			if got := status(t, c.pid, set); strings.Trim(got, "0") != "" {
				t.Errorf("the %s has privileges, %s %s", c.who, set, got)
			}
		}
	}
	// A secret as the stack file mounts it: the controller's, and by its group the supervisor's.
	secret := filepath.Join(s.Dir, "token")
	if err := errors.Join(os.WriteFile(secret, []byte("a secret"), 0o600), os.Chown(secret, 99, 0), os.Chmod(secret, 0o440)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{secret, fmt.Sprintf("/proc/%d/environ", controller), fmt.Sprintf("/proc/%d/mem", controller)} {
		if err := readAs(forHAProxy, path); err == nil || !strings.Contains(err.Error(), "ermission denied") {
			t.Errorf("HAProxy's user reads %s: %v", path, err)
		}
	}
	if err := readAs(forController, secret); err != nil {
		t.Errorf("the controller does not read its secret: %v", err)
	}
	// The controller asks by the sockets, as one of their group.
	for _, socket := range []string{s.Stats, s.Master} {
		info, err := os.Stat(socket)
		if err != nil {
			t.Fatal(err)
		}
		if st := info.Sys().(*syscall.Stat_t); st.Gid != 99 || info.Mode().Perm() != 0o660 {
			t.Errorf("%s is of the group %d with the mode %v", socket, st.Gid, info.Mode())
		}
	}
	tooltest.Within(t, 10*time.Second, "where memory ends the controller ends first", func() error {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", controller))
		if got := strings.TrimSpace(string(text)); err == nil && got != strconv.Itoa(diesFirst) {
			return fmt.Errorf("its badness is %s", got)
		}
		return err
	})
	// Each death is mended, and each reload is the same users'.
	kill(t, p.Worker.Pid, syscall.SIGKILL)
	kill(t, controller, syscall.SIGKILL)
	s.controller(t, controller)
	s.answers(t, 200)
	if got := status(t, s.processes(t).Worker.Pid, "Uid"); !strings.HasPrefix(got, "98\t") {
		t.Errorf("the next worker runs as %s", got)
	}
}

// TestApartARefusedConfigurationIsPutAsideToo in a folder that is the controller's, and sockets
// are made in one that is root's.
func TestApartARefusedConfigurationIsPutAsideToo(t *testing.T) {
	s := start(t, "no configuration", apart, func(o *Options) {
		run := filepath.Join(filepath.Dir(o.Config), "run")
		if err := os.Mkdir(run, 0o755); err != nil {
			t.Fatal(err)
		}
		former := o.StatsSocket
		o.StatsSocket, o.MasterSocket = filepath.Join(run, "stats.sock"), filepath.Join(run, "master.sock")
		o.Minimal = strings.ReplaceAll(o.Minimal, former, o.StatsSocket)
		o.Minimal = strings.ReplaceAll(o.Minimal, filepath.Join(filepath.Dir(former), "peers.sock"), filepath.Join(run, "peers.sock"))
	})
	s.answers(t, 503)
	for _, path := range []string{s.Config, s.Config + refusedSuffix} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if owner := info.Sys().(*syscall.Stat_t).Uid; owner != 99 {
			t.Errorf("%s belongs to %d", path, owner)
		}
	}
}

// TestApartAStopLetsRequestsFinishToo although the supervisor may not look into HAProxy.
func TestApartAStopLetsRequestsFinishToo(t *testing.T) {
	s, release, answered := slowly(t, apart, drain(12*time.Second))
	p := s.processes(t)
	kill(t, s.cmd.Process.Pid, syscall.SIGTERM)
	tooltest.Within(t, 30*time.Second, "new connections are refused", func() error {
		if status, err := tooltest.Status(t.Context(), s.URL("/")); err == nil {
			return fmt.Errorf("still answered with %d", status)
		}
		return nil
	})
	// It has looked several times by now whether anybody is connected.
	if err := syscall.Kill(p.Worker.Pid, 0); err != nil {
		t.Errorf("HAProxy has ended in the midst of a request: %v", err)
	}
	release()
	if status := <-answered; status != 200 {
		t.Errorf("the running request was answered with %d", status)
	}
	if err := s.ended(); err != nil {
		t.Errorf("the supervisor ended with %v", err)
	}
	gone(t, p.Worker.Pid)
}

// TestApartAStopDoesNotWaitForSilentClientsEither although HAProxy's socket is not open to root.
func TestApartAStopDoesNotWaitForSilentClientsEither(t *testing.T) { stopsWithSilentClients(t, apart) }

func TestUsersAreNumbers(t *testing.T) {
	for text, want := range map[string]string{
		"98:99": `{"UID":98,"GID":99}`, "": "null",
		"haproxy": "error", "98": "error", "0:99": "error", "98:0": "error", "-1:99": "error", "98:99:1": "error", "4294967295:99": "error",
	} {
		got := "error"
		if u, err := ParseUser(text); err == nil {
			out, err := json.Marshal(u)
			if err != nil {
				t.Fatal(err)
			}
			got = string(out)
		}
		if got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}
