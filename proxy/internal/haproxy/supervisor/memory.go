package supervisor

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// diesFirst is what is added to the controller's badness, in thousandths of the memory that
// there is: where the container's memory ends, the kernel ends the controller and its
// checks, whatever HAProxy has by then. They are started again, and HAProxy serves on.
const diesFirst = 900

// dieFirst says so to the kernel. Whoever is started by the process says the same.
func dieFirst(pid int) error {
	return os.WriteFile(filepath.Join("/proc", strconv.Itoa(pid), "oom_score_adj"), []byte(strconv.Itoa(diesFirst)), 0o600)
}

// controllerShare is the part of the container's memory at which the controller's runtime
// begins to save: one in so many.
const controllerShare = 3

// ControllerMemory returns the variable by which Go's runtime keeps the controller's memory
// down, for the limit of the container that is found below root ("/"); nothing without a
// limit.
func ControllerMemory(root string) []string {
	// The first is that of the second version of cgroups, the other of the first.
	for _, file := range []string{"sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			continue
		}
		// "max" and a number near the greatest are no limit.
		if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 && n < 1<<60 {
			return []string{fmt.Sprintf("GOMEMLIMIT=%d", n/controllerShare)}
		}
	}
	return nil
}
