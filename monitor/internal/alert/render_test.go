package alert

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"strings"
	"testing"

	yaml "go.yaml.in/yaml/v3"
)

// checkFile reads a rendered file as Prometheus does, strictly, and compares it
// with what was meant, rule by rule.
func checkFile(t *testing.T, rules []Rule) {
	t.Helper()
	file, err := Render(rules)
	if err != nil {
		t.Fatal(err)
	}
	var read struct {
		Groups []struct {
			Name  string `yaml:"name"`
			Rules []struct {
				Alert       string            `yaml:"alert"`
				Expr        string            `yaml:"expr"`
				For         string            `yaml:"for"`
				Labels      map[string]string `yaml:"labels"`
				Annotations map[string]string `yaml:"annotations"`
			} `yaml:"rules"`
		} `yaml:"groups"`
	}
	d := yaml.NewDecoder(bytes.NewReader(file))
	d.KnownFields(true)
	if err := d.Decode(&read); err != nil {
		t.Fatalf("%v\n%s", err, file)
	}
	var got []Rule
	names := map[string]bool{}
	for _, g := range read.Groups {
		if names[g.Name] {
			t.Fatalf("group %q twice", g.Name)
		}
		names[g.Name] = true
		for _, r := range g.Rules {
			got = append(got, Rule{Service: g.Name, Name: r.Alert, Expr: r.Expr, For: r.For, Labels: r.Labels, Annotations: r.Annotations})
		}
	}
	sorted := slices.SortedStableFunc(slices.Values(rules), func(a, b Rule) int {
		return cmp.Or(strings.Compare(a.Service, b.Service), strings.Compare(a.Name, b.Name))
	})
	if len(got) != len(sorted) {
		t.Fatalf("%d rules, want %d\n%s", len(got), len(sorted), file)
	}
	for i, want := range sorted {
		if g := got[i]; g.Service != want.Service || g.Name != want.Name || g.Expr != want.Expr || g.For != want.For ||
			!maps.Equal(g.Labels, want.Labels) || !maps.Equal(g.Annotations, want.Annotations) {
			t.Fatalf("rule %d is %+v, want %+v\n%s", i, g, want, file)
		}
	}
}

func TestRenderIsSortedAndStable(t *testing.T) {
	rule := func(service, name string) Rule {
		return Rule{Service: service, Name: name, Expr: "up == 0", Labels: map[string]string{"b": "1", "a": "2", "c": "3"}}
	}
	rules := []Rule{rule("b", "y"), rule("a", "z"), rule("b", "x")}
	first, err := Render(rules)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		slices.Reverse(rules)
		again, err := Render(rules)
		if err != nil || !bytes.Equal(first, again) {
			t.Fatalf("%v\n%s\nand\n%s", err, first, again)
		}
	}
	if !strings.HasPrefix(string(first), "groups:\n  - name: \"a\"\n") {
		t.Fatalf("%s", first)
	}
	if none, err := Render(nil); err != nil || string(none) != "groups: []\n" {
		t.Fatalf("%q %v", none, err)
	}
}

// TestGroupsAreWrittenAsOneFile: that each is encoded by itself is seen nowhere.
func TestGroupsAreWrittenAsOneFile(t *testing.T) {
	rules := []Rule{
		{Service: "shop_web", Name: "a", Expr: "up == 0", For: "1m", Labels: map[string]string{"owner": "shop_web"}},
		{Service: "groups:", Name: "b", Expr: "up\n== 0", Annotations: map[string]string{"summary": "groups:\n- x"}},
		{Service: "shop_web", Name: "c", Expr: "up", Limit: 7},
	}
	got, err := RenderLimited(rules, 3)
	if err != nil {
		t.Fatal(err)
	}
	var whole bytes.Buffer
	e := yaml.NewEncoder(&whole)
	e.SetIndent(2)
	first, second := groupYAML{Name: "groups:", Limit: 3, Rules: []ruleYAML{{Alert: "b", Expr: "up\n== 0", Annotations: map[text]text{"summary": "groups:\n- x"}}}},
		groupYAML{Name: "shop_web", Limit: 3, Rules: []ruleYAML{{Alert: "a", Expr: "up == 0", For: "1m", Labels: map[text]text{"owner": "shop_web"}}, {Alert: "c", Expr: "up"}}}
	if err := e.Encode(rulesFile{Groups: []groupYAML{first, second}}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, whole.Bytes()) {
		t.Errorf("got\n%s\nwant\n%s", got, whole.Bytes())
	}
}
