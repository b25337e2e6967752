package deps

import (
	"cmp"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Compiled is a package with its files; the names are those of 'go list -json -export'.
type Compiled struct {
	ImportPath, Dir string
	GoFiles         []string
	// Export is the file with what others see of the package.
	Export string
}

// Upward are the references from one file to another that stands above it.
type Upward struct {
	Package, From, To string
	// Names are what is referred to, sorted.
	Names []string
}

func (u Upward) String() string {
	return fmt.Sprintf("%s: %s refers to %s, which stands above it, by %s", u.Package, u.From, u.To, strings.Join(u.Names, ", "))
}

// filesMark begins the sentence of a package comment that names the files of the package,
// each before those that it refers to.
const filesMark = "Files from top to bottom:"

// Ordered reports whether the files of a package have an order: of those that turn routes
// into a running HAProxy, all that have more than one file.
func Ordered(p Compiled) bool {
	return strings.HasPrefix(p.ImportPath, prefix+"proxy/internal/haproxy/") && len(p.GoFiles) > 1
}

// orderOf is the order that the comment of a package gives its files.
func orderOf(files []*ast.File, p Compiled) ([]string, error) {
	for _, f := range files {
		_, list, ok := strings.Cut(f.Doc.Text(), filesMark)
		if !ok {
			continue
		}
		list, _, _ = strings.Cut(list, "\n\n")
		order := strings.FieldsFunc(strings.TrimSuffix(strings.TrimSpace(list), "."), func(r rune) bool { return r == ',' || r == ' ' || r == '\n' })
		var errs []error
		for _, name := range p.GoFiles {
			if !slices.Contains(order, name) {
				errs = append(errs, fmt.Errorf("%s: the list of files in its comment leaves out %s", p.ImportPath, name))
			}
		}
		for i, name := range order {
			if !slices.Contains(p.GoFiles, name) || slices.Index(order, name) < i {
				errs = append(errs, fmt.Errorf("%s: the list of files in its comment names %s, which is not there, or twice", p.ImportPath, name))
			}
		}
		return order, errors.Join(errs...)
	}
	return nil, fmt.Errorf("%s: its comment names no order: want a part that begins with %q", p.ImportPath, filesMark)
}

// Files returns the references between the files of a package that run against the order
// in its comment. all are the packages that it imports, directly or not.
func Files(p Compiled, all []Compiled) ([]Upward, error) {
	exports := map[string]string{}
	for _, c := range all {
		exports[c.ImportPath] = c.Export
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	order, err := orderOf(files, p)
	if err != nil {
		return nil, err
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		if exports[path] == "" {
			return nil, fmt.Errorf("%s: go list has told no export data", path)
		}
		return os.Open(exports[path])
	})}
	if _, err := config.Check(p.ImportPath, fset, files, info); err != nil {
		return nil, err
	}
	place := func(pos token.Pos) string { return filepath.Base(fset.Position(pos).Filename) }
	found := map[[2]string]map[string]bool{}
	for ident, object := range info.Uses {
		if object.Pkg() == nil || object.Pkg().Path() != p.ImportPath {
			continue
		}
		from, to := place(ident.Pos()), place(object.Pos())
		if slices.Index(order, from) <= slices.Index(order, to) {
			continue
		}
		key := [2]string{from, to}
		if found[key] == nil {
			found[key] = map[string]bool{}
		}
		found[key][object.Name()] = true
	}
	var out []Upward
	for key, names := range found {
		out = append(out, Upward{p.ImportPath, key[0], key[1], slices.Sorted(maps.Keys(names))})
	}
	slices.SortFunc(out, func(a, b Upward) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To)) })
	return out, nil
}
