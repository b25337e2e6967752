package settings

import (
	"strings"
	"testing"
	"time"
)

// TestConnectionsFollowTheLimitOfOpenFiles: never the other way round.
func TestConnectionsFollowTheLimitOfOpenFiles(t *testing.T) {
	for _, c := range []struct {
		want  int
		files uint64
		got   int
	}{
		{0, 1024, 0}, {0, 1 << 30, 0}, {400, 1024, 400}, {500, 1024, 0}, {100000, 1024, 0}, {30000, 65536, 30000}, {100000, 65536, 0}, {100000, 1 << 30, 100000},
		{100000, ^uint64(0), 100000},
	} {
		got, warning := Connections(c.want, c.files)
		if got != c.got {
			t.Errorf("maxconn %d with %d files became %d, want %d", c.want, c.files, got, c.got)
		}
		if told := strings.Contains(warning, "maxconn "); told != (c.want != c.got) {
			t.Errorf("maxconn %d with %d files: the warning is %q", c.want, c.files, warning)
		}
	}
	if n, err := OpenFiles(); err != nil || n < 64 {
		t.Errorf("%d (%v), want the limit of this process", n, err)
	}
}

func TestTerminateOnReloadIsAMomentForOldWorkers(t *testing.T) {
	for text, want := range map[string]time.Duration{"true": time.Second, "false": time.Minute} {
		_, s, err := settle(t, map[string]string{"TERMINATE_ON_RELOAD": text, "HARD_STOP_AFTER": "1m"}, nil)
		if err != nil || s.HardStopAfter != want {
			t.Errorf("%s: old workers end after %v (%v), want %v", text, s.HardStopAfter, err, want)
		}
	}
}
