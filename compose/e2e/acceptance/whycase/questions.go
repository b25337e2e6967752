package whycase

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/acceptance"
)

// patience is how long an answer may take, and tries how often that is seen: a machine that
// is busy with other cases is no fault of the program.
const (
	patience = time.Second
	tries    = 5
)

// want is what an answer must be.
type want struct {
	FirstBroken *string           `json:"first_broken"`
	States      map[string]string `json:"states"`
	Contains    []string          `json:"contains"`
	Lacks       []string          `json:"lacks"`
	Fix         []string          `json:"fix_contains"`
	Exit        *int              `json:"exit"`
	Service     json.RawMessage   `json:"service"`
	Others      map[string]string `json:"others"`
	Findings    []finding         `json:"findings"`
	Clean       []string          `json:"clean"`
	JSON        any               `json:"json"`
	Order       []string          `json:"order"`
}

// finding is one that lint must have.
type finding struct {
	Service  *string  `json:"service"`
	Label    *string  `json:"label"`
	Level    string   `json:"level"`
	Contains []string `json:"contains"`
	Fix      []string `json:"fix_contains"`
}

// files are those that lint is given.
type files struct {
	File  string            `json:"file"`
	More  []string          `json:"more"`
	Env   map[string]string `json:"env"`
	Stack string            `json:"stack"`
}

func questions() map[string]acceptance.Reader {
	ask := func(about string, do func(context.Context, *world) error) acceptance.Step {
		return acceptance.Step{About: about, Do: func(ctx context.Context, any acceptance.World) error { return do(ctx, any.(*world)) }}
	}
	why := func(values []json.RawMessage) (acceptance.Step, error) {
		var (
			subject string
			wanted  want
		)
		err := acceptance.Fill(values, &subject, &wanted)
		return ask(subject, func(ctx context.Context, w *world) error { return w.why(ctx, subject, wanted) }), err
	}
	return map[string]acceptance.Reader{
		"why": why, "why_url": why,
		"lint": func(values []json.RawMessage) (acceptance.Step, error) {
			var (
				given  files
				wanted want
			)
			err := acceptance.Fill(values, &given, &wanted)
			return ask("", func(ctx context.Context, w *world) error { return w.lint(ctx, given, wanted) }), err
		},
		"status": func(values []json.RawMessage) (acceptance.Step, error) {
			var wanted want
			err := acceptance.Fill(values, &wanted)
			return ask("", func(ctx context.Context, w *world) error { return w.status(ctx, wanted) }), err
		},
		"tail": func(values []json.RawMessage) (acceptance.Step, error) {
			var wanted map[string]any
			err := acceptance.Fill(values, &wanted)
			return ask("", func(ctx context.Context, w *world) error { return w.tells(ctx, wanted) }), err
		},
		"cli": func(values []json.RawMessage) (acceptance.Step, error) {
			var (
				args   []string
				wanted want
			)
			err := acceptance.Fill(values, &args, &wanted)
			return ask(strings.Join(args, " "), func(ctx context.Context, w *world) error {
				a, err := w.run(ctx, nil, args...)
				return errors.Join(err, wanted.exits(a), wanted.says(a.out+a.errs))
			}), err
		},
	}
}

// answer is what the program wrote.
type answer struct {
	code      int
	out, errs string
}

// run asks the program; it must answer in time.
func (w *world) run(ctx context.Context, env map[string]string, args ...string) (a answer, err error) {
	for range tries {
		var out, errs bytes.Buffer
		cmd := exec.CommandContext(ctx, w.program, args...)
		cmd.Env, cmd.Stdout, cmd.Stderr = []string{"WAGGLE_URL=http://" + address}, &out, &errs
		for name, text := range env {
			cmd.Env = append(cmd.Env, name+"="+text)
		}
		began := time.Now()
		err = cmd.Run()
		took := time.Since(began)
		if exited := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exited) {
			return a, err
		}
		a = answer{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
		if took <= patience {
			return a, nil
		}
		err = fmt.Errorf("%q took %v, at most %v are allowed", args, took, patience)
	}
	return a, err
}

// both asks for text and for JSON.
func (w *world) both(ctx context.Context, into any, env map[string]string, args ...string) (answer, error) {
	text, err := w.run(ctx, env, args...)
	if err != nil {
		return text, err
	}
	data, err := w.run(ctx, env, append(slices.Clone(args), "-o", "json")...)
	if err != nil {
		return text, err
	}
	if data.code != text.code {
		return text, fmt.Errorf("with -o json the exit code is %d, without %d", data.code, text.code)
	}
	if err := json.Unmarshal([]byte(data.out), into); err != nil {
		return text, fmt.Errorf("-o json: %w: %s%s", err, data.out, data.errs)
	}
	return text, nil
}

func (v want) exits(a answer) error {
	if v.Exit != nil && *v.Exit != a.code {
		return fmt.Errorf("exit code %d, want %d: %s%s", a.code, *v.Exit, a.out, a.errs)
	}
	return nil
}

// mostLines is within how many lines texts must stand.
const mostLines = 24

func (v want) says(text string) error {
	lines := strings.Split(text, "\n")
	head := strings.Join(lines[:min(len(lines), mostLines)], "\n")
	for _, part := range v.Contains {
		if !has(head, part) {
			return fmt.Errorf("it does not say %q: %s", part, text)
		}
	}
	for _, part := range v.Lacks {
		if has(text, part) {
			return fmt.Errorf("it says %q: %s", part, text)
		}
	}
	return nil
}

