package docs

import (
	"cmp"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Metric is one metric as the code declares it.
type Metric struct {
	// Component is the one whose name stands in the metric's.
	Component string
	Name      string
	// Type is counter, gauge, histogram or summary.
	Type string
	// Labels are the names of the labels; behind one whose texts the code fixes,
	// those are in Values.
	Labels []string
	Values map[string][]string
	Help   string
}

const (
	module     = "github.com/wagglehq/waggle/"
	prometheus = "github.com/prometheus/client_golang/prometheus"
)

// kindOf returns which kind of metric a structure of options declares, "" if none.
func kindOf(options string) string {
	switch options {
	case "CounterOpts", "GaugeOpts", "HistogramOpts", "SummaryOpts":
		return strings.ToLower(strings.TrimSuffix(options, "Opts"))
	}
	return ""
}

// Metrics returns all metrics that the Go sources under the folders declare, by
// component and name. It reads syntax alone: texts may be literals, constants, their
// sums, parameters of a function that is called in the same package, and fields
// of a parameter whose structure is filled in somewhere with literals. A metric
// whose name, help or labels are anything else is an error, so that none is left out.
func Metrics(tree fs.FS, components []string, folders ...string) ([]Metric, error) {
	s := &sources{files: map[string][]*source{}, fset: token.NewFileSet()}
	for _, folder := range folders {
		if err := s.read(tree, folder); err != nil {
			return nil, err
		}
	}
	found := map[string]Metric{}
	var errs []error
	for _, dir := range slices.Sorted(maps.Keys(s.files)) {
		for _, f := range s.files[dir] {
			for _, d := range s.declarations(f) {
				all, err := d.metrics()
				if err != nil {
					errs = append(errs, fmt.Errorf("%s: %w", s.fset.Position(d.literal.Pos()), err))
				}
				for _, m := range all {
					if err := add(found, m, components); err != nil {
						errs = append(errs, fmt.Errorf("%s: %w", s.fset.Position(d.literal.Pos()), err))
					}
				}
			}
		}
	}
	out := slices.SortedFunc(maps.Values(found), func(a, b Metric) int {
		return cmp.Or(strings.Compare(a.Component, b.Component), strings.Compare(a.Name, b.Name))
	})
	return out, errors.Join(errs...)
}

// add takes a metric in; the same metric may be declared several times with
// other texts of its constant labels.
func add(found map[string]Metric, m Metric, components []string) error {
	i := slices.IndexFunc(components, func(c string) bool { return strings.HasPrefix(m.Name, "waggle_"+c+"_") })
	if i < 0 {
		return fmt.Errorf("metric %s: want a name that begins with waggle_COMPONENT_", m.Name)
	}
	m.Component = components[i]
	old, ok := found[m.Name]
	if !ok {
		found[m.Name] = m
		return nil
	}
	if old.Type != m.Type || old.Help != m.Help || !slices.Equal(old.Labels, m.Labels) {
		return fmt.Errorf("metric %s is declared twice and not alike", m.Name)
	}
	for name, values := range m.Values {
		merged := slices.Concat(old.Values[name], values)
		slices.Sort(merged)
		old.Values[name] = slices.Compact(merged)
	}
	return nil
}

// sources are the files that were read, by folder.
type sources struct {
	fset  *token.FileSet
	files map[string][]*source
}

// source is one file with what its imports are called.
type source struct {
	*ast.File
	dir string
	// imports are the paths by name in the file.
	imports map[string]string
	// parents lead from a node to the one around it.
	parents map[ast.Node]ast.Node
}

func (s *sources) read(tree fs.FS, folder string) error {
	return fs.WalkDir(tree, folder, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "testdata":
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		text, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(s.fset, name, text, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		f := &source{File: file, dir: path.Dir(name), imports: map[string]string{}, parents: map[ast.Node]ast.Node{}}
		for _, i := range file.Imports {
			p, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			as := path.Base(p)
			if i.Name != nil {
				as = i.Name.Name
			}
			f.imports[as] = p
		}
		var stack []ast.Node
		ast.Inspect(file, func(n ast.Node) bool {
			if n == nil {
				stack = stack[:len(stack)-1]
				return true
			}
			if len(stack) > 0 {
				f.parents[n] = stack[len(stack)-1]
			}
			stack = append(stack, n)
			return true
		})
		s.files[f.dir] = append(s.files[f.dir], f)
		return nil
	})
}

// declaration is one literal of options of a metric.
type declaration struct {
	s       *sources
	in      *source
	literal *ast.CompositeLit
	kind    string
}

func (s *sources) declarations(f *source) []declaration {
	var out []declaration
	ast.Inspect(f.File, func(n ast.Node) bool {
		if l, ok := n.(*ast.CompositeLit); ok {
			if kind := kindOf(f.typeIn(l.Type, prometheus)); kind != "" {
				out = append(out, declaration{s, f, l, kind})
			}
		}
		return true
	})
	return out
}

// typeIn returns the name of a type of the imported package, "" for any other.
func (f *source) typeIn(t ast.Expr, imported string) string {
	sel, ok := t.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	if x, ok := sel.X.(*ast.Ident); ok && f.imports[x.Name] == imported {
		return sel.Sel.Name
	}
	return ""
}

// scope is what names mean at one place of a file: the texts of parameters.
type scope struct {
	s  *sources
	in *source
	at ast.Node
	// bound are the texts of parameters and, as "o.Name", of their fields.
	bound map[string]string
}

// metrics returns the metrics that one literal declares: one for each way in which
// the function around it is called.
func (d declaration) metrics() ([]Metric, error) {
	call, ok := d.in.parents[d.literal].(*ast.CallExpr)
	if !ok {
		return nil, errors.New("options of a metric that do not stand in the call that makes it")
	}
	made := d.in.typeIn(call.Fun, prometheus)
	if !strings.HasPrefix(made, "New") {
		return nil, errors.New("options of a metric in a call that is not understood")
	}
	base := scope{d.s, d.in, d.literal, map[string]string{}}
	scopes, err := base.expand(append([]ast.Expr{d.literal}, call.Args[1:]...)...)
	if err != nil {
		return nil, err
	}
	var out []Metric
	for _, sc := range scopes {
		m, err := sc.metric(d.literal, d.kind)
		if err != nil {
			return nil, err
		}
		if strings.HasSuffix(made, "Vec") {
			names, err := sc.list(call.Args[1])
			if err != nil {
				return nil, fmt.Errorf("%s: labels: %w", m.Name, err)
			}
			m.Labels = append(m.Labels, names...)
			slices.Sort(m.Labels)
		}
		out = append(out, m)
	}
	return out, nil
}

func (sc scope) metric(l *ast.CompositeLit, kind string) (Metric, error) {
	m := Metric{Type: kind, Values: map[string][]string{}}
	var parts []string
	for _, field := range []string{"Namespace", "Subsystem", "Name"} {
		if e := fieldOf(l, field); e != nil {
			text, err := sc.text(e)
			if err != nil {
				return m, fmt.Errorf("%s: %w", field, err)
			}
			parts = append(parts, text)
		}
	}
	m.Name = strings.Join(parts, "_")
	help := fieldOf(l, "Help")
	if help == nil {
		return m, fmt.Errorf("metric %s has no help", m.Name)
	}
	var err error
	if m.Help, err = sc.text(help); err != nil {
		return m, fmt.Errorf("%s: Help: %w", m.Name, err)
	}
	fixed := fieldOf(l, "ConstLabels")
	if fixed == nil {
		return m, nil
	}
	labels, ok := sc.follow(fixed).(*ast.CompositeLit)
	if !ok {
		return m, fmt.Errorf("%s: ConstLabels: want a literal", m.Name)
	}
	for _, e := range labels.Elts {
		kv, ok := e.(*ast.KeyValueExpr)
		if !ok {
			return m, fmt.Errorf("%s: ConstLabels: want name and text", m.Name)
		}
		name, err := sc.text(kv.Key)
		if err != nil {
			return m, fmt.Errorf("%s: ConstLabels: %w", m.Name, err)
		}
		value, err := sc.text(kv.Value)
		if err != nil {
			return m, fmt.Errorf("%s: ConstLabels: %w", m.Name, err)
		}
		m.Labels = append(m.Labels, name)
		m.Values[name] = []string{value}
	}
	slices.Sort(m.Labels)
	return m, nil
}

func fieldOf(l *ast.CompositeLit, name string) ast.Expr {
	for _, e := range l.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			if key, ok := kv.Key.(*ast.Ident); ok && key.Name == name {
				return kv.Value
			}
		}
	}
	return nil
}

