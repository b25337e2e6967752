package prometheus

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/tooltest"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestConfig(t *testing.T) {
	base := Settings{ScrapeInterval: 10 * time.Second, ScrapeTimeout: 10 * time.Second, EvaluationInterval: 15 * time.Second}
	stack := base
	stack.AlertmanagerPassword, stack.OwnStack, stack.OwnRules, stack.Self, stack.SelfPath = true, "waggle", true, "127.0.0.1:9091", "/monitor"
	stack.Alertmanagers = []string{"tasks+http://waggle_alertmanager:9093", "dns+http://tasks.waggle_alertmanager.:9093", "https://am.example.org/alerts/", "http://one:9094"}
	for name, s := range map[string]Settings{"least": base, "stack": stack} {
		t.Run(name, func(t *testing.T) {
			got, err := Render(s)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", name+".yml")
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			checker := Checker{Bin: tooltest.Path(t, "promtool")}
			if err := checker.run(t.Context(), "config", got); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAddressesOfAlertmanagers(t *testing.T) {
	for _, text := range []string{"am:9093", "am", "ftp://am", "http://", "http://user:pass@am", "http://am:x", "http://am?x=1", "tasks+https://am:9093", "tasks+dns+http://am:9093"} {
		if _, err := Render(Settings{Alertmanagers: []string{text}}); err == nil || !strings.Contains(err.Error(), "alertmanager-url") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
