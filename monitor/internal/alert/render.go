package alert

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	yaml "go.yaml.in/yaml/v3"
)

// text is a string that is written between double quotes whatever it holds, so
// that no reader of YAML takes it for a number, a date or a structure.
type text string

// MarshalYAML is for the yaml package.
func (t text) MarshalYAML() (any, error) {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Style: yaml.DoubleQuotedStyle, Value: string(t)}, nil
}

type rulesFile struct {
	Groups []groupYAML `yaml:"groups"`
}

type groupYAML struct {
	Name text `yaml:"name"`
	// Limit is how many results each rule may have.
	Limit int        `yaml:"limit,omitempty"`
	Rules []ruleYAML `yaml:"rules"`
}

type ruleYAML struct {
	Record      text          `yaml:"record,omitempty"`
	Alert       text          `yaml:"alert,omitempty"`
	Expr        text          `yaml:"expr"`
	For         text          `yaml:"for,omitempty"`
	KeepFiring  text          `yaml:"keep_firing_for,omitempty"`
	Labels      map[text]text `yaml:"labels,omitempty"`
	Annotations map[text]text `yaml:"annotations,omitempty"`
}

func texts(m map[string]string) map[text]text {
	out := make(map[text]text, len(m))
	for k, v := range m {
		out[text(k)] = text(v)
	}
	return out
}

// Render returns the rules file: one group per service, named with its full
// name, groups by name, in each those that record before those that alert, so that alerts see
// what was just recorded, and rules by name. The same rules give the same bytes.
func Render(rules []Rule) ([]byte, error) { return RenderLimited(rules, 0) }

// RenderLimited is Render with a limit to how many results a rule has at once, for services
// that have none of their own: beyond it its evaluation fails. 0 is no limit.
func RenderLimited(rules []Rule, limit int) ([]byte, error) {
	sorted := slices.SortedFunc(slices.Values(rules), func(a, b Rule) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(kind(a), kind(b)), cmp.Compare(a.ID(), b.ID()))
	})
	file := rulesFile{Groups: []groupYAML{}}
	for _, r := range sorted {
		last := len(file.Groups) - 1
		if last < 0 || file.Groups[last].Name != text(r.Service) {
			file.Groups = append(file.Groups, groupYAML{Name: text(r.Service), Limit: cmp.Or(r.Limit, limit)})
			last++
		}
		y := ruleYAML{
			Alert: text(r.Name), Expr: text(r.Expr), For: text(r.For), KeepFiring: text(r.KeepFiring),
			Labels: texts(r.Labels), Annotations: texts(r.Annotations),
		}
		if r.Record {
			y.Record, y.Alert = y.Alert, ""
		}
		file.Groups[last].Rules = append(file.Groups[last].Rules, y)
	}
	if len(file.Groups) == 0 {
		return encode(file)
	}
	// An encoder keeps all that it has written of a document, so that with a thousand groups in
	// one most of its time is spent on copying that.
	b := []byte(head)
	for _, g := range file.Groups {
		one, err := encode(rulesFile{Groups: []groupYAML{g}})
		if err != nil {
			return nil, err
		}
		b = append(b, bytes.TrimPrefix(one, []byte(head))...)
	}
	return b, nil
}

// head is the first line of a file of rules, which the groups follow.
const head = "groups:\n"

// encode writes a file of rules.
func encode(file rulesFile) ([]byte, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(file); err != nil {
		return nil, fmt.Errorf("rules: %w", err)
	}
	if err := e.Close(); err != nil {
		return nil, fmt.Errorf("rules: %w", err)
	}
	return b.Bytes(), nil
}

// kind is the place of a rule among others of its service.
func kind(r Rule) int {
	if r.Record {
		return 0
	}
	return 1
}

// Key identifies what Prometheus is told of a rule: two rules with the same key are the same to it.
func (r Rule) Key() string {
	b, err := Render([]Rule{r})
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
