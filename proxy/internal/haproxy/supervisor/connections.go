package supervisor

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// The states of a connection in /proc/net/tcp, whose columns proc(5) describes.
const (
	established = "01"
	closeWait   = "08"
	listening   = "0A"
)

// socket is a line of /proc/net/tcp or tcp6.
type socket struct{ port, state, inode string }

// sockets returns the TCP sockets of our network. What cannot be read counts as none.
func sockets() []socket {
	var out []socket
	for _, name := range []string{"tcp", "tcp6"} {
		file, err := os.Open("/proc/self/net/" + name)
		if err != nil {
			continue
		}
		lines := bufio.NewScanner(file)
		for lines.Scan() {
			f := strings.Fields(lines.Text())
			if len(f) < 10 {
				continue
			}
			// The first line has names in place of values.
			if _, port, ok := strings.Cut(f[1], ":"); ok {
				out = append(out, socket{port: port, state: f[3], inode: f[9]})
			}
		}
		_ = file.Close() // it was only read
	}
	return out
}

// listensOn returns the ports on which the processes of a group listen.
func listensOn(group int) map[string]bool {
	out := map[string]bool{}
	owned := map[string]bool{}
	dirs, _ := filepath.Glob("/proc/[0-9]*") // the only error is that of a bad pattern
	for _, dir := range dirs {
		if !inGroup(dir, group) {
			continue
		}
		files, _ := filepath.Glob(dir + "/fd/*")
		for _, file := range files {
			if to, err := os.Readlink(file); err == nil && strings.HasPrefix(to, "socket:[") {
				owned[strings.TrimSuffix(strings.TrimPrefix(to, "socket:["), "]")] = true
			}
		}
	}
	for _, s := range sockets() {
		if s.state == listening && owned[s.inode] {
			out[s.port] = true
		}
	}
	return out
}

// inGroup reports whether the process of a folder of /proc is of a process group.
func inGroup(dir string, group int) bool {
	text, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return false
	}
	// The name of the program stands in parentheses and may hold anything.
	f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	return len(f) > 2 && f[2] == strconv.Itoa(group)
}

// busy reports whether clients are still connected to any of the ports.
func busy(ports map[string]bool) bool {
	for _, s := range sockets() {
		if ports[s.port] && (s.state == established || s.state == closeWait) {
			return true
		}
	}
	return false
}
