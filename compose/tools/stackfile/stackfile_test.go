package stackfile

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/docker/cli/cli/compose/types"
)

const compose = "../.."

func TestTheStackIsWholeAndTheDemoAddsToIt(t *testing.T) {
	alone, err := Load(Variables(), compose+"/stack.yml")
	if err != nil {
		t.Fatal(err)
	}
	demo, err := Load(Variables(), compose+"/stack.yml", compose+"/demo.yml")
	if err != nil {
		t.Fatal(err)
	}
	if len(alone.Services) != 5 || len(demo.Services) != 6 {
		t.Fatalf("%d and %d services, want 5, and the console", len(alone.Services), len(demo.Services))
	}
	plain := map[string]types.ServiceConfig{}
	for _, s := range alone.Services {
		plain[s.Name] = s
	}
	for _, s := range demo.Services {
		if was, ok := plain[s.Name]; ok && s.Image != was.Image || len(s.Ports) <= len(was.Ports) {
			t.Errorf("the demo's %s has the image %s and %d ports", s.Name, s.Image, len(s.Ports))
		}
		// 'make down' removes what has the mark, and nothing else.
		if s.Deploy.Labels["waggle.demo"] != "true" {
			t.Errorf("the demo does not mark %s", s.Name)
		}
		if plain[s.Name].Deploy.Labels["waggle.demo"] != "" {
			t.Errorf("%s has the mark without the demo", s.Name)
		}
	}
	for name, v := range demo.Volumes {
		if v.Labels["waggle.demo"] != "true" {
			t.Errorf("the demo does not mark the volume %s", name)
		}
	}
	if demo.Configs["alertmanager"].Labels["waggle.demo"] != "true" || demo.Networks["control"].Labels["waggle.demo"] != "true" {
		t.Error("the demo marks neither its config nor its network, or one of them")
	}
	text, err := Text(alone)
	if err != nil || !strings.Contains(text, "        target: 443\n") {
		t.Errorf("no ports in what docker stack config prints (%v):\n%s", err, text)
	}
}

// Docker merges ports by their published numbers: of one number for TCP and UDP only
// the last is left. What serves everybody must be that.
func TestPortsSurviveAFurtherFile(t *testing.T) {
	demo, err := Load(Variables(), compose+"/stack.yml", compose+"/demo.yml")
	if err != nil {
		t.Fatal(err)
	}
	has := map[string]bool{}
	for _, s := range demo.Services {
		for _, p := range s.Ports {
			has[fmt.Sprintf("%s %d/%s", s.Name, p.Target, p.Protocol)] = true
		}
	}
	for _, want := range []string{"proxy 80/tcp", "proxy 443/tcp", "proxy 8404/tcp"} {
		if !has[want] {
			t.Errorf("the demo does not publish %s: %v", want, has)
		}
	}
}

// TestTheConsoleHasADoor: each of its files asks who comes, says what is missing, and has nothing
// but a page.
func TestTheConsoleHasADoor(t *testing.T) {
	for file, c := range map[string]struct {
		door string
		env  map[string]string
	}{
		"console.yml":         {"com.df.usersSecret", map[string]string{"CONSOLE_DOMAIN": "waggle.example.com"}},
		"console-forward.yml": {"com.df.forwardAuth", map[string]string{"CONSOLE_DOMAIN": "waggle.example.com", "CONSOLE_FORWARD_AUTH": "http://auth_web:4181/verify"}},
	} {
		env := Variables()
		maps.Copy(env, c.env)
		got, err := Load(env, compose+"/stack.yml", compose+"/"+file)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(got.Services, func(s types.ServiceConfig) bool { return s.Name == "console" })
		s := got.Services[i]
		if s.Deploy.Labels[c.door] == "" || s.Deploy.Labels["com.df.serviceDomain"] != "waggle.example.com" || *s.Environment["WAGGLE_CONSOLE_FROM"] != "proxy" {
			t.Errorf("%s: anybody gets in: %v %v", file, s.Deploy.Labels, s.Environment)
		}
		if len(s.Ports)+len(s.Volumes)+len(s.Secrets) > 0 || !s.ReadOnly || len(s.CapDrop) != 1 || s.User != "65534:65534" {
			t.Errorf("%s: it has more than it needs: %+v", file, s)
		}
		for name := range c.env {
			without := maps.Clone(env)
			delete(without, name)
			if _, err := Load(without, compose+"/stack.yml", compose+"/"+file); err == nil || !strings.Contains(err.Error(), name+"=") {
				t.Errorf("%s without %s: %v", file, name, err)
			}
		}
	}
}

// Whoever deploys without a script is told what is missing, and gets nobody's images.
func TestNothingStandsForThePrefixOfTheImages(t *testing.T) {
	env := Variables()
	delete(env, "WAGGLE_IMAGES")
	if _, err := Load(env, compose+"/stack.yml"); err == nil || !strings.Contains(err.Error(), "WAGGLE_IMAGES=registry.example.com/waggle") {
		t.Errorf("without a prefix: %v", err)
	}
}

// Docker fills in what stands in double braces only where a template driver asks for
// it; templates of Alertmanager would not survive that.
func TestDockerChangesNoConfig(t *testing.T) {
	c, err := Load(Variables(), compose+"/stack.yml")
	if err != nil {
		t.Fatal(err)
	}
	for name, config := range c.Configs {
		if config.TemplateDriver != "" {
			t.Errorf("the config %s has the template driver %s", name, config.TemplateDriver)
		}
	}
}

func TestWhatCannotBeReadIsAnError(t *testing.T) {
	for name, text := range map[string]string{"no YAML": "a: [", "no stack": "services: 7"} {
		file := filepath.Join(t.TempDir(), "stack.yml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(nil, file); err == nil {
			t.Errorf("%s was read", name)
		}
	}
	if _, err := Load(nil, "nowhere.yml"); err == nil {
		t.Error("a file that is not there was read")
	}
}
