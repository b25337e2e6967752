package acceptance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"
)

// Runner runs cases.
type Runner struct {
	// Proxy and HAProxy are the paths of the programs.
	Proxy, HAProxy string
	// Parallel is how many cases run at a time; 0 is as many as there are processors.
	Parallel int
	// Log receives the end of the proxy's log of each case that fails, and may be nil.
	Log io.Writer
}

// Result is what came of a case.
type Result struct {
	Case Case
	// Err is why it failed, nil if it passed.
	Err  error
	Took time.Duration
}

// String is the line that is printed: PASS or FAIL, id, title and reason.
func (r Result) String() string {
	word, reason := "PASS", r.Took.Round(10*time.Millisecond).String()
	if r.Err != nil {
		word, reason = "FAIL", r.Err.Error()
	}
	return fmt.Sprintf("%s %s %s: %s", word, oneLine(r.Case.ID), oneLine(r.Case.Title), oneLine(reason))
}

// oneLine makes one line of a text, and a short one of a long one.
func oneLine(text string) string {
	const most = 600
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > most {
		text = text[:most] + "..."
	}
	return text
}

// caseLimit bounds a case, its sleeps included.
const caseLimit = 5 * time.Minute

// job is what the process of a case is told.
type job struct {
	Case                 json.RawMessage
	Proxy, HAProxy, Path string
	// Files are the test's own certificates and keys.
	Files map[string][]byte
}

// verdict is what it answers.
type verdict struct {
	Reason string
	// Log is the end of the proxy's.
	Log string
}

// asCase is the variable that makes this program the process of a case.
const asCase = "WAGGLE_ACCEPTANCE_CASE"

// Main must be the first thing that a program does that uses Run: it does not return
// in the process of a case.
func Main() {
	if os.Getenv(asCase) == "" {
		return
	}
	var j job
	err := json.NewDecoder(os.Stdin).Decode(&j)
	if err == nil {
		err = play(context.Background(), j)
	}
	var v verdict
	if err != nil {
		v.Reason = err.Error()
		v.Log = logEnd()
	}
	if err := json.NewEncoder(os.Stdout).Encode(v); err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

// logEnd is the end of the proxy's log, if there is one yet.
func logEnd() string {
	const most = 6000
	text, err := os.ReadFile(proxyLog)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-most):])
}

// play runs a case in its own process.
func play(ctx context.Context, j job) error {
	if err := enter(); err != nil {
		return fmt.Errorf("namespaces: %w", err)
	}
	s, err := parse(j.Case)
	if err != nil {
		return err
	}
	w, err := openWorld(ctx, j, s)
	if err != nil {
		return err
	}
	var patience time.Duration
	for i, st := range s.steps {
		fault := func(err error) error { return fmt.Errorf("step %d, %s: %w", i+1, st.what, err) }
		if st.pause > 0 {
			// A sleep is the upper bound of a poll where the next step can be tried again.
			if i+1 < len(s.steps) && s.steps[i+1].polled {
				patience = st.pause
				continue
			}
			if err := wait(ctx, st.pause); err != nil {
				return fault(err)
			}
			continue
		}
		try := func(ctx context.Context) error { return st.do(ctx, w) }
		if patience > 0 {
			err = w.poll(ctx, patience, try)
			patience = 0
		} else {
			err = try(ctx)
		}
		if err != nil {
			return fault(err)
		}
	}
	select {
	case <-w.ended:
		return fmt.Errorf("the proxy ended: %w", w.how)
	default:
		return nil
	}
}

// Run runs the cases and calls tell with each result, in the order of the cases. Its
// error says how many did not pass, or why none was run.
func (r Runner) Run(ctx context.Context, cases []Case, tell func(Result)) error {
	if os.Geteuid() != 0 {
		return errors.New("acceptance: the namespaces of the cases need root; run it as root")
	}
	files, err := certificates()
	if err != nil {
		return err
	}
	parallel := r.Parallel
	if parallel <= 0 {
		parallel = runtime.NumCPU()
	}
	turn := make(chan struct{}, parallel)
	results := make([]chan Result, len(cases))
	for i := range cases {
		results[i] = make(chan Result, 1)
	}
	var workers sync.WaitGroup
	defer workers.Wait()
	go func() {
		for i, c := range cases {
			turn <- struct{}{}
			workers.Go(func() {
				defer func() { <-turn }()
				results[i] <- r.one(ctx, c, files)
			})
		}
	}()
	failed := 0
	for _, ch := range results {
		res := <-ch
		if res.Err != nil {
			failed++
		}
		tell(res)
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d cases failed", failed, len(cases))
	}
	return nil
}

// one runs one case in a process of its own.
func (r Runner) one(ctx context.Context, c Case, files map[string][]byte) Result {
	began := time.Now()
	res := Result{Case: c, Err: c.fault}
	if res.Err == nil {
		res.Err = r.process(ctx, c, files)
	}
	res.Took = time.Since(began)
	return res
}

func (r Runner) process(ctx context.Context, c Case, files map[string][]byte) error {
	ctx, cancel := context.WithTimeoutCause(ctx, caseLimit, fmt.Errorf("it took longer than %v", caseLimit))
	defer cancel()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	input, err := json.Marshal(job{Case: c.raw, Proxy: r.Proxy, HAProxy: r.HAProxy, Path: os.Getenv("PATH"), Files: files})
	if err != nil {
		return err
	}
	// The kernel ends the case when the thread that started it ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), asCase+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &out, &errOut
	cmd.SysProcAttr = isolation()
	cmd.WaitDelay = 5 * time.Second
	err = cmd.Run()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("the case's process: %w: %s", err, errOut.String())
	}
	var v verdict
	if err := json.Unmarshal(out.Bytes(), &v); err != nil {
		return fmt.Errorf("the case's process said %q: %w", out.String(), err)
	}
	if v.Reason == "" {
		return nil
	}
	if r.Log != nil {
		fmt.Fprintf(r.Log, "---- %s, the proxy's log ends with:\n%s\n", c.ID, v.Log)
	}
	return errors.New(v.Reason)
}

// Build compiles the proxy into a folder and returns its path. It must be called
// within the workspace.
func Build(ctx context.Context, folder string) (string, error) {
	path := filepath.Join(folder, "waggle-proxy")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, "github.com/wagglehq/waggle/proxy/cmd/proxy")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the proxy: %w\n%s", err, out)
	}
	return path, nil
}
