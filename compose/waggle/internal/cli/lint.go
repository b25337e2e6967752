package cli

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/wagglehq/waggle/compose/waggle/internal/lint"
	"github.com/wagglehq/waggle/compose/waggle/internal/stack"
)

type lintCommand struct {
	output
	Stack    string   `help:"The name that the stack will have, which stands before the names of its services." default:"stack" placeholder:"NAME"`
	Settings string   `help:"A file with the operator's settings: {proxy: {ALLOW_RAW: true}, monitor: {}}." placeholder:"FILE"`
	Files    []string `arg:"" name:"file" help:"Stack files, merged in this order as by docker stack deploy."`
}

type findings struct {
	Findings []lint.Finding `json:"findings"`
}

// Run judges the files.
func (c *lintCommand) Run(r *run) error {
	settings, err := readSettings(c.Settings)
	if err != nil {
		return err
	}
	found := findings{Findings: []lint.Finding{}}
	services, err := stack.Read(c.Stack, r.Env, c.Files...)
	if err != nil {
		found.Findings = append(found.Findings, lint.Finding{
			File: c.Files[len(c.Files)-1], Level: lint.Error, Text: err.Error(), Fix: "see what docker stack config -c FILE says",
		})
	} else {
		more, err := lint.Files(services, settings, time.Now())
		if err != nil {
			return err
		}
		found.Findings = append(found.Findings, more...)
	}
	if c.Output == "json" {
		err = r.json(found)
	} else {
		err = found.write(r)
	}
	if err == nil && slices.ContainsFunc(found.Findings, func(f lint.Finding) bool { return f.Level == lint.Error }) {
		return exit{code: Faults}
	}
	return err
}

func (f findings) write(r *run) error {
	if len(f.Findings) == 0 {
		fmt.Fprintln(r.Out, "no mistakes were found")
	}
	for _, one := range f.Findings {
		where := []string{one.File}
		if one.Service != "" {
			where = append(where, one.Service)
		}
		text := one.Text
		if one.Label != "" && !strings.Contains(text, one.Label) {
			text = one.Label + ": " + text
		}
		fmt.Fprintf(r.Out, "%s: %s: %s\n", strings.Join(where, ": "), one.Level, text)
		if one.Fix != "" {
			fmt.Fprintf(r.Out, "    fix: %s\n", one.Fix)
		}
	}
	return nil
}

// variable is how settings are called in the environment.
var variable = regexp.MustCompile(`^[A-Z0-9_]+$`)

// readSettings reads the operator's settings; without a file all have their defaults.
func readSettings(file string) (lint.Settings, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var raw map[string]map[string]any
	if err := yaml.Unmarshal(text, &raw); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	out := lint.Settings{}
	for component, all := range raw {
		if !slices.Contains([]string{"proxy", "monitor", "scaler", "listener"}, component) {
			return nil, fmt.Errorf("%s: %q: want proxy, monitor, scaler or listener", file, component)
		}
		out[component] = map[string]string{}
		for name, value := range all {
			if variable.MatchString(name) {
				name = strings.ToLower(strings.ReplaceAll(name, "_", "-"))
			}
			out[component][name] = fmt.Sprint(value)
		}
	}
	return out, nil
}
