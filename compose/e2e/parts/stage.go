package parts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/load"
	"github.com/wagglehq/waggle/compose/e2e/stack"
)

// Stage is a deployed Waggle, and what a part that is played on it has to say.
type Stage struct {
	*stack.Stack
	Out    io.Writer
	faults []string
	// logs is where the logs of parts that fail are kept; nowhere if empty.
	logs string
}

// NewStage is a stage whose parts say to out what they have to say.
func NewStage(s *stack.Stack, out io.Writer) *Stage { return &Stage{Stack: s, Out: out} }

// Base is the stage itself, for whoever has a World that embeds it.
func (s *Stage) Base() *Stage { return s }

// Fault notes that something is not as it should be, which makes the part fail.
func (s *Stage) Fault(format string, values ...any) {
	s.faults = append(s.faults, fmt.Sprintf(format, values...))
}

// Faulty tells whether something was not as it should be in this part.
func (s *Stage) Faulty() bool { return len(s.faults) > 0 }

// Say prints a line.
func (s *Stage) Say(format string, values ...any) { fmt.Fprintf(s.Out, "- "+format+"\n", values...) }

// play plays one part and tells whether all was as it should be.
func play[W World](ctx context.Context, w W, p Part[W]) bool {
	s := w.Base()
	began := time.Now()
	fmt.Fprintf(s.Out, "\n## %s: %s\n\n", p.Name, p.What)
	s.faults = nil
	ctx, cancel := context.WithTimeout(ctx, Limit)
	defer cancel()
	if err := p.Play(w, ctx); err != nil {
		s.Fault("it could not be played to its end: %v", err)
	}
	verdict := "PASS"
	if s.Faulty() {
		verdict = "FAIL"
		for _, fault := range s.faults {
			fmt.Fprintf(s.Out, "- FAULT: %s\n", fault)
		}
		s.showLogs(context.WithoutCancel(ctx))
		if s.logs != "" {
			s.keepLogs(context.WithoutCancel(ctx), filepath.Join(s.logs, p.Name))
		}
	}
	fmt.Fprintf(s.Out, "\n%s %s (%d s)\n", verdict, p.Name, int(time.Since(began).Seconds()))
	return !s.Faulty()
}

// rate is how many requests per second flow.
const rate = 200

// Flow sends 200 requests per second to the proxies of all these nodes, half of them on connections
// that are kept alive. What is returned waits for the end and returns the reports.
func (s *Stage) Flow(ctx context.Context, nodes []string, path string) func() (map[string]load.Report, error) {
	var wait sync.WaitGroup
	var mu sync.Mutex // the reports are written by each node's requests
	reports, errs := map[string]load.Report{}, []error{}
	for _, node := range nodes {
		for kind, keepAlive := range map[string]bool{"kept alive": true, "new connections": false} {
			wait.Go(func() {
				r, err := load.Run(ctx, load.Config{
					URL: "http://" + s.Addr(node) + path, Rate: rate / 2 / float64(len(nodes)), Connections: 10, KeepAlive: keepAlive,
					Duration: Limit, Timeout: 10 * time.Second,
				})
				mu.Lock()
				defer mu.Unlock()
				reports[node+", "+kind], errs = r, append(errs, err)
			})
		}
	}
	return func() (map[string]load.Report, error) {
		wait.Wait()
		return reports, errors.Join(errs...)
	}
}
