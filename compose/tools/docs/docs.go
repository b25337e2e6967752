// Package docs makes the reference pages out of the code: labels, metrics and
// settings, and the list of known labels that the listener warns by. It also knows which
// commands a page may show.
package docs

import (
	"bytes"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
)

// Component is one of the services with what it says of itself.
type Component struct {
	// Name is that of its module ("proxy").
	Name   string
	Labels []label.Spec
	// Refused are labels that it knows and rejects by name.
	Refused []label.Spec
	// Service declares its settings and starts it.
	Service app.Service
	// Tools are what its program does besides.
	Tools []app.Tool
}

// The texts that stand between the tables.
var (
	//go:embed text/labels.md
	labelsText string
	//go:embed text/notes.md
	notesText string
	//go:embed text/order.md
	orderText string
	//go:embed text/shortcuts.md
	shortcutsText string
	//go:embed text/metrics.md
	metricsText string
	//go:embed text/settings.md
	settingsText string
)

const generated = "<!-- Generated from the code by 'make docs'; change the code, or the text beside compose/tools/docs. -->\n\n"

// tasks are the parts of the reference of labels, in the order in which a user needs them.
func tasks() []string {
	return []string{
		"Opting in and names", "Which requests", "Where requests go", "HTTPS, redirects and certificates", "Who gets in", "Limits",
		"Headers, paths and CORS", "Compression", "Spreading, stickiness and canaries", "Health checks, retries and timeouts",
		"TCP, and TLS passed through", "Scraping", "Alerts", "Scaling", "Raw configuration",
	}
}

// LabelsPage is docs/labels.md. A label that two components describe, or that belongs to no
// task, is an error.
func LabelsPage(components []Component) ([]byte, error) {
	if _, err := all(components); err != nil {
		return nil, err
	}
	by := map[string][]label.Spec{}
	for _, c := range components {
		for _, s := range c.Labels {
			if !slices.Contains(tasks(), s.Task) {
				return nil, fmt.Errorf("label %s of %s: the task %q is none of %s", s.Name, c.Name, s.Task, strings.Join(tasks(), "; "))
			}
			by[s.Task] = append(by[s.Task], s)
		}
	}
	notes := parts(notesText)
	var b bytes.Buffer
	b.WriteString(generated + labelsText + "\n")
	for _, task := range tasks() {
		if len(by[task]) > 0 {
			fmt.Fprintf(&b, "- [%s](#%s)\n", task, Anchor(task))
		}
	}
	for _, task := range tasks() {
		if len(by[task]) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n## %s\n\n", task)
		rows := [][]string{{"Label", "Text", "If absent", "Example", "Meaning"}}
		for _, s := range by[task] {
			name := code(catalog.Prefix + s.Name)
			if s.Indexed {
				name += ", " + code(catalog.Prefix+s.Name+".N")
			}
			doc := s.Doc
			if s.Secret {
				doc += " Its text is never shown."
			}
			rows = append(rows, []string{name, s.Kind, s.Default, example(s), doc})
		}
		table(&b, rows)
		if text := notes[task]; text != "" {
			b.WriteString("\n" + text + "\n")
		}
		switch task {
		case "Which requests":
			b.WriteString("\n" + orderText)
		case "Alerts":
			b.WriteString("\n" + shortcutsText)
		}
	}
	b.WriteString("\n## Labels that are rejected by name\n\n" +
		"Waggle knows these labels of Docker Flow and does not act on them yet. A service that asks for a route and carries one\n" +
		"is rejected, and the status names the label: a service whose user list was ignored would be open to everybody.\n\n")
	for _, c := range components {
		for _, s := range sorted(c.Refused) {
			b.WriteString("- " + code(catalog.Prefix+s.Name) + "\n")
		}
	}
	return b.Bytes(), nil
}

// example is the text of a label, and those that it needs beside it.
func example(s label.Spec) string {
	first, with, _ := strings.Cut(s.Example, "\n")
	name, text, _ := strings.Cut(first, "=")
	if name != s.Name { // it stands at an index
		text = first
	}
	if text = code(text); with != "" {
		text += " with `" + strings.ReplaceAll(with, "\n", "`, `") + "`"
	}
	return text
}

// parts are the parts of a text by their headings.
func parts(text string) map[string]string {
	out := map[string]string{}
	for part := range strings.SplitSeq("\n"+text, "\n## ") {
		heading, rest, _ := strings.Cut(part, "\n")
		out[heading] = strings.TrimSpace(rest)
	}
	return out
}

