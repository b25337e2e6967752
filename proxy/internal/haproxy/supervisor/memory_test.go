package supervisor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/internal/haproxytest"
)

// TestWhereMemoryEndsTheControllerDies: the kernel is told to end it, and what it starts,
// long before HAProxy.
func TestWhereMemoryEndsTheControllerDies(t *testing.T) {
	s := start(t, haproxytest.Global)
	badness := func(pid string) string {
		text, err := os.ReadFile(filepath.Join("/proc", pid, "oom_score_adj"))
		if err != nil {
			return err.Error()
		}
		return strings.TrimSpace(string(text))
	}
	tooltest.Within(t, 10*time.Second, "the controller is to end first", func() error {
		pid, err := os.ReadFile(filepath.Join(s.Dir, "controller.pid"))
		if err != nil {
			return err
		}
		if got := badness(string(pid)); got != strconv.Itoa(diesFirst) {
			return fmt.Errorf("its badness is %s", got)
		}
		return nil
	})
	own := badness("self")
	tooltest.Within(t, 10*time.Second, "HAProxy is no worse than its supervisor", func() error {
		for line := range strings.Lines(s.logged(t)) {
			if !strings.Contains(line, "process=haproxy") {
				continue
			}
			_, pid, _ := strings.Cut(line, "pid=")
			if got := badness(strings.Fields(pid)[0]); got != own {
				return fmt.Errorf("HAProxy's badness is %s, that of others %s", got, own)
			}
			return nil
		}
		return errors.New("HAProxy has not started")
	})
}

// TestTheControllersMemory is a part of the container's, by whichever version of cgroups.
func TestTheControllersMemory(t *testing.T) {
	for _, c := range []struct{ name, file, text, want string }{
		{"the second version", "sys/fs/cgroup/memory.max", "1073741824\n", "GOMEMLIMIT=357913941"},
		{"the first version", "sys/fs/cgroup/memory/memory.limit_in_bytes", "3000\n", "GOMEMLIMIT=1000"},
		{"no limit", "sys/fs/cgroup/memory.max", "max\n", ""},
		{"no limit in the first version", "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n", ""},
		{"no cgroup", "elsewhere", "1", ""},
	} {
		root := t.TempDir()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, c.file)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, c.file), []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		var want []string
		if c.want != "" {
			want = []string{c.want}
		}
		if got := ControllerMemory(root); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", c.name, got, want)
		}
	}
}
