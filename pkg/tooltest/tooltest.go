// Package tooltest is what the tests and measurements of all modules share. It finds the
// real neighbours that they run against (HAProxy, Prometheus and Alertmanager as
// 'make setup' has prepared them), waits, listens and asks.
package tooltest

import (
	"os"
	"path/filepath"
	"testing"
)

// Path returns the path of a real tool (haproxy, prometheus, promtool,
// alertmanager, amtool). It fails the test if the tool is not there; a test
// without its neighbour must not pass.
//
// The tool is taken from the folder WAGGLE_TOOLS if that is set, else from the
// cache of 'make setup'.
func Path(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("WAGGLE_TOOLS")
	if dir == "" {
		dir = filepath.Join(cache(t), "bin")
	}
	path := filepath.Join(dir, name)
	if info, err := os.Stat(path); err != nil || info.IsDir() || info.Mode().Perm()&0o111 == 0 {
		t.Fatalf("tooltest: there is no %s at %s; run 'make setup' first, or point WAGGLE_TOOLS to a folder that has it", name, path)
	}
	return path
}

// cache is the same folder as compose/setup/common.sh takes.
func cache(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv("WAGGLE_CACHE"); dir != "" {
		return dir
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		t.Fatalf("tooltest: %v; set WAGGLE_CACHE or WAGGLE_TOOLS", err)
	}
	return filepath.Join(dir, "waggle")
}
