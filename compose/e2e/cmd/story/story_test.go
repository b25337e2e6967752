package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestObjectsAreFoundAtAnyDepth(t *testing.T) {
	found, err := objects([]byte(`{"a":[{"component":"proxy","state":"applied"},{"state":"x"}],"b":{"c":{"component":"monitor","state":"rejected","more":{"component":"z"}}}}`), "component", "state")
	if err != nil || len(found) != 2 {
		t.Fatalf("found %v, %v", found, err)
	}
	if _, err := objects([]byte("no JSON"), "a"); err == nil {
		t.Error("what is no JSON is accepted")
	}
}

func TestAnswersAreToldAgainstTheTask(t *testing.T) {
	for d, want := range map[time.Duration]string{
		42 * time.Millisecond:  "42 ms after the task ran",
		-30 * time.Millisecond: "30 ms before Swarm has noted that the task runs",
	} {
		if got := after(d); got != want {
			t.Errorf("%v is told as %q", d, got)
		}
	}
	if got := shorten("a\n  b  "+strings.Repeat("c", 20), 6); got != "a b cc..." {
		t.Errorf("shortened to %q", got)
	}
}

// lookAt makes a story whose part at every port is this handler.
func lookAt(t *testing.T, pages map[string]string) (*story, string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page, ok := pages[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(page))
	}))
	t.Cleanup(s.Close)
	host, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return &story{host: host, out: &bytes.Buffer{}, began: time.Now()}, port
}

func TestPagesThatAreMissingAreErrors(t *testing.T) {
	s, port := lookAt(t, map[string]string{"/healthz": "healthy"})
	if body, err := s.get(t.Context(), port, "/healthz"); err != nil || string(body) != "healthy" {
		t.Errorf("%q, %v", body, err)
	}
	if _, err := s.get(t.Context(), port, "/other"); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("a missing page: %v", err)
	}
}

func TestSamplesOfAMetric(t *testing.T) {
	got := samples("# HELP a_total x\na_total{r=\"b\"} 2\na_total{r=\"a\"} 1\na_total_more 7\nb 3\n", "a_total")
	if want := "a_total{r=\"a\"} 1\na_total{r=\"b\"} 2"; got != want {
		t.Errorf("got %q", got)
	}
}

func TestAFailedCommandTellsItsWords(t *testing.T) {
	dir := t.TempDir()
	script := "#!/bin/sh\n[ \"$1\" = good ] && echo fine && exit\necho 'Error: no such service' >&2\nexit 1\n"
	if err := os.WriteFile(filepath.Join(dir, "docker"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	if out, err := docker(t.Context(), "good"); err != nil || out != "fine" {
		t.Errorf("%q, %v", out, err)
	}
	if _, err := docker(t.Context(), "service", "rm", "x"); err == nil || !strings.Contains(err.Error(), "docker service rm x: exit status 1: Error: no such service") {
		t.Errorf("it says %v", err)
	}
}

func TestARowOfTheConsole(t *testing.T) {
	page := `<tbody><tr id="board:demo" role="row" class="ok"><td role="cell">well</td></tr>
<tr id="board:demo-broken" role="row" class="broken"><td role="cell"><span class="mark broken">broken</span></td><th role="rowheader"><a href="/x">demo-broken</a></th>` +
		`<td role="cell"><span class="rung">labels</span> com.df.port=&#34;eighty&#34;: want a number</td><td></td></tr></tbody>`
	if state, says := row(page, broken); state != "broken" || says != `broken | demo-broken | labels com.df.port="eighty": want a number` {
		t.Errorf("%s: %s", state, says)
	}
	if state, says := row(page, "demo-other"); state != "" || says != "" {
		t.Errorf("of what is not there: %s: %s", state, says)
	}
}

// program is one that answers so, with this exit code.
func program(t *testing.T, answer string, code int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, fmt.Appendf(nil, "#!/bin/sh\necho '%s'\nexit %d\n", answer, code), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWhyIsAskedAsAUserAsks(t *testing.T) {
	for _, c := range []struct {
		code         int
		fine, failed bool
	}{{0, true, false}, {1, false, false}, {3, false, true}} {
		s := &story{waggle: program(t, "!! labels", c.code)}
		answer, fine, err := s.why(t.Context(), demo)
		if fine != c.fine || (err != nil) != c.failed || err == nil && answer != "!! labels\n" {
			t.Errorf("exit code %d: %q, %v, %v", c.code, answer, fine, err)
		}
	}
}

// TestAScreenshotIsAskedOfChromium where there is one, and its lack ends no story.
func TestAScreenshotIsAskedOfChromium(t *testing.T) {
	bin, shots := t.TempDir(), filepath.Join(t.TempDir(), "shots")
	t.Setenv("PATH", bin)
	out := &bytes.Buffer{}
	s := &story{out: out, began: time.Now(), host: "192.0.2.1", shots: shots}
	if err := s.picture(t.Context(), "broken", "/"); err != nil || out.Len() > 0 {
		t.Errorf("without one: %v, %s", err, out)
	}
	script := "#!/bin/sh\nfor a; do case $a in --screenshot=*) echo \"$@\" >\"${a#--screenshot=}\" ;; esac; done\n"
	if err := os.WriteFile(filepath.Join(bin, "chromium"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.picture(t.Context(), "broken", "/"); err != nil || !strings.Contains(out.String(), "console-broken.png") {
		t.Errorf("%v, %s", err, out)
	}
	if asked, err := os.ReadFile(filepath.Join(shots, "console-broken.png")); err != nil || !strings.Contains(string(asked), "http://192.0.2.1:8085/") {
		t.Errorf("%s, %v", asked, err)
	}
}
