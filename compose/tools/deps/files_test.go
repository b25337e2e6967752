package deps

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestFiles: a file may refer to what stands in those below it, by calls, types, fields and
// methods, and to nothing above it.
func TestFiles(t *testing.T) {
	const (
		top    = "type car struct{ wheels []wheel }\n\nfunc (c car) drive() { turn(c.wheels) }"
		bottom = "type wheel struct{}\n\nfunc turn(list []wheel) {}"
	)
	for _, c := range []struct{ name, list, top, bottom, want string }{
		{"downwards", "car.go, wheel.go", top, bottom, ""},
		{"a call", "car.go, wheel.go", top, bottom + "\n\nfunc again() { car{}.drive() }",
			"x: wheel.go refers to car.go, which stands above it, by car, drive"},
		{"a field", "car.go, wheel.go", top, bottom + "\n\nfunc count(c interface{ whole() car }) int { return len(c.whole().wheels) }",
			"x: wheel.go refers to car.go, which stands above it, by car, wheels"},
		{"the order is another", "wheel.go,\ncar.go", top, bottom, "x: car.go refers to wheel.go, which stands above it, by turn, wheel"},
		{"a file is left out", "car.go", top, bottom, "x: the list of files in its comment leaves out wheel.go"},
		{"a file that is not there", "car.go, wheel.go, door.go", top, bottom, "x: the list of files in its comment names door.go, which is not there, or twice"},
		{"no order", "", top, bottom, "x: its comment names no order"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			doc := "// Package x is an example.\n"
			if c.list != "" {
				doc += "//\n// " + filesMark + " " + strings.ReplaceAll(c.list, "\n", "\n// ") + ".\n"
			}
			for name, text := range map[string]string{"car.go": doc + "package x\n\n" + c.top, "wheel.go": "package x\n\n" + c.bottom} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			found, err := Files(Compiled{ImportPath: "x", Dir: dir, GoFiles: []string{"car.go", "wheel.go"}}, nil)
			var got []string
			for _, u := range found {
				got = append(got, u.String())
			}
			if err != nil {
				got = []string{err.Error()}
			}
			if len(got) > 1 || !strings.HasPrefix(strings.Join(got, "\n"), c.want) || c.want == "" && got != nil {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestOrdered(t *testing.T) {
	two := []string{"a.go", "b.go"}
	for _, c := range []struct {
		path  string
		files []string
		want  bool
	}{
		{"proxy/internal/haproxy/file", two, true},
		{"proxy/internal/haproxy/silent", two[:1], false},
		{"proxy/internal/api", two, false},
	} {
		if got := Ordered(Compiled{ImportPath: prefix + c.path, GoFiles: slices.Clone(c.files)}); got != c.want {
			t.Errorf("%s: %v", c.path, got)
		}
	}
}
