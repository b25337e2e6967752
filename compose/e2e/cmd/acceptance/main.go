// Command acceptance runs black-box cases of the components from files, and prints one
// line for each: PASS or FAIL, id, title and reason. With "agrees" before all arguments it
// compares the cases of the proxy with what waggle lint says of each deployment, with
// "rounds N" it ends scalers while they scale, N times.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
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
	acceptance.Main(append(forms, proxycase.Agreement())...)
	args, remove := os.Args[1:], func() {}
	if len(args) > 0 && args[0] == "agrees" {
		forms, args = []acceptance.Form{proxycase.Agreement()}, args[1:]
	}
	if len(args) > 1 && args[0] == "rounds" {
		path, err := rounds(args[1])
		if err != nil {
			fmt.Fprintln(os.Stderr, "acceptance:", err)
			os.Exit(2)
		}
		remove = func() { _ = os.Remove(path) }
		args = append(args[2:], path)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := acceptance.Command(ctx, forms, args, os.Stdout, os.Stderr)
	stop()
	remove()
	os.Exit(code)
}

// rounds writes a file of cases with so many rounds, and returns its path.
func rounds(text string) (string, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return "", fmt.Errorf("rounds %q: want a whole number, 1 or more", text)
	}
	cases, err := scalercase.Rounds(n)
	if err != nil {
		return "", err
	}
	f, err := os.CreateTemp("", "rounds")
	if err != nil {
		return "", err
	}
	_, err = f.Write(cases)
	return f.Name(), errors.Join(err, f.Close())
}
