package main

import (
	"context"
	"errors"
	"fmt"
	"html"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/wagglehq/waggle/pkg/tooltest"
)

// consolePort is where the demo's stack file publishes the console.
const consolePort = "8085"

func (s *story) consoleURL(path string) string { return "http://" + s.host + ":" + consolePort + path }

// looked is the step of the console.
func (s *story) looked(ctx context.Context) error {
	if err := s.shown(ctx, broken, "broken"); err != nil {
		return err
	}
	s.say("open it: %s (live: it changes as you mend things)", s.consoleURL("/"))
	return s.picture(ctx, "broken", "/")
}

// shown waits until the console says that a service is so, and tells its words.
func (s *story) shown(ctx context.Context, service, state string) error {
	return tooltest.PollFor(ctx, 30*time.Second, 100*time.Millisecond, "the console to show "+service, func(ctx context.Context) error {
		page, err := s.get(ctx, consolePort, "/")
		if err != nil {
			return err
		}
		is, says := row(string(page), service)
		if is != state {
			return fmt.Errorf("it says %q: %s", is, says)
		}
		s.say("the console: %s", says)
		return nil
	})
}

var (
	rowOf    = `(?s)<tr id="board:%s"[^>]* class="([a-z]*)">(.*?)</tr>`
	tag      = regexp.MustCompile(`<[^>]*>`)
	boundary = regexp.MustCompile(`</t[dh]>`)
)

// row is the state of a service on the console's board, and what stands in its cells.
func row(page, service string) (state, text string) {
	found := regexp.MustCompile(fmt.Sprintf(rowOf, regexp.QuoteMeta(service))).FindStringSubmatch(page)
	if found == nil {
		return "", ""
	}
	var cells []string
	for _, cell := range boundary.Split(found[2], -1) {
		if cell = strings.Join(strings.Fields(html.UnescapeString(tag.ReplaceAllString(cell, " "))), " "); cell != "" {
			cells = append(cells, cell)
		}
	}
	return found[1], strings.Join(cells, " | ")
}

// browsers are the names of Chromium, the first that is there is used.
func browsers() []string {
	return []string{"chromium", "chromium-browser", "google-chrome"}
}

// picture takes a screenshot of a page of the console where there is a Chromium. The story
// goes on without one.
func (s *story) picture(ctx context.Context, name, path string) error {
	if s.shots == "" {
		return nil
	}
	var browser string
	for _, one := range browsers() {
		if found, err := exec.LookPath(one); err == nil {
			browser = found
			break
		}
	}
	if browser == "" {
		return nil
	}
	if err := os.MkdirAll(s.shots, 0o755); err != nil { //nolint:gosec // pictures that anybody may see
		return err
	}
	profile, err := os.MkdirTemp("", "story-chromium-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(profile) }()
	file := filepath.Join(s.shots, "console-"+name+".png")
	args := []string{"--headless", "--hide-scrollbars", "--window-size=1280,900", "--user-data-dir=" + profile, "--screenshot=" + file}
	if os.Geteuid() == 0 {
		args = append(args, "--no-sandbox") // Chromium has none for root
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, browser, append(args, s.consoleURL(path))...).CombinedOutput()
	if _, missing := os.Stat(file); err != nil || missing != nil {
		s.say("no screenshot of the console: %v", errors.Join(err, missing, errors.New(shorten(string(out), 200))))
		return nil
	}
	s.say("a screenshot of it is in %s", file)
	return nil
}

// why tells what 'waggle why' says of a service, and whether it has nothing against it.
func (s *story) why(ctx context.Context, service string) (answer string, fine bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var stderr strings.Builder
	cmd := exec.CommandContext(ctx, s.waggle, "why", service)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var ended *exec.ExitError
	switch {
	case err == nil:
		return string(out), true, nil
	case errors.As(err, &ended) && ended.ExitCode() == 1 && len(out) > 0:
		return string(out), false, nil // faults were found
	}
	return "", false, fmt.Errorf("%s why %s: %w: %s", s.waggle, service, err, strings.TrimSpace(stderr.String()))
}

// indented is a text as a terminal would show it below a command of the story.
func indented(text string) string {
	return "               " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n               ") + "\n"
}

// mended is the step of 'waggle why': it names the rung that is broken and what mends it, and that is done.
func (s *story) mended(ctx context.Context) error {
	s.say("$ compose/waggle.sh why %s", broken)
	answer, fine, err := s.why(ctx, broken)
	if err != nil {
		return err
	}
	s.write("%s", indented(answer))
	if fine || !strings.Contains(answer, "!! labels") || !strings.Contains(answer, "com.df.port") || !strings.Contains(answer, "fix") {
		return errors.New("it does not name the broken rung with what mends it")
	}
	s.say("$ docker service update --label-add com.df.port=8080 %s", broken)
	if _, err := docker(ctx, "service", "update", "--detach", "--no-resolve-image", "--label-add", "com.df.port=8080", broken); err != nil {
		return err
	}
	if err := s.answered(ctx, "/broken/hello"); err != nil {
		return err
	}
	s.say("/broken is answered %d", http.StatusOK)
	if err := tooltest.PollFor(ctx, 30*time.Second, 200*time.Millisecond, "waggle why to have nothing against it", func(ctx context.Context) error {
		answer, fine, err = s.why(ctx, broken)
		if err == nil && !fine {
			err = errors.New(answer)
		}
		return err
	}); err != nil {
		return err
	}
	s.say("$ compose/waggle.sh why %s", broken)
	s.write("%s", indented(answer))
	if err := s.shown(ctx, broken, "ok"); err != nil {
		return err
	}
	return s.picture(ctx, "scaled", "/services/"+demo)
}
