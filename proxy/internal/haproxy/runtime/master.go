package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Master sends commands to the socket of HAProxy's master process (-S).
type Master struct{ path string }

// NewMaster returns a client of the master socket at path.
func NewMaster(path string) *Master { return &Master{path: path} }

// reexec bounds how long a master may refuse connections while it lives.
const reexec = time.Second

// ErrReload means that HAProxy could not start a worker with the file; the old
// worker goes on.
var ErrReload = errors.New("the configuration was not taken up")

// handover bounds how long the worker before a reload may take to stop listening.
const handover = 2 * time.Second

// Reload starts a worker with the file as it is now and returns when it alone serves,
// with what HAProxy logged meanwhile, also when it failed. Without a deadline in
// the context it may take a minute.
func (m *Master) Reload(ctx context.Context) (logs string, err error) {
	text, err := m.ask(ctx, "reload", time.Minute)
	if err != nil {
		return text, err
	}
	head, logs, _ := strings.Cut(text, "\n")
	logs = strings.TrimSpace(strings.TrimPrefix(logs, "--\n"))
	switch head {
	case "Success=1":
		m.handedOver(ctx)
		return logs, nil
	case "Success=0":
		return logs, fmt.Errorf("haproxy: reload: %w", ErrReload)
	}
	return text, fmt.Errorf("haproxy: reload: %w: it begins with %q", ErrUnanswered, head)
}

