package alert

import (
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/label"
)

// TestATemplateThatGrowsIsRefused: Prometheus would fill it in until its memory is gone, and with it
// everybody's alerts.
func TestATemplateThatGrowsIsRefused(t *testing.T) {
	again := func(n int, text string) string { return strings.Repeat(text, n) }
	for name, text := range map[string]string{
		"a text is doubled over and over":      `{{ $a := "xxxxxxxx" }}` + again(30, `{{ $a = printf "%s%s" $a $a }}`) + `{{ len $a }}`,
		"many times in one format":             `{{ $a := "x" }}` + again(8, `{{ $a = printf "%[1]s%[1]s%[1]s%[1]s%[1]s%[1]s%[1]s%[1]s" $a }}`) + `{{ $a }}`,
		"in a pipeline":                        `{{ "x"` + again(8, ` | printf "%[1]s%[1]s%[1]s%[1]s%[1]s%[1]s%[1]s%[1]s"`) + ` }}`,
		"by what with calls the dot":           `{{ with "x" }}` + again(8, `{{ with printf "%[1]s%[1]s%[1]s%[1]s%[1]s%[1]s%[1]s%[1]s" . }}`) + `{{ . }}` + again(9, `{{ end }}`),
		"by print":                             `{{ $a := "x" }}` + again(10, `{{ $a = print $a $a $a $a $a $a }}`) + `{{ $a }}`,
		"by replacing":                         `{{ $a := "xxxxxxxx" }}` + again(12, `{{ $a = reReplaceAll "x" "xxxxxxxx" $a }}`) + `{{ $a }}`,
		"by a format that is made":             `{{ $f := print "%[1]s%[1]s%[1]s" "%[1]s%[1]s%[1]s" }}{{ $a := "xxxxxxxxxx" }}` + again(9, `{{ $a = printf $f $a }}`) + `{{ $a }}`,
		"in a branch that is not always taken": `{{ $a := "x" }}{{ if eq $value 1.0 }}` + again(30, `{{ $a = printf "%s%s" $a $a }}`) + `{{ end }}{{ $a }}`,
		"a range over a number":                `{{ range 1000000000 }}x{{ end }}`,
		"ranges within ranges":                 again(2, `{{ range query "up" }}`) + `{{ .Labels.instance }}` + again(2, `{{ end }}`),
		"a text that grows in a range":         `{{ $a := "x" }}{{ range query "up" }}{{ $a = print $a $a }}{{ end }}{{ $a }}`,
		"templates that call others":           `{{ define "a" }}xxxxxxxxxx{{ end }}{{ define "b" }}` + again(10, `{{ template "a" }}`) + `{{ end }}{{ define "c" }}` + again(10, `{{ template "b" }}`) + `{{ end }}{{ define "d" }}` + again(10, `{{ template "c" }}`) + `{{ end }}` + again(100, `{{ template "d" }}`),
		"one that calls itself":                `{{ define "a" }}{{ template "a" }}{{ end }}{{ template "a" }}`,
		"widths":                               again(5, `{{ printf "%999999d" 1 }}`),
		"a width that is a value":              `{{ printf "%*d" 999999 1 }}{{ printf "%*d" 999999 1 }}`,
	} {
		for _, of := range []string{"alertAnnotations", "alertLabels"} {
			alerts, _ := FromService(service("web", "alertName=x", "alertIf=up == 0", of+"=summary="+text), About{})
			if f := label.First(alerts[0].Err); f == nil || f.Label != "com.df."+of || !strings.Contains(f.Want, "many megabytes") {
				t.Errorf("%s: %v", name, alerts[0].Err)
			}
		}
	}
	// So is one that comes by the values of a shortcut.
	p := pack(t, "waggle", PackFile{"mine", []byte("'@bees': {expanded: 'bees > {{ index .Values 0 }}', annotations: {summary: 'over {{ index .Values 1 }}'}}\n")})
	if _, err := ruleOf(t, p, "@bees:1,{{ range 1000000000 }}x{{ end }}"); err == nil || !strings.Contains(err.Error(), "many megabytes") {
		t.Error(err)
	}
}

// TestTemplatesOfEverydayAreTaken: what people write is far below what is too much.
func TestTemplatesOfEverydayAreTaken(t *testing.T) {
	for _, text := range []string{
		`{{ $value | humanizePercentage }} of {{ $labels.instance }} ({{ $labels.job | toUpper }}), see {{ externalURL }}/graph`,
		`{{ with query "sum(up)" }}{{ . | first | value | humanize }}{{ end }}`,
		`{{ range query "up == 0" | sortByLabel "instance" }}{{ .Labels.instance }}: {{ .Value | printf "%.2f" }} {{ else }}none{{ end }}`,
		`{{ range printf "up{job='%s'}" $labels.job | query }}{{ .Labels.instance }} on {{ .Labels.node }} of {{ .Labels.service }}, {{ .Value | humanize }} {{ end }}`,
		`{{ if gt $value 0.9 }}critical{{ else if gt $value 0.5 }}warning{{ else }}info{{ end }}`,
		`{{ define "who" }}{{ .Labels.instance }}{{ end }}{{ template "who" . }} since {{ $value | humanizeTimestamp }}, {{ reReplaceAll "(.*):.*" "$1" $labels.instance }}`,
		strings.Repeat(`{{ printf "%-20s %8.3f" $labels.job $value }} `, 100),
	} {
		if err := checkTemplate(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}