func (sc scope) list(e ast.Expr) ([]string, error) {
	l, ok := sc.follow(e).(*ast.CompositeLit)
	if !ok {
		return nil, errors.New("want a literal list")
	}
	var out []string
	for _, e := range l.Elts {
		text, err := sc.text(e)
		if err != nil {
			return nil, err
		}
		out = append(out, text)
	}
	return out, nil
}

// text returns the text of an expression.
func (sc scope) text(e ast.Expr) (string, error) {
	switch e := sc.follow(e).(type) {
	case *ast.BasicLit:
		return strconv.Unquote(e.Value)
	case *ast.BinaryExpr:
		if e.Op != token.ADD {
			break
		}
		left, err := sc.text(e.X)
		if err != nil {
			return "", err
		}
		right, err := sc.text(e.Y)
		return left + right, err
	case *ast.Ident:
		if text, ok := sc.bound[e.Name]; ok {
			return text, nil
		}
		return "", fmt.Errorf("the text of %s is not known", e.Name)
	case *ast.SelectorExpr:
		x, ok := e.X.(*ast.Ident)
		if !ok {
			break
		}
		if text, ok := sc.bound[x.Name+"."+e.Sel.Name]; ok {
			return text, nil
		}
		if dir, ok := strings.CutPrefix(sc.in.imports[x.Name], module); ok {
			if value, f := sc.s.constant(dir, e.Sel.Name); value != nil {
				return scope{sc.s, f, value, nil}.text(value)
			}
		}
		return "", fmt.Errorf("the text of %s.%s is not known", x.Name, e.Sel.Name)
	}
	return "", errors.New("an expression that is not understood")
}

