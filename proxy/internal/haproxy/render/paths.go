package render

import (
	_ "embed"
	"slices"

	"github.com/haproxytech/client-native/v6/models"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

//go:embed paths.lua
var pathScript string

func pathScriptName() string { return scriptName("paths", pathScript) }

// unusual fits paths whose canonical form may be another: with a character that is encoded,
// or should be, a backslash, a semicolon, a doubled slash or a segment that begins with a dot.
// All others, which are most, cost this one comparison.
const unusual = `[^!-$&-:<-\[\]-~]|/[/.]`

// paths writes the form in which paths are compared into a variable. For the few paths that
// it is not the same for, the path as it was sent is in another.
func (r *rules) paths() {
	r.set("path", "path", always)
	r.add(r.request(models.HTTPRequestRule{Type: "set-var", VarScope: "txn", VarName: "sent", VarExpr: "path"},
		file.If(file.Is(file.Variable("path"), file.W("-m"), file.W("reg"), file.Q(unusual)))))
	r.set("path", "var(txn.sent),lua.waggle_path", always)
}

// otherReading writes the other way to read the path into a variable, if there is one.
func (r *rules) otherReading() {
	r.set("other", "var(txn.sent),lua.waggle_other_path", always)
}

// otherPath holds for requests whose path can be read in another way.
func otherPath() file.Test { return file.Is(file.Variable("other"), bare("-m", "len", "gt", "0")...) }

// mostRaw is how many names stand on a line.
const mostRaw = 40

// ambiguous refuses requests whose path leads elsewhere if it is read in the other way. The
// values of a look-up in rawPaths are those of services that want such requests.
func (r *rules) ambiguous(s Settings, rawPaths []string) {
	for names := range slices.Chunk(rawPaths, mostRaw) {
		r.onRequest(models.HTTPRequestRule{Type: "unset-var", VarScope: "txn", VarName: "other"},
			file.If(otherPath(), file.OneOf(file.Variable("backend"), bare("-m", "str"), names...)))
	}
	r.lookUp(s, "other", "elsewhere", otherPath())
	same := file.Is(file.Always("var(txn.backend),strcmp(txn.elsewhere)"), bare("eq", "0")...)
	r.deny(400, file.If(otherPath(), found("elsewhere"), file.Not(same)))
	r.deny(400, file.If(otherPath(), found("backend"), file.Not(found("elsewhere"))))
}

// mostCompared is how many texts a path is compared with on one line, twice.
const mostCompared = 16

// ambiguousSteps refuses requests of a chain about whose path a condition says something
// else if it is read in the other way.
func (r *rules) ambiguousSteps(is file.Test, c route.Chain) {
	seen := map[string]bool{}
	for _, step := range c.Steps {
		for _, cond := range step.If {
			if cond.Fetch != route.FetchPath || seen[cond.String()] {
				continue
			}
			seen[cond.String()] = true
			for values := range slices.Chunk(cond.Values, mostCompared) {
				part := cond
				part.Values = values
				first, second := test(part, "path"), test(part, "other")
				for _, differ := range [][]file.Test{{first, file.Not(second)}, {file.Not(first), second}} {
					r.add(use(file.Ambiguous, file.If(append([]file.Test{is, otherPath()}, differ...)...)).Brought(longest(step.If)))
				}
			}
		}
	}
}

// comparesPaths reports whether a chain has a condition about the path.
func comparesPaths(c route.Chain) bool {
	return slices.ContainsFunc(c.Steps, func(s route.Step) bool {
		return slices.ContainsFunc(s.If, func(c route.Condition) bool { return c.Fetch == route.FetchPath })
	})
}

// ambiguousLines are those of the backend that refuses them.
func (l *library) ambiguousLines() []file.Line {
	r := &rules{library: l}
	r.deny(400, always)
	return r.lines
}
