package acceptance

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Command is the program: it runs the cases of the files named in args, prints one
// line for each to out and everything else to errOut. It returns the exit code: 0 if
// all passed, 1 if one did not or something is missing, 2 for a wrong command line.
func Command(ctx context.Context, forms []Form, args []string, out, errOut io.Writer) int {
	fs := flag.NewFlagSet("acceptance", flag.ContinueOnError)
	fs.SetOutput(errOut)
	only := fs.String("run", "", "ids of the cases to run, separated by commas; empty: all")
	list := fs.Bool("forms", false, "say which forms of cases are known, and exit")
	verbose := fs.Bool("v", false, "print the end of the component's log of each case that fails")
	r := Runner{Forms: forms, Programs: map[string]string{}}
	fs.IntVar(&r.Parallel, "parallel", 0, "how many cases run at a time; 0: one for each processor")
	given := map[string]*string{}
	for _, f := range forms {
		for _, name := range slices.Concat(f.Builds, f.Tools) {
			if given[name] == nil {
				given[name] = fs.String(name, "", "program of "+name+"; empty: it is built, or found")
			}
		}
	}
	if err := fs.Parse(args); err != nil {
		return 2
	}
	if *list {
		fmt.Fprintln(out, known(forms))
		return 0
	}
	if fs.NArg() == 0 {
		fmt.Fprintln(errOut, "acceptance: want the path of a file with cases;", known(forms))
		return 2
	}
	if *verbose {
		r.Log = errOut
	}
	for name, path := range given {
		r.Programs[name] = *path
	}
	began := time.Now()
	var all []Result
	n, err := r.files(ctx, fs.Args(), *only, func(res Result) {
		all = append(all, res)
		fmt.Fprintln(out, res)
	})
	if len(all) > 0 && all[0].Case.form.Last != nil {
		fmt.Fprintln(out, all[0].Case.form.Last(all))
	}
	if err != nil {
		fmt.Fprintln(errOut, "acceptance:", err)
		return 1
	}
	fmt.Fprintf(errOut, "all %d cases passed, %s\n", n, time.Since(began).Round(100*time.Millisecond))
	return 0
}

// files runs the cases of files, or those of them that are named, and returns how many
// there were.
func (r Runner) files(ctx context.Context, paths []string, only string, tell func(Result)) (n int, err error) {
	cases, err := choose(r.Forms, paths, only)
	if err != nil {
		return 0, err
	}
	folder, err := os.MkdirTemp("", "acceptance")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(folder)
	for _, c := range cases {
		if c.fault != nil {
			continue // it needs nothing to fail
		}
		for _, name := range c.form.Tools {
			path, err := exec.LookPath(cmp.Or(r.Programs[name], name))
			if err != nil {
				return 0, fmt.Errorf("%w; 'make setup' installs it", err)
			}
			r.Programs[name] = path
		}
		for _, name := range c.form.Builds {
			if r.Programs[name] == "" {
				if r.Programs[name], err = Build(ctx, folder, name); err != nil {
					return 0, err
				}
			}
		}
	}
	for name, path := range r.Programs {
		if path != "" {
			absolute, errPath := filepath.Abs(path)
			r.Programs[name], err = absolute, errors.Join(err, errPath)
		}
	}
	if err != nil {
		return 0, err
	}
	return len(cases), r.Run(ctx, cases, tell)
}

// choose returns the cases of all files, or those of them that are named.
func choose(forms []Form, paths []string, only string) ([]Case, error) {
	var cases []Case
	for _, path := range paths {
		more, err := ReadFile(path, forms...)
		if err != nil {
			return nil, err
		}
		cases = append(cases, more...)
	}
	if only == "" {
		return cases, nil
	}
	var chosen []Case
	for id := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(cases, func(c Case) bool { return c.ID == id })
		if i < 0 {
			return nil, fmt.Errorf("there is no case %q", id)
		}
		chosen = append(chosen, cases[i])
	}
	return chosen, nil
}
