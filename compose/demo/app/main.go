// Command demo is a service to play with: each replica serves a fixed number of
// requests at a time and lets the others wait, so that under load only more
// replicas make it fast again.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr, nil))
}

// run is the process; started, if not nil, learns the address.
func run(ctx context.Context, args []string, stdout, stderr io.Writer, started func(net.Addr)) int {
	fs := flag.NewFlagSet("demo", flag.ContinueOnError)
	fs.SetOutput(stderr)
	addr := fs.String("addr", ":8080", "address to serve at")
	concurrency := fs.Int("concurrency", 2, "requests served at a time; the others wait")
	serviceTime := fs.Duration("service-time", 50*time.Millisecond, "how long serving one request takes")
	drain := fs.Duration("drain", 10*time.Second, "how long requests may take to finish after SIGTERM")
	report := fs.String("report", "", "address to which each X-Request-Id that arrives is sent by UDP, before it is served")
	healthcheck := fs.Bool("healthcheck", false, "ask the running process whether it is healthy, and exit")
	if err := fs.Parse(args); err != nil {
		return 2
	}
	if *concurrency < 1 || *serviceTime < 0 {
		fmt.Fprintln(stderr, "demo: -concurrency must be 1 or more and -service-time not negative")
		return 2
	}
	if *healthcheck {
		if err := checkHealth(ctx, *addr); err != nil {
			fmt.Fprintln(stderr, "demo:", err)
			return 1
		}
		return 0
	}
	if err := serve(ctx, *addr, *concurrency, *serviceTime, *drain, *report, stdout, started); err != nil {
		fmt.Fprintln(stderr, "demo:", err)
		return 1
	}
	return 0
}

func serve(ctx context.Context, addr string, concurrency int, serviceTime, drain time.Duration, report string, stdout io.Writer, started func(net.Addr)) error {
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	work := func(ctx context.Context) {
		timer := time.NewTimer(serviceTime)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	handler := newHandler(name, concurrency, work, reg)
	if report != "" {
		var d net.Dialer
		to, err := d.DialContext(ctx, "udp", report)
		if err != nil {
			return err
		}
		defer func() { _ = to.Close() }()
		handler = reporting(to, handler)
	}
	srv := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
	}
	fmt.Fprintf(stdout, "demo: %s serves %d requests at a time at %s, each in %v\n", name, concurrency, ln.Addr(), serviceTime)
	if started != nil {
		started(ln.Addr())
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	fmt.Fprintln(stdout, "demo: finishing the requests under way")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	err = srv.Shutdown(ctx)
	if served := <-failed; err == nil && !errors.Is(served, http.ErrServerClosed) {
		err = served
	}
	return err
}

func checkHealth(ctx context.Context, addr string) error {
	if strings.HasPrefix(addr, ":") {
		addr = "127.0.0.1" + addr
	}
	ctx, cancel := context.WithTimeout(ctx, 1500*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/healthz", nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("unhealthy: %s", res.Status)
	}
	return nil
}
