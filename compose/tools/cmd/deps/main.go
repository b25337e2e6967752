// Deps reads 'go list -json' from its input and fails if a package imports what
// it must not.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/wagglehq/waggle/compose/tools/deps"
)

func main() {
	offences, err := check(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, "deps:", err)
		os.Exit(1)
	}
	for _, o := range offences {
		fmt.Fprintln(os.Stderr, "deps:", o)
	}
	if len(offences) > 0 {
		os.Exit(1)
	}
}

func check(r io.Reader) ([]deps.Offence, error) {
	var packages []deps.Package
	for d := json.NewDecoder(r); ; {
		var p deps.Package
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
	return deps.Check(packages), nil
}
