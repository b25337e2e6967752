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
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/common/model"

	"github.com/wagglehq/waggle/monitor/internal/settings"
	"github.com/wagglehq/waggle/pkg/app"
)

// Process runs Prometheus as a child.
type Process struct {
	// Bin is the program, Dir the folder of its configuration, Storage that of its data.
	Bin, Dir, Storage string
	// Listen is its address. Whoever reaches it may reload and end it, so it
	// should be on the loopback interface, with Guard before it.
	Listen string
	// ExternalURL is where users reach it, and RoutePrefix the path at which it answers;
	// empty if they are not known, or follow from each other.
	ExternalURL, RoutePrefix string
	// Retention and RetentionSize bound what it keeps; an empty size is no bound.
	Retention     time.Duration
	RetentionSize string
	// Flags are further ones, which come before those of this package.
	Flags []settings.Flag
	// Output takes what Prometheus writes.
	Output io.Writer
	Log    *slog.Logger
	// Started is called at each start.
	Started func()
}

const (
	// graceful is how long Prometheus may take to end; the stack grants a minute.
	graceful = 50 * time.Second
	// early is how soon after its start an end counts as a failed start.
	early = 2 * time.Second
	// tries is how many failed starts in a row are enough.
	tries = 5
	// settled is how long it must have run for what was before to be forgotten.
	settled = time.Minute
)

// crashes is what is known of a Prometheus that ends by itself.
type crashes struct{ unable, ended int }

// after tells, of one that has run for so long, how long to wait before the next start,
// and whether to give up. It is the longer the more often it has ended, because one that
// dies while it reads what it has stored does so again.
func (c *crashes) after(ran time.Duration) (pause time.Duration, giveUp bool) {
	c.unable++
	if ran > early {
		c.unable = 0
	}
	if ran > settled {
		c.ended = 0
	}
	c.ended++
	return min(50*time.Millisecond<<min(c.ended-1, 10), 30*time.Second), c.unable >= tries
}

// lastLine passes on what is written and keeps the last line of it.
type lastLine struct {
	to   io.Writer
	mu   sync.Mutex // the two outputs of a process may be written at once
	line string
	// wrong is what it says of its flags.
	wrong string
}

// badUsage begins what Prometheus says of flags that it does not take, before pages of help.
const badUsage = "Error parsing command line arguments: "

// Write is that of io.Writer.
func (l *lastLine) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if lines := strings.Split(strings.TrimSpace(string(b)), "\n"); lines[len(lines)-1] != "" {
		l.line = short(lines[len(lines)-1])
	}
	if _, wrong, ok := strings.Cut(string(b), badUsage); ok && l.wrong == "" {
		l.wrong, _, _ = strings.Cut(wrong, "\n")
	}
	return l.to.Write(b)
}

func (l *lastLine) usage() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.wrong
}

func (l *lastLine) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.line
}

func (p *Process) args(bools map[string]bool) []string {
	args := []string{
		"--config.file=" + filepath.Join(p.Dir, ConfigFile),
		"--storage.tsdb.path=" + p.Storage,
		"--storage.tsdb.retention.time=" + model.Duration(p.Retention).String(),
		"--web.listen-address=" + p.Listen,
		"--web.enable-lifecycle",
	}
	given := map[string]bool{}
	for _, f := range p.Flags {
		given[f.Name] = true
		args = append(args, f.Argument(bools))
	}
	for _, own := range []struct{ name, text string }{
		{"storage.tsdb.retention.size", p.RetentionSize}, {"web.external-url", p.ExternalURL}, {"web.route-prefix", p.RoutePrefix},
		// New targets are taken up a second after they are known. In Prometheus before 3.12
		// they are known up to five seconds after the file has changed, whatever is set.
		{"scrape.discovery-reload-interval", "1s"},
	} {
		if own.text != "" && !given[own.name] {
			args = append(args, "--"+own.name+"="+own.text)
		}
	}
	return args
}

// bools asks Prometheus which of its flags have no text, if that matters.
func (p *Process) bools(ctx context.Context) map[string]bool {
	if len(p.Flags) == 0 {
		return nil
	}
	help, err := exec.CommandContext(ctx, p.Bin, "--help").CombinedOutput()
	if err != nil {
		p.Log.Warn("Prometheus does not tell its flags", "error", err)
	}
	return settings.KnownFlags(string(help))
}

// usageError says that Prometheus does not take its flags.
type usageError struct{ text string }

// Error is what Prometheus said.
func (e *usageError) Error() string { return e.text }

// blamed names the variables of the flags that Prometheus does not take: those that it
// speaks of, or all if it speaks of none.
func (p *Process) blamed(said string) error {
	var all, some []string
	for _, f := range p.Flags {
		all = append(all, f.Variable)
		if strings.Contains(said, "--"+f.Name+"'") || strings.Contains(said, strconv.Quote(f.Text)) || strings.HasSuffix(said, "unexpected "+f.Text) {
			some = append(some, f.Variable)
		}
	}
	if len(some) == 0 {
		some = all
	}
	if len(some) == 0 {
		return &usageError{said}
	}
	return &usageError{strings.Join(some, ", ") + ": Prometheus does not take the flag: " + said}
}

// Run keeps Prometheus running until the context ends, and ends it then. A
// Prometheus that dies is started again; one that cannot even start five times in
// a row is an error.
func (p *Process) Run(ctx context.Context) error {
	// The child is killed with the thread that started it, see run.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var crashes crashes
	bools := p.bools(ctx)
	for {
		start := time.Now()
		err := p.run(ctx, bools)
		if ctx.Err() != nil {
			return nil
		}
		if errors.As(err, new(*usageError)) {
			return fmt.Errorf("prometheus does not start: %w", err)
		}
		ran := time.Since(start)
		pause, giveUp := crashes.after(ran)
		if giveUp {
			return fmt.Errorf("prometheus does not start: %w", err)
		}
		p.Log.Error("Prometheus ended and is started again", "error", err, "ran", ran, "pause", pause)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

func (p *Process) run(ctx context.Context, bools map[string]bool) error {
	cmd := exec.CommandContext(ctx, p.Bin, p.args(bools)...)
	said := &lastLine{to: p.Output}
	cmd.Stdout, cmd.Stderr = said, said
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
	if usage := said.usage(); usage != "" {
		return p.blamed(usage)
	}
	if last := said.String(); last != "" {
		err = fmt.Errorf("%w; it said: %s", err, last)
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
