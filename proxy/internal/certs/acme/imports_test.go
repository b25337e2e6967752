package acme_test

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/certtest"
)

// traefikFile writes certificates as Traefik does.
func traefikFile(t *testing.T, resolver string, issued ...certtest.Issued) string {
	t.Helper()
	var list []map[string]any
	for _, i := range issued {
		list = append(list, map[string]any{
			"domain": map[string]any{"main": "www.example.com"}, "Store": "default",
			"certificate": base64.StdEncoding.EncodeToString([]byte(i.Cert)), "key": base64.StdEncoding.EncodeToString([]byte(i.Key)),
		})
	}
	content := map[string]any{"Account": map[string]any{"Email": "me@example.com"}, "Certificates": list}
	if resolver != "" {
		content = map[string]any{resolver: content, "empty": nil}
	}
	text, err := json.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "acme.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// certbotFolder writes certificates as certbot does: live has links into archive.
func certbotFolder(t *testing.T, names map[string]certtest.Issued) string {
	t.Helper()
	dir := t.TempDir()
	for name, i := range names {
		for _, folder := range []string{"archive", "live"} {
			if err := os.MkdirAll(filepath.Join(dir, folder, name), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		for file, text := range map[string]string{"fullchain": i.Cert, "privkey": i.Key} {
			target := filepath.Join("archive", name, file+"1.pem")
			if err := os.WriteFile(filepath.Join(dir, target), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(filepath.Join("..", "..", target), filepath.Join(dir, "live", name, file+".pem")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "live", "README"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestCertificatesOfOthersAreTakenOver for names that are wanted and have none: no order is placed
// for them until they are to be renewed.
func TestCertificatesOfOthersAreTakenOver(t *testing.T) {
	t.Parallel()
	issue := func(until time.Duration, names ...string) certtest.Issued {
		return certtest.Issue(t, certtest.Options{NotAfter: time.Now().Add(until)}, names...)
	}
	many := issue(60*24*time.Hour, "www.example.com", "example.com", "unwanted.example.com")
	for name, path := range map[string]string{
		"Traefik":   traefikFile(t, "le", many, issue(-time.Hour, "over.example.com")),
		"Traefik 1": traefikFile(t, "", many),
		"certbot":   certbotFolder(t, map[string]certtest.Issued{"example.com": many, "over": issue(-time.Hour, "over.example.com")}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			for _, r := range w.three(nil) {
				if err := r.runner.Import(path); err != nil {
					t.Fatal(err)
				}
			}
			w.want(service("web", "www.example.com", "example.com", "over.example.com", "new.example.com"))
			w.all("www.example.com", "example.com", "over.example.com", "new.example.com")
			if got := w.Orders(); got != 2 {
				t.Errorf("%d orders, for one that was over and one that was not there", got)
			}
			if got := w.replicas[1].serves("www.example.com"); !strings.Contains(many.Cert, base64.StdEncoding.EncodeToString(got.Raw)[:40]) {
				t.Error("another one is served")
			}
		})
	}
}

// TestWhatCannotBeTakenOver is told, and keeps no other from being taken.
func TestWhatCannotBeTakenOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.start("one", t.TempDir(), nil)
	good, bad := certtest.Self(t, "www.example.com"), certtest.Self(t, "bad.example.com")
	bad.Key = good.Key
	broken := filepath.Join(t.TempDir(), "acme.json")
	if err := os.WriteFile(broken, []byte("no JSON"), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct{ path, fault string }{
		"nothing":                 {"", ""},
		"no file":                 {filepath.Join(t.TempDir(), "x"), "no such file"},
		"no JSON":                 {broken, "no acme.json"},
		"a key of another":        {traefikFile(t, "le", good, bad), "its key does not belong to its certificate"},
		"one of certbot's is bad": {certbotFolder(t, map[string]certtest.Issued{"good": good, "bad": bad}), "bad: its key does not belong"},
	} {
		if err := r.runner.Import(c.path); (c.fault == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestABrokenEntry, of whatever kind, keeps none of the others from being taken, and no file that is
// none, to which a link leads, is read.
func TestABrokenEntry(t *testing.T) {
	t.Parallel()
	good := certtest.Issue(t, certtest.Options{NotAfter: time.Now().Add(60 * 24 * time.Hour)}, "www.example.com")
	text := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	entry := `{"domain":{"main":"www.example.com"},"certificate":"` + text(good.Cert) + `","key":"` + text(good.Key) + `"}`
	files := map[string]string{
		"a number for a certificate": `{"le":{"Certificates":[{"domain":{"main":"bad.example.com"},"certificate":7},` + entry + `]}}`,
		"nothing for one":            `{"le":{"Certificates":[null,` + entry + `]}}`,
		"a text for one":             `{"le":{"Certificates":["x",` + entry + `]}}`,
		"no base64":                  `{"le":{"Certificates":[{"domain":{"main":"bad.example.com"},"certificate":"%%%","key":"%%%"},` + entry + `]}}`,
		"a text for a resolver":      `{"bad":"x","le":{"Certificates":[` + entry + `]}}`,
		"another one's are no list":  `{"bad":{"Certificates":{"a":1}},"le":{"Certificates":[` + entry + `]}}`,
		"a broken one of Traefik 1":  `{"Account":{"Email":"me@example.com"},"Certificates":[7,` + entry + `],"HTTPChallenge":{}}`,
	}
	paths := map[string]string{}
	for name, content := range files {
		paths[name] = filepath.Join(t.TempDir(), "acme.json")
		if err := os.WriteFile(paths[name], []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"a link of certbot's into a pipe": "pipe", "a link of certbot's to nowhere": "nowhere", "a link of certbot's to what has no end": "/dev/zero"} {
		dir := certbotFolder(t, map[string]certtest.Issued{"good": good})
		if err := os.MkdirAll(filepath.Join(dir, "live", "bad"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(filepath.Join(dir, "live", "bad", "pipe"), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{"fullchain.pem", "privkey.pem"} {
			if err := os.Symlink(target, filepath.Join(dir, "live", "bad", file)); err != nil {
				t.Fatal(err)
			}
		}
		paths[name] = dir
	}
	for name, path := range paths {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.start("one", t.TempDir(), nil)
			if err := r.runner.Import(path); err == nil || strings.Contains(err.Error(), "no acme.json") {
				t.Errorf("told: %v", err)
			}
			w.want(service("web", "www.example.com"))
			w.all("www.example.com")
			if w.Orders() != 0 {
				t.Errorf("%d orders", w.Orders())
			}
		})
	}
}
