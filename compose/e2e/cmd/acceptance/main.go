// Command acceptance runs black-box cases of the components from files, and prints one
// line for each: PASS or FAIL, id, title and reason. With "agrees" before all arguments it
// compares what waggle lint says of each deployment with what the component does; a file of
// stacks of users is taken too.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
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
	args := os.Args[1:]
	if len(args) > 0 && args[0] == "agrees" {
		folder, err := os.MkdirTemp("", "stacks")
		if err == nil {
			args, err = asCases(args[1:], folder)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "acceptance:", err)
			return 1
		}
		defer os.RemoveAll(folder)
		forms = agreements
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
