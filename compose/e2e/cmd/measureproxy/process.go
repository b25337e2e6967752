package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is one of the system's.
type process struct {
	pid, parent int
	command     string
	// cpu is what it has used, in and on behalf of user space.
	cpu time.Duration
}

// tick is the unit in which the kernel counts: a hundredth of a second on every Linux.
const tick = 10 * time.Millisecond

// parseStat reads /proc/PID/stat: "PID (name) state parent ... utime stime ...". The name may
// hold anything.
func parseStat(text string) (process, error) {
	pid, _, _ := strings.Cut(text, " ")
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 13 {
		return process{}, fmt.Errorf("of no use: %q", text)
	}
	var p process
	var errs [4]error
	var user, system int
	p.pid, errs[0] = strconv.Atoi(pid)
	p.parent, errs[1] = strconv.Atoi(fields[1])
	user, errs[2] = strconv.Atoi(fields[11])
	system, errs[3] = strconv.Atoi(fields[12])
	p.cpu = time.Duration(user+system) * tick
	return p, errors.Join(errs[:]...)
}

// family returns a process and all that descend from it.
func family(root int) ([]process, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	children := map[int][]process{}
	var out []process
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it has just ended
		}
		if err != nil {
			return nil, err
		}
		p, err := parseStat(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		line, err := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
		if err == nil {
			p.command = string(bytes.ReplaceAll(line, []byte{0}, []byte{' '}))
		}
		children[p.parent] = append(children[p.parent], p)
		if p.pid == root {
			out = append(out, p)
		}
	}
	for i := 0; i < len(out); i++ {
		out = append(out, children[out[i].pid]...)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("there is no process %d", root)
	}
	return out, nil
}

// used sums the processor time of a process and all that descend from it whose
// command line holds a word.
func used(root int, word string) (time.Duration, error) {
	all, err := family(root)
	sum := time.Duration(0)
	for _, p := range all {
		if strings.Contains(p.command, word) {
			sum += p.cpu
		}
	}
	return sum, err
}

// parsePss reads the proportional share of memory, in bytes, from smaps_rollup.
func parsePss(text string) (int, error) {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
			kilobytes, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")))
			return kilobytes << 10, err
		}
	}
	return 0, errors.New("smaps_rollup has no Pss")
}

// memory sums what a process and all that descend from it hold, what several
// share being counted once.
func memory(root int) (int, error) {
	all, err := family(root)
	sum := 0
	for _, p := range all {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", p.pid))
		if err != nil {
			return 0, err
		}
		n, err := parsePss(string(text))
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, err
}