// follow replaces the name of a constant, or of a local variable, by what it stands for.
func (sc scope) follow(e ast.Expr) ast.Expr {
	id, ok := ast.Unparen(e).(*ast.Ident)
	if !ok {
		return ast.Unparen(e)
	}
	if _, bound := sc.bound[id.Name]; bound {
		return id
	}
	for n := sc.in.parents[sc.at]; n != nil; n = sc.in.parents[n] {
		block, ok := n.(*ast.BlockStmt)
		if !ok {
			continue
		}
		for _, stmt := range block.List {
			if a, ok := stmt.(*ast.AssignStmt); ok && a.Tok == token.DEFINE && len(a.Lhs) == len(a.Rhs) {
				for i, left := range a.Lhs {
					if l, ok := left.(*ast.Ident); ok && l.Name == id.Name {
						return ast.Unparen(a.Rhs[i])
					}
				}
			}
		}
	}
	if value, _ := sc.s.constant(sc.in.dir, id.Name); value != nil {
		return value
	}
	return id
}

// constant finds a constant of a package, nil if there is none.
func (s *sources) constant(dir, name string) (ast.Expr, *source) {
	for _, f := range s.files[dir] {
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST {
				continue
			}
			for _, spec := range g.Specs {
				v := spec.(*ast.ValueSpec)
				for i, id := range v.Names {
					if id.Name == name && i < len(v.Values) {
						return v.Values[i], f
					}
				}
			}
		}
	}
	return nil, nil
}

// expand binds the parameters, of the functions around the place, that the
// expressions name. It returns one scope for each set of texts.
func (sc scope) expand(exprs ...ast.Expr) ([]scope, error) {
	scopes := []scope{sc}
	for n := sc.in.parents[sc.at]; n != nil; n = sc.in.parents[n] {
		fn, params := function(n)
		if fn == nil {
			continue
		}
		used := sc.used(params, exprs)
		if len(used) == 0 {
			continue
		}
		ways, err := sc.ways(fn, params, used)
		if err != nil {
			return nil, err
		}
		var next []scope
		for _, old := range scopes {
			for _, way := range ways {
				bound := maps.Clone(old.bound)
				maps.Copy(bound, way)
				next = append(next, scope{sc.s, sc.in, sc.at, bound})
			}
		}
		scopes = next
	}
	return scopes, nil
}

func function(n ast.Node) (ast.Node, []*ast.Field) {
	switch f := n.(type) {
	case *ast.FuncDecl:
		return f, f.Type.Params.List
	case *ast.FuncLit:
		return f, f.Type.Params.List
	}
	return nil, nil
}

// used returns, by parameter, the fields that the expressions read, "" for the parameter itself.
func (sc scope) used(params []*ast.Field, exprs []ast.Expr) map[string][]string {
	names := map[string]bool{}
	for _, p := range params {
		for _, id := range p.Names {
			names[id.Name] = true
		}
	}
	out := map[string][]string{}
	var visit func(ast.Node) bool
	visit = func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.KeyValueExpr:
			if _, ok := n.Key.(*ast.Ident); !ok {
				ast.Inspect(n.Key, visit)
			}
			ast.Inspect(n.Value, visit)
			return false
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && names[x.Name] {
				out[x.Name] = append(out[x.Name], n.Sel.Name)
			}
			return false
		case *ast.Ident:
			switch to := sc.follow(n); {
			case names[n.Name]:
				out[n.Name] = append(out[n.Name], "")
			case to != ast.Expr(n):
				ast.Inspect(to, visit)
			}
		}
		return true
	}
	for _, e := range exprs {
		ast.Inspect(e, visit)
	}
	return out
}

