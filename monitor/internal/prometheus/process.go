package prometheus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/common/model"

	"github.com/wagglehq/waggle/pkg/app"
)

// Process runs Prometheus as a child.
type Process struct {
	// Bin is the program, Dir the folder of its configuration, Storage that of its data.
	Bin, Dir, Storage string
	// Listen is its address. Whoever reaches it may reload and end it, so it
	// should be on the loopback interface, with Guard before it.
	Listen string
	// ExternalURL is where users reach it; empty if it is not known.
	ExternalURL string
	Retention   time.Duration
	// Output takes what Prometheus writes.
	Output io.Writer
	Log    *slog.Logger
	// Started is called at each start.
	Started func()
}

const (
	// graceful is how long Prometheus may take to end.
	graceful = 30 * time.Second
	// early is how soon after its start an end counts as a failed start.
	early = 2 * time.Second
	// tries is how many failed starts in a row are enough.
	tries = 5
)

func (p *Process) args() []string {
	args := []string{
		"--config.file=" + filepath.Join(p.Dir, ConfigFile),
		"--storage.tsdb.path=" + p.Storage,
		"--storage.tsdb.retention.time=" + model.Duration(p.Retention).String(),
		"--web.listen-address=" + p.Listen,
		"--web.enable-lifecycle",
		// New targets are taken up within a second instead of five.
		"--scrape.discovery-reload-interval=1s",
	}
	if p.ExternalURL != "" {
		args = append(args, "--web.external-url="+p.ExternalURL)
	}
	return args
}

// Run keeps Prometheus running until the context ends, and ends it then. A
// Prometheus that dies is started again; one that cannot even start five times in
// a row is an error.
func (p *Process) Run(ctx context.Context) error {
	// The child is killed with the thread that started it, see run.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	failed := 0
	for {
		start := time.Now()
		err := p.run(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(start) > early {
			failed = 0
		}
		if failed++; failed >= tries {
			return fmt.Errorf("prometheus does not start: %w", err)
		}
		p.Log.Error("Prometheus ended and is started again", "error", err, "ran", time.Since(start))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(min(50*time.Millisecond<<(failed-1), 2*time.Second)):
		}
	}
}

func (p *Process) run(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, p.Bin, p.args()...)
	cmd.Stdout, cmd.Stderr = p.Output, p.Output
	// Should this process be killed, Prometheus must not hold the port and the data.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = graceful
	if err := cmd.Start(); err != nil {
		return err
	}
	p.Log.Info("Prometheus started", "pid", cmd.Process.Pid)
	if p.Started != nil {
		p.Started()
	}
	err := cmd.Wait()
	if err == nil {
		err = errors.New("it ended by itself")
	}
	return err
}

// Guard lets everybody query Prometheus and nobody reload or end it: these are for
// this process alone, and Prometheus has no token for them.
func Guard(target *url.URL, log *slog.Logger) http.Handler {
	root := *target
	root.Path = ""
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&root)
			r.SetXForwarded()
			r.Out.Host = r.In.Host
		},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, "Prometheus does not answer: "+err.Error(), http.StatusBadGateway)
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A path is looked at as Prometheus will see it.
		if strings.Contains(r.URL.Path, "/-/") && r.Method != http.MethodGet && r.Method != http.MethodHead {
			http.Error(w, "Prometheus is reloaded and ended by monitor alone", http.StatusForbidden)
			return
		}
		proxy.ServeHTTP(w, r)
	})
}

// Serve offers Prometheus at an address, whose host may be app.Control, until the context ends.
func Serve(ctx context.Context, addr string, network app.Network, guard http.Handler, log *slog.Logger) error {
	err := app.ListenAt(ctx, addr, network, func(ctx context.Context, ln net.Listener) error {
		srv := &http.Server{
			Handler: guard, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: time.Minute,
			// Queries may take the two minutes that Prometheus grants them.
			WriteTimeout: 150 * time.Second, IdleTimeout: 2 * time.Minute,
			ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		}
		stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
		defer stop()
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	}, log)
	if err != nil {
		return fmt.Errorf("prometheus-listen: %w", err)
	}
	return nil
}
