package docs

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Facts are what pages are held against.
type Facts struct {
	// Variable tells whether something reads a variable.
	Variable func(name string) bool
	// Defaults are those of settings and of the stack file, by the names of variables.
	Defaults map[string][]string
	// Ports are those that something of ours, or Swarm, listens on.
	Ports map[string]bool
	// Exists tells whether there is a file or folder, by its path in the repository.
	Exists func(path string) bool
	// Command returns what is wrong with a command of a page, empty if nothing is.
	Command func(page, command string) string
}

var (
	variableOf = regexp.MustCompile("`([A-Z][A-Z0-9]*_[A-Z0-9_]+)(?:=[^`]*)?`")
	defaultOf  = regexp.MustCompile("`([A-Z][A-Z0-9_]+)` \\(default `([^`]+)`\\)")
	portOf     = regexp.MustCompile(`(?i)\bports? ((?:\d{2,5}(?:/[a-z+]+)?(?:, | and | or |,)?)+)`)
	number     = regexp.MustCompile(`\d{2,5}`)
	fileOf     = regexp.MustCompile("`((?:compose|docs|listener|proxy|monitor|scaler|pkg|\\.ci|\\.github)/[A-Za-z0-9_./-]+)`")
)

// Wrong returns what a page says that is not so: variables that nothing reads, other defaults,
// ports that nothing listens on, files that are not there, and commands that cannot be called.
func Wrong(page string, f Facts) []string {
	var out []string
	prose := WithoutBlocks(page)
	for _, m := range variableOf.FindAllStringSubmatch(prose, -1) {
		if !f.Variable(m[1]) {
			out = append(out, "nothing reads "+m[1])
		}
	}
	for _, m := range defaultOf.FindAllStringSubmatch(prose, -1) {
		if got := f.Defaults[m[1]]; !slices.Contains(got, m[2]) {
			out = append(out, fmt.Sprintf("the default of %s is %s, not %s", m[1], strings.Join(got, " or "), m[2]))
		}
	}
	blocks := ""
	for _, b := range Blocks(page) {
		blocks += b.Text
	}
	for _, m := range portOf.FindAllStringSubmatch(prose, -1) {
		for _, port := range number.FindAllString(m[1], -1) {
			// A page may choose ports of its own, in its examples.
			if !f.Ports[port] && !regexp.MustCompile(`\b`+port+`\b`).MatchString(blocks) {
				out = append(out, "nothing listens on port "+port)
			}
		}
	}
	for _, m := range fileOf.FindAllStringSubmatch(prose, -1) {
		if path, _, _ := strings.Cut(m[1], "*"); !f.Exists(strings.TrimSuffix(path, "/")) {
			out = append(out, "there is no "+m[1])
		}
	}
	for _, command := range Commands(page) {
		if wrong := f.Command(page, command); wrong != "" {
			out = append(out, command+": "+wrong)
		}
	}
	return out
}
