package alert

import (
	"regexp"
	"strings"
	"text/template"
)

// templateNames are the functions that Prometheus 3.5 gives to labels and annotations.
// A template that calls any other makes it refuse the whole file; what a known
// one answers shows only when the alert fires and harms nobody else.
const templateNames = `query first label value strvalue args reReplaceAll safeHtml match title toUpper toLower
	graphLink tableLink sortByLabel stripPort stripDomain humanize humanize1024 humanizeDuration humanizePercentage
	humanizeTimestamp toTime pathPrefix externalURL parseDuration`

func templateFunctions() template.FuncMap {
	m := template.FuncMap{}
	for name := range strings.FieldsSeq(templateNames) {
		m[name] = func(...any) (any, error) { return nil, nil }
	}
	return m
}

// templateVariables are defined in front of every text, as Prometheus does.
const templateVariables = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}{{$value := .Value}}"

var templateError = regexp.MustCompile(`^template: alert:[0-9]+: `)

// checkTemplate parses a label's or annotation's value as Prometheus does when it loads a rule, and
// returns why it cannot be taken.
func checkTemplate(text string) error {
	if !strings.Contains(text, "{{") {
		return nil
	}
	t, err := template.New("alert").Funcs(templateFunctions()).Parse(templateVariables + text)
	if err != nil {
		return templateFault(templateError.ReplaceAllString(err.Error(), ""))
	}
	return grows(t)
}

// templateFault is the parser's message without the name of our template.
type templateFault string

func (f templateFault) Error() string { return string(f) }
