package house

import (
	"context"
	"flag"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wagglehq/waggle/listener"
	"github.com/wagglehq/waggle/monitor"
	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/proxy"
	"github.com/wagglehq/waggle/scaler"
)

// role makes the test's program play another part: process 1 of the proxy's
// container takes in every child's end, so it cannot be the test itself, and the
// controller that it keeps running is in the test.
const role = "WAGGLE_HOUSE_ROLE"

func TestMain(m *testing.M) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	switch os.Getenv(role) {
	case "supervisor":
		os.Exit(supervise(ctx))
	case "absent controller":
		<-ctx.Done()
	case "listener":
		os.Exit(app.Main("listener", "test", listener.Service))
	case "proxy":
		os.Exit(app.Main("proxy", "test", func(fs *flag.FlagSet) func(context.Context, app.Shell) error {
			c := proxy.Config{Environ: os.Environ()}
			c.Flags(fs)
			return func(ctx context.Context, sh app.Shell) error { return proxy.Run(ctx, c, sh) }
		}))
	case "monitor":
		os.Exit(app.Main("monitor", "test", monitor.Service))
	case "scaler":
		os.Exit(app.Main("scaler", "test", scaler.Service))
	default:
		os.Exit(m.Run())
	}
}

func supervise(ctx context.Context) int {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	var c proxy.Config
	fs := flag.NewFlagSet("proxy", flag.ContinueOnError)
	c.Flags(fs)
	if err := fs.Parse(os.Args[1:]); err != nil {
		log.Error("flags", "error", err)
		return 2
	}
	// /proc/self/exe would be the name of the program that the supervisor starts.
	self, err := os.Executable()
	if err == nil {
		err = os.Setenv(role, "absent controller")
	}
	if err == nil {
		err = proxy.Supervise(ctx, c, []string{self}, app.Shell{Log: log, Registry: prometheus.NewRegistry()})
	}
	if err != nil {
		log.Error("supervisor", "error", err)
		return 1
	}
	return 0
}

// startHAProxy starts the supervisor of one of the proxies, which starts HAProxy.
func (h *house) startHAProxy(name string) {
	h.t.Helper()
	self, err := os.Executable()
	if err != nil {
		h.t.Fatal(err)
	}
	cmd := exec.Command(self, slices.Concat(h.flags(name), h.more[component(name)])...) //nolint:noctx // The clean-up ends it.
	cmd.Env = append(os.Environ(), role+"=supervisor")
	h.process(cmd)
	h.t.Cleanup(func() {
		// It ends HAProxy, which is in a group of its own.
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_, _ = cmd.Process.Wait()
	})
	h.eventually("HAProxy listens", func() error {
		_, err := os.Stat(h.socket(name))
		return err
	})
}
