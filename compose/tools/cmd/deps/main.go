// Deps reads 'go list -json' from its input and fails if a package imports what it must
// not. With -files it fails if a file of a package refers to one above it, and needs what
// -deps and -export add to the list; with -draw it draws the rooms of a service.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/wagglehq/waggle/compose/tools/deps"
)

func main() {
	files := flag.Bool("files", false, "look at the files within packages")
	draw := flag.String("draw", "", "the service whose rooms are drawn")
	flag.Parse()
	err := run(os.Stdin, os.Stdout, *files, *draw)
	if err != nil {
		fmt.Fprintln(os.Stderr, "deps:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer, files bool, draw string) error {
	if files {
		return checkFiles(in)
	}
	packages, err := read[deps.Package](in)
	if err != nil {
		return err
	}
	if draw != "" {
		_, err := fmt.Fprint(out, deps.Draw(packages, draw))
		return err
	}
	return joined(deps.Check(packages))
}

func checkFiles(in io.Reader) error {
	all, err := read[deps.Compiled](in)
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range all {
		if !deps.Ordered(p) {
			continue
		}
		upward, err := deps.Files(p, all)
		errs = append(errs, err, joined(upward))
	}
	if len(errs) == 0 {
		return errors.New("there is no package with an order of its files")
	}
	return errors.Join(errs...)
}

// joined is an error of several, nil without one.
func joined[T fmt.Stringer](list []T) error {
	var errs []error
	for _, one := range list {
		errs = append(errs, errors.New(one.String()))
	}
	return errors.Join(errs...)
}

// read decodes a list of packages.
func read[T any](r io.Reader) ([]T, error) {
	var packages []T
	for d := json.NewDecoder(r); ; {
		var p T
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		packages = append(packages, p)
	}
	// An empty list would pass every rule.
	if len(packages) == 0 {
		return nil, errors.New("there is no package to check")
	}
	return packages, nil
}
