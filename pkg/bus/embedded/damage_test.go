package embedded

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// scratch overwrites some bytes in the middle of what a bucket's key holds, on the disk.
func scratch(t *testing.T, dir, bucket, key string) {
	t.Helper()
	path := filepath.Join(msgs(dir, bucket), "1.blk")
	content, err := os.ReadFile(path)
	tooltest.Must(t, err)
	at := bytes.Index(content, []byte("$KV."+bucket+"."+key))
	if at < 0 {
		t.Fatalf("%s is not in the block", key)
	}
	copy(content[at+30:], "scratched")
	tooltest.Must(t, os.WriteFile(path, content, 0o600))
}

// TestADamagedMessage: of what lies in a block one message cannot be read any more. It is lost, which is
// said, and no other one is, however the server ended. What others rebuild begins anew.
func TestADamagedMessage(t *testing.T) {
	for name, killed := range map[string]bool{"after an orderly end": false, "after a kill": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s, b, _ := run(t, dir)
			for _, bucket := range []string{bus.ManualBucket, bus.AcceptedBucket, bus.CatalogBucket} {
				fill(t, b, bucket)
			}
			if killed {
				dir2 := filepath.Join(t.TempDir(), "store")
				tooltest.Must(t, os.CopyFS(dir2, os.DirFS(dir)))
				dir = dir2
			}
			b.Close()
			s.Stop()
			scratch(t, dir, bus.ManualBucket, "proxy.7")
			scratch(t, dir, bus.CatalogBucket, "proxy.7")

			s, b, log := run(t, dir)
			for bucket, want := range map[string]string{
				bus.ManualBucket:   ".......x............",
				bus.AcceptedBucket: all,
				bus.CatalogBucket:  none,
			} {
				if got := has(t, b, bucket); got != want {
					t.Errorf("%s: %s, want %s", bucket, got, want)
				}
			}
			if got := strings.Count(log.String(), `level=ERROR msg="the store is damaged: messages are lost"`); got != 2 {
				t.Errorf("it was said %d times:\n%s", got, log)
			}
			aside := s.SetAside()
			if len(aside) != 1 {
				t.Fatalf("set aside: %v", aside)
			}
			if _, err := os.Stat(filepath.Join(aside[0], "WAGGLE", "streams", "KV_"+bus.ManualBucket, "msgs", "1.blk")); err != nil {
				t.Error(err)
			}
			_, err := b.Bucket(bus.ManualBucket).Put(t.Context(), "proxy.7", []byte("back"))
			tooltest.Must(t, err)
			b.Close()
			s.Stop()

			s, b, log = run(t, dir)
			if got := has(t, b, bus.ManualBucket); got != all {
				t.Errorf("after the next start: %s", got)
			}
			if strings.Contains(log.String(), "ERROR") || len(s.SetAside()) != 1 {
				t.Errorf("it is said again, %v:\n%s", s.SetAside(), log)
			}
			b.Close()
			s.Stop()
		})
	}
}