// has reports whether a text has a part, or one of several between bars, whatever the case
// of letters, but in names of labels, and the amount of white space.
func has(text, parts string) bool {
	text = strings.Join(strings.Fields(text), " ")
	return slices.ContainsFunc(strings.Split(parts, "|"), func(part string) bool {
		part = strings.Join(strings.Fields(part), " ")
		if strings.HasPrefix(part, "com.df.") {
			return strings.Contains(text, part)
		}
		return strings.Contains(strings.ToLower(text), strings.ToLower(part))
	})
}

func all(text string, parts []string) bool {
	return !slices.ContainsFunc(parts, func(p string) bool { return !has(text, p) })
}

func (w *world) why(ctx context.Context, subject string, v want) error {
	var got struct {
		Service     *string `json:"service"`
		FirstBroken *string `json:"first_broken"`
		Rungs       []struct{ Rung, State, Text, Fix string }
		Others      []struct{ Service, Fails string }
	}
	text, err := w.both(ctx, &got, nil, "why", subject)
	if err != nil {
		return err
	}
	if v.FirstBroken != nil && (got.FirstBroken == nil || *got.FirstBroken != *v.FirstBroken) {
		return fmt.Errorf("the first broken rung is not %q: %s", *v.FirstBroken, text.out)
	}
	fix, isBroken := "", false
	for _, r := range got.Rungs {
		switch {
		case r.State == "broken" && !isBroken:
			fix, isBroken = r.Fix, true
		case r.State == "warn" && fix == "" && !isBroken:
			fix = r.Fix
		}
		if state, ok := v.States[r.Rung]; ok && state != r.State {
			return fmt.Errorf("%s is %s, want %s: %s", r.Rung, r.State, state, text.out)
		}
	}
	for rung := range v.States {
		if !slices.ContainsFunc(got.Rungs, func(r struct{ Rung, State, Text, Fix string }) bool { return r.Rung == rung }) {
			return fmt.Errorf("there is no rung %s: %s", rung, text.out)
		}
	}
	if !all(fix, v.Fix) {
		return fmt.Errorf("the fix %q has not all of %q: %s", fix, v.Fix, text.out)
	}
	if v.Service != nil {
		have, err := json.Marshal(got.Service)
		if err != nil || string(have) != string(v.Service) {
			return fmt.Errorf("the service is %s, want %s: %s", have, v.Service, text.out)
		}
	}
	for name, word := range v.Others {
		if !slices.ContainsFunc(got.Others, func(o struct{ Service, Fails string }) bool { return o.Service == name && o.Fails == word }) {
			return fmt.Errorf("of %s it does not say %s: %s", name, word, text.out)
		}
	}
	return errors.Join(v.exits(text), v.says(text.out))
}

func (w *world) lint(ctx context.Context, given files, v want) error {
	folder, err := os.MkdirTemp("", "lint")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	args := []string{"lint"}
	if given.Stack != "" {
		args = append(args, "-stack", given.Stack)
	}
	for i, content := range append([]string{given.File}, given.More...) {
		path := filepath.Join(folder, fmt.Sprintf("%d.yml", i))
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return err
		}
		args = append(args, path)
	}
	var got struct {
		Findings []struct{ File, Service, Label, Level, Text, Fix string }
	}
	text, err := w.both(ctx, &got, given.Env, args...)
	if err != nil {
		return err
	}
	for _, f := range v.Findings {
		if !slices.ContainsFunc(got.Findings, func(g struct{ File, Service, Label, Level, Text, Fix string }) bool {
			level := "error"
			if f.Level != "" {
				level = f.Level
			}
			said := strings.Join([]string{g.Service, g.Label, g.Text}, " ")
			return g.Level == level && (f.Service == nil || *f.Service == g.Service) && (f.Label == nil || *f.Label == g.Label) &&
				(all(said, f.Contains) || len(f.Contains) > 0 && all(g.Fix, f.Contains)) && all(g.Fix, f.Fix)
		}) {
			return fmt.Errorf("no such finding as %+v: %s", describe(f), text.out)
		}
	}
	for _, g := range got.Findings {
		if g.Level == "error" && slices.Contains(v.Clean, g.Service) {
			return fmt.Errorf("%s is not clean: %s", g.Service, text.out)
		}
	}
	return errors.Join(v.exits(text), v.says(text.out))
}

func describe(f finding) string {
	b, err := json.Marshal(f)
	return string(b) + fmt.Sprint(err)
}

func (w *world) status(ctx context.Context, v want) error {
	var got any
	text, err := w.both(ctx, &got, nil, "status")
	if err != nil {
		return err
	}
	if v.JSON != nil && !fits(got, v.JSON) {
		return fmt.Errorf("%v does not fit %v", got, v.JSON)
	}
	at := -1
	services, _ := got.(map[string]any)["services"].([]any)
	for _, name := range v.Order {
		i := slices.IndexFunc(services, func(s any) bool { return s.(map[string]any)["service"] == name })
		if i <= at {
			return fmt.Errorf("%s is not in its place: %s", name, text.out)
		}
		at = i
	}
	return errors.Join(v.exits(text), v.says(text.out))
}

// fits reports whether a value is as it must be.
func fits(got, want any) bool {
	switch v := want.(type) {
	case string:
		if v == "*" {
			return got != nil && got != ""
		}
		return got == v
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return false
		}
		for name, one := range v {
			if !fits(g[name], one) {
				return false
			}
		}
		return true
	case []any:
		g, ok := got.([]any)
		return ok && len(g) == len(v) && assigned(g, v)
	}
	return got == want
}

// assigned reports whether each wanted value fits another one of those that there are.
func assigned(got, want []any) bool {
	if len(want) == 0 {
		return true
	}
	for i, g := range got {
		if fits(g, want[0]) && assigned(slices.Delete(slices.Clone(got), i, i+1), want[1:]) {
			return true
		}
	}
	return false
}
