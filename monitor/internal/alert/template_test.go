package alert

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/tooltest"
)

// promtoolTakes reports whether Prometheus' checker takes a rule, and what it says.
func promtoolTakes(t *testing.T, r Rule) (bool, string) {
	t.Helper()
	file, err := Render([]Rule{r})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), tooltest.Path(t, "promtool"), "check", "rules", "--lint=none", path).CombinedOutput()
	return err == nil, string(out)
}

func TestTemplatesAreJudgedAsPrometheusDoes(t *testing.T) {
	all := strings.Builder{}
	for name := range strings.FieldsSeq(templateNames) {
		all.WriteString("{{ " + name + " }}")
	}
	for _, text := range []string{
		"no template", "{{ $value }} of {{ $labels.instance }} at {{ $externalURL }}", "{{ $value | humanize }}", "{{ .Labels.x }}",
		"{{ with query \"up\" }}{{ . | first | value }}{{ end }}", "{{ range query \"up\" }}{{ end", "{{ if }}", "{{ end }}",
		"{{ env \"HOME\" }}", "{{ $nope }}", "{{ define \"x\" }}y{{ end }}{{ template \"x\" }}", "{{", "}}", "{{}}", "{{/* x */}}", "{{ 1 | }}",
		"{{ humanize 1 2 3 }}", "{{ \"unclosed }}", all.String(),
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			rule := Rule{Service: "web", Name: "a", Expr: "up == 0", Annotations: map[string]string{"summary": text}}
			takes, said := promtoolTakes(t, rule)
			if err := checkTemplate(text); (err == nil) != takes {
				t.Errorf("we say %v, Prometheus %s", err, said)
			}
		})
	}
}

func TestPrometheusTakesWhatIsAdmitted(t *testing.T) {
	for _, text := range []string{"a: b", "- x", "\"", "'", "\\", "#", "&a", "*a", "!!binary x", "|", "%YAML", "---", "\u2028", "null", "true", "0x10", "<<", "{", "}", "äöü ☃", strings.Repeat("x", 10000)} {
		alerts, _ := FromService(service("web", "alertName=a", "alertIf=up == 0", "alertLabels=x="+text, "alertAnnotations=null="+text+",on=y"), About{Replicas: 1})
		if alerts[0].Err != nil {
			t.Errorf("%q is not admitted: %v", text, alerts[0].Err)
			continue
		}
		if takes, said := promtoolTakes(t, alerts[0].Rule); !takes {
			t.Errorf("%q is admitted, but %s", text, said)
		}
	}
}
