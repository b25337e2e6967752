package cli

import (
	_ "embed"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/wagglehq/waggle/compose/waggle/internal/lint"
	"github.com/wagglehq/waggle/compose/waggle/internal/stack"
	"github.com/wagglehq/waggle/compose/waggle/internal/why"
	monitor "github.com/wagglehq/waggle/monitor/judge"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/pkg/picture"
	proxy "github.com/wagglehq/waggle/proxy/judge"
)

type lintCommand struct {
	Output   string   `short:"o" help:"How to answer: text, json, or for code review github or gitlab." enum:"text,json,github,gitlab" default:"text"`
	Against  string   `help:"Judge the services among those that the listener at this URL knows, and by the settings of its components." placeholder:"URL"`
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
	for _, name := range c.Files {
		if _, err := os.Stat(name); err != nil {
			return err
		}
	}
	services, err := stack.Read(c.Stack, r.Env, c.Files...)
	if err != nil {
		text, fix := stack.Explain(err)
		found.Findings = append(found.Findings, lint.Finding{File: c.Files[len(c.Files)-1], Level: lint.Error, Text: text, Fix: fix})
	} else {
		var live lint.Live
		if c.Against != "" {
			if live, err = r.live(c.Against, settings); err != nil {
				return err
			}
		}
		more, err := lint.Files(services, live, settings, time.Now())
		if err != nil {
			return err
		}
		found.Findings = append(found.Findings, more...)
	}
	switch c.Output {
	case "json":
		err = r.json(found)
	case "github":
		err = found.github(r)
	case "gitlab":
		err = found.gitlab(r)
	default:
		err = found.write(r, services)
	}
	if err == nil && slices.ContainsFunc(found.Findings, func(f lint.Finding) bool { return f.Level == lint.Error }) {
		return exit{code: Faults}
	}
	return err
}

func (f findings) write(r *run, services []lint.Service) error {
	if len(f.Findings) == 0 {
		r.line("no mistakes were found")
		if !slices.ContainsFunc(services, func(s lint.Service) bool { return len(s.Labels)+len(s.ContainerLabels) > 0 }) {
			r.line("    no service has labels under %s, so none is routed, scraped or scaled", catalog.Prefix)
		}
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
		r.line("%s: %s: %s", strings.Join(where, ": "), one.Level, text)
		if one.Fix != "" {
			r.line("    fix: %s", one.Fix)
		}
	}
	return nil
}

// live is the swarm of the listener at a URL. Settings that are not given are those of the
// components there.
func (r *run) live(url string, given lint.Settings) (lint.Live, error) {
	var p picture.Picture
	there := *r
	there.url = strings.TrimSuffix(url, "/")
	if err := there.ask(picturePath, &p); err != nil {
		return lint.Live{}, err
	}
	if p.Failure != "" && len(p.Services) == 0 {
		return lint.Live{}, exit{code: NoAnswer, text: p.Failure}
	}
	out := lint.Live{Snapshot: p.Snapshot(), Accepted: map[string]map[string]catalog.Service{}}
	for _, component := range components() {
		out.Accepted[component] = p.AcceptedBy(component)
		if given[component] == nil {
			given[component] = why.Settings(p, component)
		}
	}
	return out, nil
}

// components are those that have settings.
func components() []string { return []string{"proxy", "monitor", "scaler", "listener"} }

// variable is how settings are called in the environment.
var variable = regexp.MustCompile(`^[A-Z0-9_]+$`)

// readSettings reads the operator's settings; without a file all have their defaults.
func readSettings(file string) (lint.Settings, error) {
	if file == "" {
		return lint.Settings{}, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var raw map[string]map[string]any
	if err := yaml.Unmarshal(text, &raw); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	out, known := lint.Settings{}, strings.Split(settings, "\n")
	for component, facts := range map[string][]string{"proxy": proxy.Facts(), "monitor": monitor.Facts()} {
		for _, fact := range facts {
			known = append(known, component+" "+fact)
		}
	}
	for component, all := range raw {
		if !slices.Contains(components(), component) {
			return nil, fmt.Errorf("%s: %q: want proxy, monitor, scaler or listener", file, component)
		}
		out[component] = map[string]string{}
		for name, value := range all {
			flag := name
			if variable.MatchString(name) {
				flag = strings.ToLower(strings.ReplaceAll(name, "_", "-"))
			}
			if !slices.Contains(known, component+" "+flag) && (component != "monitor" || !monitor.IsVariable(name)) {
				return nil, fmt.Errorf("%s: %s of %s: there is no such setting%s", file, name, component, meant(component, flag, known))
			}
			out[component][flag] = fmt.Sprint(value)
		}
	}
	return out, nil
}

// settings are the names of all that can be set, "component name" on each line.
//
//go:embed settings.txt
var settings string

// meant is the setting of a component that was probably meant, as words for behind an error.
func meant(component, name string, known []string) string {
	for _, line := range known {
		if other, ok := strings.CutPrefix(line, component+" "); ok && label.Near(name, other) {
			return fmt.Sprintf("; is %s meant?", other)
		}
	}
	return "; docs/settings.md has them all"
}
