package scaler

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/dockertest"
)

// useTool runs a tool with arguments, and returns what it printed and said besides.
func useTool(t *testing.T, tool app.Tool, in io.Reader, args ...string) (out, told string, err error) {
	t.Helper()
	fs := flag.NewFlagSet(tool.Name, flag.ContinueOnError)
	run := tool.Declare(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	var printed, said bytes.Buffer
	err = run(t.Context(), app.Call{Args: fs.Args(), In: in, Out: &printed, Err: &said, Variable: func(string) (string, bool) { return "", false }})
	return printed.String(), said.String(), err
}

const stackFile = `services:
  web:
    image: shop/web:${TAG}
    deploy:
      replicas: 3  # as on the first day
      labels:
        - com.df.notify=true
        - com.df.scaleMin=2
        - com.df.scaleMax=12
  db:
    image: shop/db
`

// TestKeepAsksDocker: a pipeline gives the file on standard input and gets it with the live
// numbers; with two services of the name web only that of the stack counts.
func TestKeepAsksDocker(t *testing.T) {
	swarm := dockertest.New(t)
	swarm.Create(dockertest.Service{Name: "shop_web", Stack: "shop", Replicas: 7})
	swarm.Create(dockertest.Service{Name: "web", Replicas: 1})
	swarm.Create(dockertest.Service{Name: "shop_db", Stack: "shop", Global: true})
	want := strings.Replace(stackFile, "replicas: 3", "replicas: 7", 1)
	out, told, err := useTool(t, keepTool(), strings.NewReader(stackFile), "-stack", "shop", "-docker-host", swarm.Host(), "-")
	if err != nil || out != want || told != "shop_web: 7 replicas, as there are now, instead of 3\n" {
		t.Errorf("%v, told %q, printed\n%s", err, told, out)
	}
	file := filepath.Join(t.TempDir(), "shop.yml")
	if err := os.WriteFile(file, []byte(stackFile), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, _, err := useTool(t, keepTool(), nil, "-stack", "shop", "-docker-host", swarm.Host(), file); err != nil || out != want {
		t.Errorf("from a file: %v, printed\n%s", err, out)
	}
	if out, told, err := useTool(t, keepTool(), nil, "-stack", "other", "-docker-host", swarm.Host(), file); err != nil || out != stackFile || told != "" {
		t.Errorf("of a stack that is not there: %v, told %q, printed\n%s", err, told, out)
	}
}

// TestKeepPrintsNothingWhenItFails, so that nothing is deployed by mistake.
func TestKeepPrintsNothingWhenItFails(t *testing.T) {
	swarm := dockertest.New(t)
	swarm.Create(dockertest.Service{Name: "shop_web", Stack: "shop", Replicas: 7})
	for _, c := range []struct {
		name, file, why string
		args            []string
	}{
		{"no stack", stackFile, "want -stack STACK", []string{"-"}},
		{"no file", stackFile, "want -stack STACK and one FILE", []string{"-stack", "shop"}},
		{"a file that is not there", "", "no such file", []string{"-stack", "shop", "/nowhere/shop.yml"}},
		{"a file that cannot be edited", strings.Replace(stackFile, "replicas: 3", "replicas: !!int 3", 1), "-: line 5: services.web.deploy.replicas has a tag", []string{"-stack", "shop", "-docker-host", swarm.Host(), "-"}},
		{"a file that is too large", strings.Repeat("#", maxFile+1), "more than 16 MiB", []string{"-stack", "shop", "-docker-host", swarm.Host(), "-"}},
		{"no Docker", stackFile, "how many replicas there are now is not known", []string{"-stack", "shop", "-docker-host", "unix:///nowhere/docker.sock", "-"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if out, _, err := useTool(t, keepTool(), strings.NewReader(c.file), c.args...); err == nil || !strings.Contains(err.Error(), c.why) || out != "" {
				t.Errorf("error %v, want %s; printed %q", err, c.why, out)
			}
		})
	}
}
