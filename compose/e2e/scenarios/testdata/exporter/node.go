package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// node tells of the machine's memory and root file system, as node_exporter does.
func node(_ context.Context, w io.Writer) error {
	f, err := os.Open("/host/proc/meminfo")
	if err != nil {
		return err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, rest, _ := strings.Cut(lines.Text(), ":")
		words := strings.Fields(rest)
		if len(words) == 0 || strings.ContainsAny(name, "()") {
			continue
		}
		kilobytes, err := strconv.ParseFloat(words[0], 64)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "node_memory_%s_bytes %g\n", name, kilobytes*1024)
	}
	stat, err := os.ReadFile("/host/proc/stat")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(stat)) {
		words := strings.Fields(line)
		core, ok := strings.CutPrefix(words[0], "cpu")
		if !ok || core == "" {
			continue
		}
		// Of a hundredth of a second each, which is what the kernel tells on every machine that we know.
		for i, mode := range []string{"user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"} {
			ticks, err := strconv.ParseFloat(words[1+i], 64)
			if err != nil {
				return err
			}
			fmt.Fprintf(w, "node_cpu_seconds_total{cpu=%q,mode=%q} %g\n", core, mode, ticks/100)
		}
	}
	var root syscall.Statfs_t
	if err := syscall.Statfs("/host", &root); err != nil {
		return err
	}
	const labels = `{device="/dev/root",fstype="ext4",mountpoint="/"}`
	size := float64(root.Bsize)
	fmt.Fprintf(w, "node_filesystem_size_bytes%s %g\n", labels, size*float64(root.Blocks))
	fmt.Fprintf(w, "node_filesystem_free_bytes%s %g\n", labels, size*float64(root.Bfree))
	fmt.Fprintf(w, "node_filesystem_avail_bytes%s %g\n", labels, size*float64(root.Bavail))
	return nil
}
