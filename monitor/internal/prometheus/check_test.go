package prometheus

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/monitor/internal/alert"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

func rule(service, name, expr string) alert.Rule {
	return alert.Rule{Service: service, Name: name, Expr: expr, Labels: map[string]string{"owner": service}, Annotations: map[string]string{}}
}

// check runs the Checker over rules.
func check(t *testing.T, c *Checker, rules []alert.Rule) (map[string]string, error) {
	t.Helper()
	file, err := alert.Render(rules)
	if err != nil {
		t.Fatal(err)
	}
	return c.Check(t.Context(), rules, file)
}

// script is a program that stands for promtool.
func script(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "promtool")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTheCheckerNamesTheBadRulesAmongMany(t *testing.T) {
	var rules []alert.Rule
	for i := range 12 {
		rules = append(rules, rule(fmt.Sprintf("s%02d", i), "a", "up == 0"))
	}
	rules[3].Expr, rules[11].Annotations = "sum(", map[string]string{"summary": "{{ nope }}"}
	c := &Checker{Bin: tooltest.Path(t, "promtool")}
	refused, err := check(t, c, rules)
	if err != nil || len(refused) != 2 {
		t.Fatal(refused, err)
	}
	if why := refused[rules[3].Key()]; !strings.Contains(why, "unclosed left parenthesis") {
		t.Error(why)
	}
	if why := refused[rules[11].Key()]; !strings.Contains(why, `function "nope" not defined`) {
		t.Error(why)
	}
	good := append(rules[:3:3], rules[4:11]...)
	if refused, err := check(t, c, good); err != nil || len(refused) > 0 {
		t.Fatal(refused, err)
	}
}

func TestAFileThatPassedIsNotCheckedAgain(t *testing.T) {
	ran := filepath.Join(t.TempDir(), "ran")
	c := &Checker{Bin: script(t, "echo x >> "+ran)}
	for range 3 {
		if refused, err := check(t, c, []alert.Rule{rule("s", "a", "up")}); err != nil || len(refused) > 0 {
			t.Fatal(refused, err)
		}
	}
	if b, err := os.ReadFile(ran); err != nil || string(b) != "x\n" {
		t.Fatalf("%q %v", b, err)
	}
}

// TestOfManyRulesOnlyTheNewOnesAreChecked, and those that have changed.
func TestOfManyRulesOnlyTheNewOnesAreChecked(t *testing.T) {
	ran := filepath.Join(t.TempDir(), "ran")
	c := &Checker{Bin: script(t, `grep -o 'alert: .*' "$4" | tr '\n' ' ' >> `+ran+"; echo >> "+ran)}
	changed := rule("s", "b", "up == 0")
	changed.Labels = map[string]string{"owner": "s", "team": "bees"}
	for _, rules := range [][]alert.Rule{
		{rule("s", "a", "up"), rule("s", "b", "up"), rule("t", "c", "up")},
		{rule("s", "a", "up"), rule("s", "b", "up == 0"), rule("t", "c", "up")},
		{rule("s", "a", "up"), rule("s", "b", "up == 0"), rule("t", "c", "up")},
		{rule("s", "b", "up == 0"), rule("t", "c", "up")},
		{rule("s", "b", "up == 0"), rule("t", "c", "up"), rule("u", "d", "up")},
		{changed, rule("t", "c", "up"), rule("u", "d", "up")},
		{rule("s", "a", "up"), changed, rule("t", "c", "up"), rule("u", "d", "up")},
	} {
		if refused, err := check(t, c, rules); err != nil || len(refused) > 0 {
			t.Fatal(refused, err)
		}
	}
	want := `alert: "a" alert: "b" alert: "c" ` + `
alert: "b" ` + `
alert: "d" ` + `
alert: "b" ` + `
alert: "a" ` + `
`
	if b, err := os.ReadFile(ran); err != nil || string(b) != want {
		t.Fatalf("%s %v", b, err)
	}
}

// TestABadRuleAmongThoseThatHavePassedIsNamed, and none of them is checked again.
func TestABadRuleAmongThoseThatHavePassedIsNamed(t *testing.T) {
	c := &Checker{Bin: tooltest.Path(t, "promtool")}
	good := []alert.Rule{rule("s", "a", "up"), rule("s", "b", "up"), rule("t", "c", "up")}
	if refused, err := check(t, c, good); err != nil || len(refused) > 0 {
		t.Fatal(refused, err)
	}
	bad := rule("s", "b", "sum(")
	refused, err := check(t, c, []alert.Rule{good[0], bad, good[2]})
	if err != nil || len(refused) != 1 || refused[bad.Key()] == "" {
		t.Fatal(refused, err)
	}
	if refused, err := check(t, c, good); err != nil || len(refused) > 0 {
		t.Fatal(refused, err)
	}
}

func TestACheckerThatDoesNotWorkBlamesNobody(t *testing.T) {
	for name, c := range map[string]*Checker{
		"refuses everything": {Bin: script(t, "exit 1")},
		"crashes":            {Bin: script(t, "exit 2")},
		"is not there":       {Bin: "/nowhere/promtool"},
		"hangs":              {Bin: script(t, "exec sleep 600"), Timeout: 100 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			refused, err := check(t, c, []alert.Rule{rule("s", "a", "up"), rule("s", "b", "up")})
			if err == nil || len(refused) > 0 || errors.As(err, new(*RefusedError)) {
				t.Fatal(refused, err)
			}
		})
	}
}