// ways returns the texts of the used parameters at every call of a function.
func (sc scope) ways(fn ast.Node, params []*ast.Field, used map[string][]string) ([]map[string]string, error) {
	index, types := 0, map[string]ast.Expr{}
	position := map[string]int{}
	for _, p := range params {
		for _, id := range p.Names {
			position[id.Name], types[id.Name] = index, p.Type
			index++
		}
	}
	ways := []map[string]string{{}}
	var direct []string
	for _, name := range slices.Sorted(maps.Keys(used)) {
		if slices.Contains(used[name], "") {
			direct = append(direct, name)
			continue
		}
		filled, err := sc.filled(types[name], name, used[name])
		if err != nil {
			return nil, err
		}
		ways = product(ways, filled)
	}
	if len(direct) == 0 {
		return ways, nil
	}
	called := sc.nameOf(fn)
	if called == "" {
		return nil, fmt.Errorf("%s: parameter of a function without a name", strings.Join(direct, ", "))
	}
	var calls []map[string]string
	for _, f := range sc.s.files[sc.in.dir] {
		var failed error
		ast.Inspect(f.File, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || failed != nil {
				return true
			}
			if id, ok := call.Fun.(*ast.Ident); !ok || id.Name != called || len(call.Args) != index {
				return true
			}
			way := map[string]string{}
			for _, name := range direct {
				text, err := scope{sc.s, f, call, map[string]string{}}.text(call.Args[position[name]])
				if err != nil {
					failed = fmt.Errorf("call of %s at %s: %w", called, sc.s.fset.Position(call.Pos()), err)
				}
				way[name] = text
			}
			calls = append(calls, way)
			return true
		})
		if failed != nil {
			return nil, failed
		}
	}
	if len(calls) == 0 {
		return nil, fmt.Errorf("no call of %s was found", called)
	}
	return product(ways, calls), nil
}

func product(a, b []map[string]string) []map[string]string {
	var out []map[string]string
	for _, x := range a {
		for _, y := range b {
			both := maps.Clone(x)
			maps.Copy(both, y)
			out = append(out, both)
		}
	}
	return out
}

// nameOf returns how a function is called, "" if it has no name.
func (sc scope) nameOf(fn ast.Node) string {
	if d, ok := fn.(*ast.FuncDecl); ok {
		return d.Name.Name
	}
	if a, ok := sc.in.parents[fn].(*ast.AssignStmt); ok && len(a.Lhs) == 1 {
		if id, ok := a.Lhs[0].(*ast.Ident); ok {
			return id.Name
		}
	}
	return ""
}

// filled returns the texts of fields of a structure wherever it is filled in. Where
// some set a field Registry, the others keep no metrics and do not count.
func (sc scope) filled(t ast.Expr, param string, fields []string) ([]map[string]string, error) {
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	id, ok := t.(*ast.Ident)
	if !ok {
		return nil, fmt.Errorf("parameter %s: want a structure of its own package", param)
	}
	type place struct {
		in      *source
		literal *ast.CompositeLit
	}
	var all, registered []place
	for _, dir := range slices.Sorted(maps.Keys(sc.s.files)) {
		for _, f := range sc.s.files[dir] {
			ast.Inspect(f.File, func(n ast.Node) bool {
				if l, ok := n.(*ast.CompositeLit); ok && f.is(l.Type, sc.in.dir, id.Name) {
					all = append(all, place{f, l})
					if fieldOf(l, "Registry") != nil {
						registered = append(registered, place{f, l})
					}
				}
				return true
			})
		}
	}
	if len(registered) > 0 {
		all = registered
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s is filled in nowhere", id.Name)
	}
	var out []map[string]string
	for _, p := range all {
		ways, err := scope{sc.s, p.in, p.literal, map[string]string{}}.fields(p.literal, param, fields)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", sc.s.fset.Position(p.literal.Pos()), err)
		}
		out = append(out, ways...)
	}
	return out, nil
}

// is tells whether a type is that of a package's folder.
func (f *source) is(t ast.Expr, dir, name string) bool {
	if id, ok := t.(*ast.Ident); ok {
		return f.dir == dir && id.Name == name
	}
	return f.typeIn(t, module+dir) == name
}

func (sc scope) fields(l *ast.CompositeLit, param string, fields []string) ([]map[string]string, error) {
	var exprs []ast.Expr
	for _, name := range fields {
		e := fieldOf(l, name)
		if e == nil {
			return nil, fmt.Errorf("%s is not set", name)
		}
		exprs = append(exprs, e)
	}
	scopes, err := sc.expand(exprs...)
	if err != nil {
		return nil, err
	}
	var out []map[string]string
	for _, one := range scopes {
		way := map[string]string{}
		for i, name := range fields {
			text, err := one.text(exprs[i])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			way[param+"."+name] = text
		}
		out = append(out, way)
	}
	return out, nil
}
