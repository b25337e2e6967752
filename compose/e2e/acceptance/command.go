package acceptance

import (
	"context"
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
func Command(ctx context.Context, args []string, out, errOut io.Writer) int {
	fs := flag.NewFlagSet("acceptance", flag.ContinueOnError)
	fs.SetOutput(errOut)
	only := fs.String("run", "", "ids of the cases to run, separated by commas; empty: all")
	haproxy := fs.String("haproxy", "haproxy", "HAProxy's program")
	var r Runner
	fs.StringVar(&r.Proxy, "proxy", "", "the proxy's program; empty: it is built")
	fs.IntVar(&r.Parallel, "parallel", 0, "how many cases run at a time; 0: one for each processor")
	verbose := fs.Bool("v", false, "print the end of the proxy's log of each case that fails")
	if err := fs.Parse(args); err != nil {
		return 2
	}
	if fs.NArg() == 0 {
		fmt.Fprintln(errOut, "acceptance: want the path of a file with cases")
		return 2
	}
	if *verbose {
		r.Log = errOut
	}
	began := time.Now()
	cases, err := choose(fs.Args(), *only)
	if err == nil {
		err = r.find(ctx, *haproxy, func() error {
			return r.Run(ctx, cases, func(res Result) { fmt.Fprintln(out, res) })
		})
	}
	if err != nil {
		fmt.Fprintln(errOut, "acceptance:", err)
		return 1
	}
	fmt.Fprintf(errOut, "all %d cases passed, %s\n", len(cases), time.Since(began).Round(100*time.Millisecond))
	return 0
}

// find finds HAProxy, builds the proxy if it is not given, and calls do.
func (r *Runner) find(ctx context.Context, haproxy string, do func() error) error {
	path, err := exec.LookPath(haproxy)
	if err != nil {
		return fmt.Errorf("%w; 'make setup' installs it", err)
	}
	if r.HAProxy, err = filepath.Abs(path); err != nil {
		return err
	}
	if r.Proxy == "" {
		folder, err := os.MkdirTemp("", "acceptance")
		if err != nil {
			return err
		}
		defer os.RemoveAll(folder)
		if r.Proxy, err = Build(ctx, folder); err != nil {
			return err
		}
	}
	if r.Proxy, err = filepath.Abs(r.Proxy); err != nil {
		return err
	}
	return do()
}

// choose returns the cases of all files, or those of them that are named.
func choose(paths []string, only string) ([]Case, error) {
	var cases []Case
	for _, path := range paths {
		more, err := ReadFile(path)
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
