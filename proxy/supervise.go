package proxy

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/atomicfile"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/apply"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/supervisor"
	"github.com/wagglehq/waggle/proxy/internal/settings/edge"
)

// Supervise is process 1 of the container: it keeps HAProxy and the controller,
// which is the given command, running apart from each other until the context ends.
func Supervise(ctx context.Context, c Config, controller []string, sh app.Shell) error {
	settings, err := c.HAProxySettings()
	if err != nil {
		return err
	}
	file := filepath.Join(settings.Dir, apply.ConfigName)
	if err := forgetAddresses(file); err != nil {
		return err
	}
	return supervisor.Run(ctx, supervisor.Options{
		Haproxy: c.HAProxy, Config: file, Minimal: supervisor.Minimal(settings.StatsSocket, plainPorts(settings.Binds)),
		MasterSocket: c.MasterSocket(), StatsSocket: settings.StatsSocket,
		Controller: controller, Environ: app.Environ(), ControllerEnv: memoryOf(app.Environ()), Drain: c.Drain, Log: sh.Log,
	})
}

// memoryOf are the variables that bound the controller's memory, unless the operator has said
// something else.
func memoryOf(environ []string) []string {
	if slices.ContainsFunc(environ, func(v string) bool { return strings.HasPrefix(v, "GOMEMLIMIT=") }) {
		return nil
	}
	return supervisor.ControllerMemory("/")
}

// plainPorts are those without TLS.
func plainPorts(binds []edge.Bind) []int {
	var out []int
	for _, b := range binds {
		if !b.TLS {
			out = append(out, b.Port)
		}
	}
	return out
}

// forgetAddresses takes the servers out of the last good configuration: this is a
// new container, and yesterday's addresses may be another tenant's by now.
func forgetAddresses(path string) error {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = atomicfile.Write(path, []byte(file.WithoutServers(string(text))), 0o640)
	return err
}
