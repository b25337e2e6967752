package tooltest

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestPathOrder(t *testing.T) {
	tools, cache, home := t.TempDir(), t.TempDir(), t.TempDir()
	inCache, inHome := filepath.Join(cache, "bin"), filepath.Join(home, "waggle", "bin")
	for _, dir := range []string{tools, inCache, inHome} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "haproxy"), nil, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct{ tools, cache, want string }{
		{tools, cache, tools},
		{"", cache, inCache},
		{"", "", inHome},
	} {
		t.Setenv("WAGGLE_TOOLS", tc.tools)
		t.Setenv("WAGGLE_CACHE", tc.cache)
		t.Setenv("XDG_CACHE_HOME", home)
		if got, want := Path(t, "haproxy"), filepath.Join(tc.want, "haproxy"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// recorder is a test that only notes its failure.
type recorder struct {
	testing.TB
	failure string
}

func (r *recorder) Helper() {}

func (r *recorder) Fatalf(format string, args ...any) {
	r.failure = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Fatal(args ...any) {
	r.failure = fmt.Sprint(args...)
	runtime.Goexit()
}

func TestPathFailsForAnAbsentTool(t *testing.T) {
	t.Setenv("WAGGLE_TOOLS", t.TempDir())
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		Path(r, "haproxy")
	}()
	<-done
	if !strings.Contains(r.failure, "make setup") {
		t.Errorf("the failure %q does not name the remedy", r.failure)
	}
}
