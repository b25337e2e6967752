package docs

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/wagglehq/waggle/compose/tools/contract"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

const consumerSource = "consumer/main.go"

// schemas are those that are committed.
func schemas(t *testing.T) contract.Schemas {
	t.Helper()
	out, err := contract.Read(filepath.Join(root, schemaFolder()))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestTheSchemasTellWhatTheyDescribe: each has an identifier with the version, and every
// type a description.
func TestTheSchemasTellWhatTheyDescribe(t *testing.T) {
	for _, v := range values() {
		var s struct {
			ID, Title, Description string
			Raw                    map[string]any `json:"-"`
		}
		text, err := os.ReadFile(filepath.Join(root, schemaFolder(), v.name+".schema.json"))
		if err != nil {
			t.Fatal(err)
		}
		var raw map[string]any
		if err := errors.Join(json.Unmarshal(text, &s), json.Unmarshal(text, &raw)); err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("https://%s/docs/schema/v%d/%s.schema.json", repository, catalog.Schema, v.name); raw["$id"] != want {
			t.Errorf("%s is %v, want %s", v.name, raw["$id"], want)
		}
		if s.Title == "" || s.Description == "" {
			t.Errorf("%s says of itself %q, %q", v.name, s.Title, s.Description)
		}
	}
}

// TestTheSchemasRefuseWhatIsNoValue, or they would show nothing.
func TestTheSchemasRefuseWhatIsNoValue(t *testing.T) {
	all := schemas(t)
	for _, v := range values() {
		for _, wrong := range []string{`{}`, `[]`, `{"id": 7, "serviceId": 7, "schema": "2", "tasks": 7, "instance": 7, "kind": 7}`} {
			if all.Check(v.name, []byte(wrong)) == nil {
				t.Errorf("%s takes %s", v.name, wrong)
			}
		}
	}
}

// TestTheConsumerOnThePageIsTheOneThatIsTested, to the letter.
func TestTheConsumerOnThePageIsTheOneThatIsTested(t *testing.T) {
	source, err := os.ReadFile(consumerSource)
	if err != nil {
		t.Fatal(err)
	}
	if page := text(t, "docs/contract.md"); !strings.Contains(page, "```go\n"+strings.TrimSpace(string(source))+"\n```\n") {
		t.Errorf("docs/contract.md does not hold %s", consumerSource)
	}
}

// lines are those that a process has written.
type lines struct {
	mu  sync.Mutex // the process's reader and the test share all
	all []string
}

func (l *lines) read(from *bufio.Scanner) {
	for from.Scan() {
		l.mu.Lock()
		l.all = append(l.all, from.Text())
		l.mu.Unlock()
	}
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.all, "\n")
}

// TestTheConsumerOnThePageRuns: it tells what a proxy said, what it says then, and what
// is gone, on a bus with walls, of which it must believe that it is the right one, and on
// one that admits everybody.
func TestTheConsumerOnThePageRuns(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "consumer")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./consumer").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	keys := map[string]string{bus.Reader: "the-secret-of-the-reader"}
	for _, component := range []string{bus.Listener, "proxy", "monitor", "scaler"} {
		keys[component] = "the-secret-of-the-" + component
	}
	t.Run("open", func(t *testing.T) { consumes(t, binary, bustest.Start(t), "") })
	t.Run("with walls", func(t *testing.T) { consumes(t, binary, bustest.StartWithKeys(t, keys), keys[bus.Reader]) })
}

func consumes(t *testing.T, binary string, server *bustest.Server, key string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	listener := server.Prepared()
	writer := listener.CatalogWriter(func() {})
	bustest.Run(t, writer.Run)
	web := catalog.Service{ID: "1", Name: "shop_web", Labels: map[string]string{catalog.Notify: "true", "com.df.servicePath": "/shop"}}
	publish(t, writer, catalog.Snapshot{Services: map[string]catalog.Service{"1": web}})
	statuses := server.Connect("proxy").Statuses("one", func() {})
	bustest.Run(t, statuses.Run)
	say := func(all ...catalog.Status) {
		tooltest.Eventually(t, "the status is published", func() error { return statuses.Publish(t.Context(), all) })
	}
	say(catalog.Status{ServiceID: "1", Service: "shop_web", State: catalog.StateApplied})

	cmd := exec.CommandContext(t.Context(), binary)
	cmd.Env = append(os.Environ(), "NATS_URL="+server.URL(), "NATS_KEY_FILE="+file)
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var told lines
	done := make(chan struct{})
	go func() {
		defer close(done)
		told.read(bufio.NewScanner(out))
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
		_ = cmd.Wait() // it was killed
	})
	tells := func(want ...string) {
		t.Helper()
		tooltest.Eventually(t, "the consumer tells "+want[len(want)-1], func() error {
			if got := told.String(); got != strings.Join(want, "\n") {
				return errors.New(got)
			}
			return nil
		})
	}
	tells("+ shop_web /shop: applied ")
	say(catalog.Status{ServiceID: "1", Service: "shop_web", State: catalog.StateRejected, Reason: "no"})
	tells("+ shop_web /shop: applied ", "+ shop_web /shop: rejected no")
	say()
	tells("+ shop_web /shop: applied ", "+ shop_web /shop: rejected no", "- shop_web /shop: rejected no")
}

// publish makes the catalog what a snapshot says.
func publish(t *testing.T, w *bus.CatalogWriter, s catalog.Snapshot) {
	t.Helper()
	entries, _, err := catalog.EncodeAll(s)
	if err != nil {
		t.Fatal(err)
	}
	tooltest.Eventually(t, "the catalog is written", func() error {
		seen, ok := w.Seen()
		if !ok {
			return bus.ErrNotSynced
		}
		_, err := w.Write(t.Context(), seen, seen.Plan(entries))
		return err
	})
}
