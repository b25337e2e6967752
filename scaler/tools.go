package scaler

import (
	"fmt"
	"io"
	"os"

	"github.com/wagglehq/waggle/pkg/app"
)

// Tools are what the scaler's program does besides being the scaler.
func Tools() []app.Tool { return []app.Tool{keepTool(), simulateTool()} }

// maxFile is the largest file that a tool reads.
const maxFile = 16 << 20

// readFile reads the file that is a tool's first argument; - is the standard input.
func readFile(c app.Call) (content []byte, err error) {
	in := c.In
	if c.Args[0] != "-" {
		f, err := os.Open(c.Args[0])
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	content, err = io.ReadAll(io.LimitReader(in, maxFile+1))
	if err == nil && len(content) > maxFile {
		err = fmt.Errorf("more than %d MiB", maxFile>>20)
	}
	return content, err
}
