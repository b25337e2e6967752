package atomicfile

import (
	"os"
	"path/filepath"
	"testing"
)

func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "made", "on", "the", "way", "f")
	write := func(text string, want bool) {
		t.Helper()
		wrote, err := Write(path, []byte(text), 0o640)
		if err != nil || wrote != want {
			t.Fatalf("Write(%q) = %v, %v; want %v", text, wrote, err, want)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != text {
			t.Fatalf("file holds %q (%v), want %q", got, err, text)
		}
	}
	write("one", true)
	write("one", false)
	write("two", true)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Fatalf("mode %v (%v), want 0640", info.Mode(), err)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Fatalf("folder holds %v (%v), want the file alone", left, err)
	}
}

func TestWriteFailsCleanly(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if wrote, err := Write(path, []byte("x"), 0o644); err == nil || wrote {
		t.Fatalf("Write over a folder = %v, %v; want an error", wrote, err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Fatalf("folder holds %v (%v), want nothing left behind", left, err)
	}
}

// TestAFileThatCannotBeRead: where the disk answers with an error, the new content is there.
func TestAFileThatCannotBeRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	// Reading this file is an error of input and output, as of a bad sector.
	if err := os.Symlink("/proc/self/mem", path); err != nil {
		t.Fatal(err)
	}
	if wrote, err := Write(path, []byte("new"), 0o640); err != nil || !wrote {
		t.Fatalf("Write: %v, %v", wrote, err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "new" {
		t.Errorf("file holds %q (%v)", got, err)
	}
}
