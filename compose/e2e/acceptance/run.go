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
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wagglehq/waggle/pkg/tooltest"
)

// Runner runs cases.
type Runner struct {
	// Forms are those that cases may have.
	Forms []Form
	// Programs are the paths of the forms' components and tools, by name.
	Programs map[string]string
	// Parallel is how many cases run at a time; 0 is as many as there are processors.
	Parallel int
	// Log receives the end of the component's log of each case that fails, and may be nil.
	Log io.Writer
}

// Result is what came of a case.
type Result struct {
	Case Case
	// Err is why it failed, nil if it passed.
	Err  error
	Took time.Duration
	// log is the end of the component's log, if the case failed.
	log string
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

// pollEvery is how often a step is tried, StepLimit how long until a change is in force.
const (
	pollEvery = 10 * time.Millisecond
	StepLimit = 10 * time.Second
)

// caseLimit bounds a case, its sleeps included.
const caseLimit = 5 * time.Minute

// Job is what the process of a case is given.
type Job struct {
	Form string
	Case json.RawMessage
	// Programs are paths by name; Path is the variable.
	Programs map[string]string
	Path     string
	// Files are the test's own certificates and keys.
	Files map[string][]byte
}

// verdict is what it answers.
type verdict struct {
	Reason string
	// Log is the end of the component's.
	Log string
}

// asCase is the variable that makes this program the process of a case.
const asCase = "WAGGLE_ACCEPTANCE_CASE"

// Main must be the first thing that a program does that uses Run: it does not return
// in the process of a case.
func Main(forms ...Form) {
	if os.Getenv(asCase) == "" {
		return
	}
	var (
		j Job
		v verdict
		w World
	)
	err := json.NewDecoder(os.Stdin).Decode(&j)
	if err == nil {
		w, err = play(context.Background(), j, forms)
	}
	if err != nil {
		v.Reason = err.Error()
		if w != nil {
			v.Log = w.Log()
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(v); err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

// play runs a case in its own process.
func play(ctx context.Context, j Job, forms []Form) (World, error) {
	if err := enter(); err != nil {
		return nil, fmt.Errorf("namespaces: %w", err)
	}
	i := slices.IndexFunc(forms, func(f Form) bool { return f.Name == j.Form })
	if i < 0 {
		return nil, fmt.Errorf("no form %q", j.Form)
	}
	s, err := forms[i].parse(j.Case)
	if err != nil {
		return nil, err
	}
	w, err := s.open(ctx, j)
	if err != nil {
		return w, err
	}
	var patience time.Duration
	for i, st := range s.steps {
		// A sleep is the upper bound of a poll where the next step can be tried again.
		if st.Pause > 0 && i+1 < len(s.steps) && s.steps[i+1].Polled {
			patience = st.Pause
			continue
		}
		switch {
		case st.Pause > 0:
			err = tooltest.Pause(ctx, st.Pause)
		case patience > 0:
			err = Poll(ctx, w, patience, func(ctx context.Context) error { return st.Do(ctx, w) })
		default:
			err = st.Do(ctx, w)
		}
		patience = 0
		if err != nil {
			return w, fmt.Errorf("step %d, %s: %w", i+1, st.About, err)
		}
	}
	if c, ok := w.(Concluder); ok {
		return w, errors.Join(w.Alive(), c.Conclusion())
	}
	return w, w.Alive()
}

// Poll tries until there is no error, or the limit is over, or the component has ended.
// A try that has begun is never cut off by the limit.
func Poll(ctx context.Context, w World, limit time.Duration, try func(context.Context) error) error {
	return tooltest.PollFor(ctx, limit, pollEvery, "", func(context.Context) error {
		if err := w.Alive(); err != nil {
			return tooltest.Final(err)
		}
		return try(ctx)
	})
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
		if r.Log != nil && res.log != "" {
			fmt.Fprintf(r.Log, "---- %s, the log ends with:\n%s\n", res.Case.ID, res.log)
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
		res.log, res.Err = r.process(ctx, c, files)
	}
	res.Took = time.Since(began)
	return res
}

// process runs one case, and returns the end of the component's log if it fails.
func (r Runner) process(ctx context.Context, c Case, files map[string][]byte) (log string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, caseLimit, fmt.Errorf("it took longer than %v", caseLimit))
	defer cancel()
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	input, err := json.Marshal(Job{Form: c.form.Name, Case: c.raw, Programs: r.Programs, Path: os.Getenv("PATH"), Files: files})
	if err != nil {
		return "", err
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
		return "", context.Cause(ctx)
	}
	if err != nil {
		return "", fmt.Errorf("the case's process: %w: %s", err, errOut.String())
	}
	var v verdict
	if err := json.Unmarshal(out.Bytes(), &v); err != nil {
		return "", fmt.Errorf("the case's process said %q: %w", out.String(), err)
	}
	if v.Reason == "" {
		return "", nil
	}
	return v.Log, errors.New(v.Reason)
}

// Build compiles a component into a folder and returns its path. It must be called
// within the workspace.
func Build(ctx context.Context, folder, component string) (string, error) {
	path := filepath.Join(folder, "waggle-"+component)
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, "github.com/wagglehq/waggle/"+folderOf(component)+"/cmd/"+component)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the %s: %w\n%s", component, err, out)
	}
	return path, nil
}

// folderOf is the module of a program.
func folderOf(component string) string {
	if component == "waggle" {
		return "compose/waggle"
	}
	return component
}
