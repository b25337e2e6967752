package parts

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// showLogs prints the end of what the listeners said, which is where most faults begin.
func (s *Stage) showLogs(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	lines := strings.Split(strings.TrimSpace(s.Logs(ctx, "waggle_listener")), "\n")
	fmt.Fprintf(s.Out, "\n    %s\n", strings.Join(lines[max(0, len(lines)-12):], "\n    "))
}

// keepLogs copies what engines and containers said into a folder, and what became of the
// tasks.
func (s *Stage) keepLogs(ctx context.Context, folder string) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err := os.MkdirAll(folder, 0o755)
	keep := func(name, text string, failed error) {
		if failed != nil {
			text += failed.Error()
		}
		err = errors.Join(err, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600))
	}
	for _, node := range s.Nodes() {
		engine, failed := os.ReadFile(s.Node(node).Dir("dockerd.log"))
		keep(node+".engine", string(engine), failed)
		names, failed := s.Node(node).Docker(ctx, "ps", "-a", "--format", "{{.Names}}")
		keep(node+".containers", names, failed)
		for name := range strings.FieldsSeq(names) {
			said, failed := exec.CommandContext(ctx, "docker", "-H", s.Node(node).Host(), "logs", "-t", name).CombinedOutput()
			keep(node+"."+name, string(said), failed)
		}
	}
	for _, command := range [][]string{{"node", "ls"}, {"service", "ps", "--no-trunc", "waggle_proxy", "waggle_listener"}} {
		said, failed := s.Docker(ctx, command...)
		keep(command[0]+"s", said, failed)
	}
	if err != nil {
		s.Say("the logs could not be kept: %v", err)
	}
}
