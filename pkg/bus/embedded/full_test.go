package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// Of a store whose disk is full nothing is broken, and nothing is moved aside, however
// often the process starts.
func TestAStartOnAFullDisk(t *testing.T) {
	dir := smallDisk(t)
	s, b, _ := run(t, dir)
	for i := range 20 {
		if _, err := b.Bucket(bus.ManualBucket).Put(t.Context(), fmt.Sprint("proxy.", i), []byte("kept")); err != nil {
			t.Fatal(err)
		}
	}
	b.Close()
	s.Stop()
	ballast := fillUp(t, dir)
	for range 3 {
		s, err := Start(Options{Dir: dir, Keys: keys})
		tooltest.Must(t, err)
		tooltest.Eventually(t, "it is said that the disk is full", func() error {
			if s.Healthy() == nil {
				return errors.New("healthy")
			}
			return nil
		})
		s.Stop()
	}
	tooltest.Must(t, os.Remove(ballast))
	s, b, log := run(t, dir)
	defer s.Stop()
	defer b.Close()
	for i := range 20 {
		if value, _, err := b.Bucket(bus.ManualBucket).Get(t.Context(), fmt.Sprint("proxy.", i)); err != nil || string(value) != "kept" {
			t.Errorf("proxy.%d: %q, %v\n%s", i, value, err, log)
			break
		}
	}
	if moved, _ := filepath.Glob(filepath.Join(dir, "jetstream.bad-*")); len(moved) > 0 {
		t.Errorf("moved aside: %v", moved)
	}
}

// smallDisk returns a folder that is a disk of its own, of 24 MB.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=24m"); err != nil {
		t.Fatalf("this test needs root, to have a disk of its own: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fillUp leaves no room on a disk, and returns the file that takes it.
func fillUp(t *testing.T, dir string) string {
	t.Helper()
	ballast := filepath.Join(dir, "ballast")
	file, err := os.Create(ballast)
	tooltest.Must(t, err)
	for err == nil {
		_, err = file.Write(make([]byte, 4096))
	}
	tooltest.Must(t, file.Close())
	return ballast
}