// Anchor is how a heading is called in a link to it, as GitHub makes it.
func Anchor(heading string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(heading) {
		switch {
		case r == ' ':
			b.WriteByte('-')
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Known is listener/internal/known/labels.txt: the names of all labels that any
// component reads or rejects, with what the listener must know of them.
func Known(components []Component) ([]byte, error) {
	specs, err := all(components)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString("# All labels that a component of Waggle reads, without com.df. before them:\n" +
		"# name[ indexed][ secret]. Generated by 'make docs'; see package known.\n")
	for _, s := range specs {
		b.WriteString(s.Name)
		if s.Indexed {
			b.WriteString(" indexed")
		}
		if s.Secret {
			b.WriteString(" secret")
		}
		b.WriteByte('\n')
	}
	return b.Bytes(), nil
}

// all returns the labels of all components, sorted by name.
func all(components []Component) ([]label.Spec, error) {
	var out []label.Spec
	by := map[string]string{}
	var errs []error
	for _, c := range components {
		for _, s := range slices.Concat(c.Labels, c.Refused) {
			if other, ok := by[s.Name]; ok {
				errs = append(errs, fmt.Errorf("label %s is described by %s and by %s: one is enough", s.Name, other, c.Name))
				continue
			}
			by[s.Name] = c.Name
			out = append(out, s)
		}
	}
	return sorted(out), errors.Join(errs...)
}

func sorted(specs []label.Spec) []label.Spec {
	return slices.SortedFunc(slices.Values(specs), func(a, b label.Spec) int { return strings.Compare(a.Name, b.Name) })
}

// MetricsPage is docs/metrics.md.
func MetricsPage(components []Component) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(generated + metricsText)
	for _, c := range components {
		metrics, err := Metrics(c)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "\n## %s\n\n", c.Name)
		rows := [][]string{{"Metric", "Type", "Labels", "Meaning"}}
		for _, m := range metrics {
			var labels []string
			for _, name := range m.Labels {
				text := code(name)
				if values := m.Values[name]; len(values) > 0 {
					text += " (" + strings.Join(values, ", ") + ")"
				}
				labels = append(labels, text)
			}
			rows = append(rows, []string{code(m.Name), m.Type, strings.Join(labels, ", "), m.Help})
		}
		table(&b, rows)
	}
	return b.Bytes(), nil
}

// SettingsPage is docs/settings.md.
func SettingsPage(components []Component) []byte {
	var b bytes.Buffer
	b.WriteString(generated + settingsText)
	section := func(title, text string, variable func(*flag.Flag) string, declare func(*flag.FlagSet)) {
		fmt.Fprintf(&b, "\n## %s\n\n%s", title, text)
		fs := flag.NewFlagSet(title, flag.ContinueOnError)
		declare(fs)
		rows := [][]string{{"Flag", "Variable", "Default", "Meaning"}}
		fs.VisitAll(func(f *flag.Flag) {
			def := "empty"
			if f.DefValue != "" {
				def = code(short(f.DefValue))
			}
			usage := f.Usage
			if app.IsSecret(f) {
				usage += " (secret: give it as a file)"
			}
			rows = append(rows, []string{code("-" + f.Name), variable(f), def, usage})
		})
		table(&b, rows)
	}
	of := func(f *flag.Flag) string {
		if app.IsCommand(f.Name) {
			return "none"
		}
		return code(app.Variable(f.Name))
	}
	section("All", "", of, func(fs *flag.FlagSet) { new(app.Common).Flags(fs) })
	for _, c := range components {
		section(c.Name, "", of, func(fs *flag.FlagSet) { c.Service(fs) })
		for _, t := range c.Tools {
			usage := fmt.Sprintf("`waggle-%s %s [flags] %s`\n\n%s\n\n", c.Name, t.Name, t.Args, t.Does)
			section(c.Name+" "+t.Name, usage, func(f *flag.Flag) string {
				if !slices.Contains(t.Settings, f.Name) {
					return "none"
				}
				return of(f)
			}, func(fs *flag.FlagSet) { t.Declare(fs) })
		}
	}
	return b.Bytes()
}

// Settings are the names of all settings, "component name" on each line, by which waggle lint
// knows a slip of the pen.
func Settings(components []Component) []byte {
	var b bytes.Buffer
	b.WriteString("# Generated by 'make docs'.\n")
	for _, c := range components {
		fs := flag.NewFlagSet(c.Name, flag.ContinueOnError)
		new(app.Common).Flags(fs)
		c.Service(fs)
		fs.VisitAll(func(f *flag.Flag) {
			if !app.IsCommand(f.Name) {
				fmt.Fprintf(&b, "%s %s\n", c.Name, f.Name)
			}
		})
	}
	return b.Bytes()
}

// short writes a duration as a person does: 2m instead of 2m0s.
func short(text string) string {
	if d, err := time.ParseDuration(text); err != nil || d.String() != text {
		return text
	}
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = strings.TrimSuffix(text, zero[1:])
		}
	}
	return text
}

func code(text string) string { return "`" + text + "`" }

// table writes rows, the first of which is the heading.
func table(b *bytes.Buffer, rows [][]string) {
	for i, row := range rows {
		cells := make([]string, len(row))
		for j, cell := range row {
			cells[j] = strings.ReplaceAll(strings.Join(strings.Fields(cell), " "), "|", "\\|")
		}
		b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
		if i == 0 {
			b.WriteString("|" + strings.Repeat(" --- |", len(row)) + "\n")
		}
	}
}
