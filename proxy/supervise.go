package proxy

import (
	"context"
	"errors"
	"flag"
	"fmt"
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
	forHAProxy, forController, err := users(c, os.Geteuid())
	if err != nil {
		return err
	}
	warnOfExposed(settings.SecretsDir, forHAProxy, sh)
	file := filepath.Join(settings.Dir, apply.ConfigName)
	if err := forController.Do(func() error { return forgetAddresses(file) }); err != nil {
		return err
	}
	environ := app.Environ()
	return supervisor.Run(ctx, supervisor.Options{
		Haproxy: c.HAProxy, Config: file, Minimal: supervisor.Minimal(settings.StatsSocket, plainPorts(settings.Binds)),
		MasterSocket: c.MasterSocket(), StatsSocket: settings.StatsSocket, HaproxyUser: forHAProxy, ControllerUser: forController,
		Controller: controller, Environ: withoutSecrets(environ), ControllerEnv: append(environ, memoryOf(environ)...), Drain: c.Drain, Log: sh.Log,
	})
}

// users are whom HAProxy and the controller run as, nil for whoever this process is; euid is
// that one's number.
func users(c Config, euid int) (forHAProxy, forController *supervisor.User, err error) {
	forHAProxy, errHAProxy := supervisor.ParseUser(c.HAProxyUser)
	forController, errController := supervisor.ParseUser(c.ControllerUser)
	if err := errors.Join(named("haproxy-user", errHAProxy), named("controller-user", errController)); err != nil {
		return nil, nil, err
	}
	switch {
	case (forHAProxy == nil) != (forController == nil):
		return nil, nil, errors.New("haproxy-user and controller-user: want both or neither")
	case forHAProxy != nil && euid != 0:
		return nil, nil, fmt.Errorf("haproxy-user: this process is the user %d and cannot become others: want a container that begins as root (user: \"0:0\"), with SETUID, SETGID and KILL", euid)
	}
	return forHAProxy, forController, nil
}

// named says which setting an error is about.
func named(setting string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", setting, err)
}

// withoutSecrets leaves out the variables of secret settings: HAProxy gets what it needs of
// them by its configuration.
func withoutSecrets(environ []string) []string {
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	new(Config).Flags(fs)
	secret := map[string]bool{}
	fs.VisitAll(func(f *flag.Flag) { secret[app.Variable(f.Name)] = app.IsSecret(f) })
	return slices.DeleteFunc(slices.Clone(environ), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return secret[name]
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
