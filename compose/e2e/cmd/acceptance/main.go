// Command acceptance runs black-box cases of the components from files, and prints one
// line for each: PASS or FAIL, id, title and reason. With "agrees" before all arguments it
// compares what waggle lint says of each deployment with what the component does; a file of
// stacks of users is taken too. With "rounds N" it ends scalers while they scale, N times.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"github.com/wagglehq/waggle/compose/e2e/acceptance"
	"github.com/wagglehq/waggle/compose/e2e/acceptance/listenercase"
	"github.com/wagglehq/waggle/compose/e2e/acceptance/monitorcase"
	"github.com/wagglehq/waggle/compose/e2e/acceptance/proxycase"
	"github.com/wagglehq/waggle/compose/e2e/acceptance/scalercase"
	"github.com/wagglehq/waggle/compose/e2e/acceptance/whycase"
)

func main() {
	forms := []acceptance.Form{proxycase.Form(), monitorcase.Form(), scalercase.Form(), listenercase.Form(), whycase.Form()}
	agreements := []acceptance.Form{proxycase.Agreement(), monitorcase.Agreement(), scalercase.Agreement()}
	acceptance.Main(append(forms, agreements...)...)
	os.Exit(run(forms, agreements))
}

// run runs the cases, and returns the exit code.
func run(forms, agreements []acceptance.Form) int {
	folder, err := os.MkdirTemp("", "cases")
	if err != nil {
		fmt.Fprintln(os.Stderr, "acceptance:", err)
		return 1
	}
	defer os.RemoveAll(folder)
	args := os.Args[1:]
	switch {
	case len(args) > 0 && args[0] == "agrees":
		forms = agreements
		args, err = asCases(args[1:], folder)
	case len(args) > 1 && args[0] == "rounds":
		var path string
		path, err = rounds(args[1], folder)
		args = append(args[2:], path)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "acceptance:", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return acceptance.Command(ctx, forms, args, os.Stdout, os.Stderr)
}

// asCases replaces the files of stacks of users among arguments by files of cases in a folder.
func asCases(args []string, folder string) ([]string, error) {
	out := slices.Clone(args)
	for i, arg := range out {
		text, err := os.ReadFile(arg)
		if err != nil {
			continue // a flag, or one that is named when it is read as cases
		}
		cases, isStacks, err := proxycase.FromStacks(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", arg, err)
		}
		if isStacks {
			out[i] = filepath.Join(folder, fmt.Sprintf("%d.json", i))
			if err := os.WriteFile(out[i], cases, 0o600); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// rounds writes a file of cases with so many rounds into a folder, and returns its path.
func rounds(text, folder string) (string, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return "", fmt.Errorf("rounds %q: want a whole number, 1 or more", text)
	}
	cases, err := scalercase.Rounds(n)
	if err != nil {
		return "", err
	}
	path := filepath.Join(folder, "rounds.json")
	return path, os.WriteFile(path, cases, 0o600)
}