// handedOver waits until the worker before the new one has stopped listening. The master
// answers when the new one is ready, and tells the old one afterwards: until that has listened,
// it takes requests, and commands by the socket that both have. One that is too busy to stop is
// not waited for for ever.
func (m *Master) handedOver(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, handover)
	defer cancel()
	for {
		p, err := m.ShowProc(ctx)
		if err != nil || len(p.Old) == 0 {
			return
		}
		text, err := m.ask(ctx, fmt.Sprintf("@!%d show info", p.Old[0].Pid), handover)
		if err != nil || !strings.Contains(text, "\nStopping: 0\n") {
			return // it has ended, or stops
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// Process is one process of HAProxy.
type Process struct {
	Pid     int
	Reloads int // since it started
	Age     time.Duration
	Version string
}

// Processes is what the master knows of itself and its workers.
type Processes struct {
	Master Process
	// Failed counts the reloads that failed since the last good one.
	Failed int
	// Worker serves. Its pid is 0 if there is none.
	Worker Process
	// Old are the workers that finish their connections after a reload.
	Old []Process
}

// ShowProc returns the processes.
func (m *Master) ShowProc(ctx context.Context) (Processes, error) {
	text, err := m.ask(ctx, "show proc", limit)
	if err != nil {
		return Processes{}, err
	}
	if !strings.HasSuffix(text, "\n\n") {
		return Processes{}, fmt.Errorf("haproxy: show proc: %w: %q", ErrUnanswered, text)
	}
	return parseProcesses(text)
}

func parseProcesses(text string) (Processes, error) {
	var p Processes
	var workers []Process
	for line := range strings.Lines(text) {
		f := strings.Fields(strings.NewReplacer("[failed:", "", "]", "").Replace(line))
		if len(f) == 0 || strings.HasPrefix(line, "#") {
			continue
		}
		isMaster := len(f) > 1 && f[1] == "master"
		want := 5
		if isMaster {
			want = 6
		}
		if len(f) < want {
			return p, fmt.Errorf("haproxy: show proc: not a process: %q", line)
		}
		var errs [4]error
		var proc Process
		proc.Pid, errs[0] = strconv.Atoi(f[0])
		proc.Reloads, errs[1] = strconv.Atoi(f[2])
		if isMaster {
			p.Failed, errs[2] = strconv.Atoi(f[3])
		}
		proc.Age, errs[3] = parseAge(f[want-2])
		proc.Version = f[want-1]
		if err := errors.Join(errs[:]...); err != nil {
			return p, fmt.Errorf("haproxy: show proc: %q: %w", line, err)
		}
		switch f[1] {
		case "master":
			p.Master = proc
		case "worker":
			workers = append(workers, proc)
		}
	}
	if p.Master.Pid == 0 {
		return p, fmt.Errorf("haproxy: show proc: no master in %q", text)
	}
	// Not by the heading "old workers": after a failed reload HAProxy 3.4 puts the
	// one that goes on serving there too. The serving one is the youngest.
	slices.SortStableFunc(workers, func(a, b Process) int { return a.Reloads - b.Reloads })
	if len(workers) > 0 {
		p.Worker, p.Old = workers[0], workers[1:]
	}
	return p, nil
}

// parseAge reads 0d00h01m20s.
func parseAge(text string) (time.Duration, error) {
	days, rest, ok := strings.Cut(text, "d")
	n, err := strconv.Atoi(days)
	if !ok || err != nil {
		return 0, fmt.Errorf("not an age: %q", text)
	}
	d, err := time.ParseDuration(rest)
	return time.Duration(n)*24*time.Hour + d, err
}

// ask sends one command and reads until HAProxy closes. The master has neither
// severities nor a way to end after one answer but the end of its input.
func (m *Master) ask(ctx context.Context, command string, wait time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	text, err := m.read(ctx, command)
	if err == nil {
		return text, nil
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return text, fmt.Errorf("haproxy: %s: %w: %w", command, ErrUnanswered, err)
}

// read asks again while HAProxy 3.0 executes its master anew, when it does not listen, or
// drops whom it has not heard yet. All that a master is asked here may be asked twice.
func (m *Master) read(ctx context.Context, command string) (string, error) {
	text, err := m.once(ctx, command)
	for begin := time.Now(); text == "" && anew(err) && time.Since(begin) < reexec; {
		select {
		case <-ctx.Done():
			return "", err
		case <-time.After(10 * time.Millisecond):
		}
		text, err = m.once(ctx, command)
	}
	return text, err
}

func anew(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func (m *Master) once(ctx context.Context, command string) (string, error) {
	conn, err := dial(ctx, m.path)
	if err != nil {
		return "", err
	}
	defer conn.end()
	if _, err := io.WriteString(conn, command+"\n"); err != nil {
		return "", err
	}
	if half, ok := conn.Conn.(interface{ CloseWrite() error }); ok {
		if err := half.CloseWrite(); err != nil {
			return "", err
		}
	}
	all, err := io.ReadAll(conn.in)
	return string(all), err
}

// Do has a worker, which may be one that does not listen any more, carry out commands one
// after the other, up to the first that fails.
func (m *Master) Do(ctx context.Context, worker int, commands ...Command) error {
	for _, c := range commands {
		if c.err != nil {
			return c.err
		}
		text, err := m.ask(ctx, fmt.Sprintf("@!%d %s", worker, c.line), limit)
		if err != nil {
			return err
		}
		if text = strings.TrimSpace(text); c.done == "" && text != "" || !strings.Contains(text, c.done) {
			return fmt.Errorf("haproxy: %s: %s", c.line, text)
		}
	}
	return nil
}

// Traffic is Client.ShowTraffic for a worker that may not listen any more: its backends and
// servers.
func (m *Master) Traffic(ctx context.Context, worker int) ([]Traffic, error) {
	text, err := m.ask(ctx, fmt.Sprintf("@!%d show stat -1 6 -1", worker), limit)
	if err != nil {
		return nil, err
	}
	return parseTraffic(text)
}

// Streams counts the requests and tunnels of clients that are under way in a worker, which
// may be one that does not listen any more. Connections on which nothing is under way have
// none, nor have those of HAProxy to itself.
func (m *Master) Streams(ctx context.Context, worker int) (int, error) {
	text, err := m.ask(ctx, fmt.Sprintf("@!%d show sess", worker), limit)
	if err != nil {
		return 0, err
	}
	if !strings.HasSuffix(text, "\n\n") {
		return 0, fmt.Errorf("haproxy: show sess: %w: %q", ErrUnanswered, text)
	}
	n := 0
	for line := range strings.Lines(text) {
		if strings.Contains(line, " proto=tcp") || strings.Contains(line, " proto=quic") {
			n++
		}
	}
	return n, nil
}
