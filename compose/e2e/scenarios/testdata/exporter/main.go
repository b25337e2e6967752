// Command exporter stands in for node_exporter and cAdvisor, neither of which can be had
// everywhere that tests run. It takes their arguments, by which it knows whom it stands in
// for, and tells the truth about the node or its containers in the metrics that alerts ask.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// every is how often is looked.
const every = time.Second

// watch looks every second, and returns what tells of the last time that all went well.
func watch(look func(context.Context, io.Writer) error) func(context.Context, io.Writer) error {
	var last atomic.Pointer[string]
	go func() {
		for range time.Tick(every) {
			var text strings.Builder
			if err := look(context.Background(), &text); err != nil {
				fmt.Fprintln(os.Stderr, "exporter:", err)
				continue
			}
			seen := text.String()
			last.Store(&seen)
		}
	}()
	return func(_ context.Context, w io.Writer) error {
		seen := last.Load()
		if seen == nil {
			return errors.New("nothing was seen yet")
		}
		_, err := io.WriteString(w, *seen)
		return err
	}
}

func main() {
	port, tell := "9100", node
	if slices.Contains(os.Args[1:], "--docker_only=true") {
		// As cAdvisor, it looks by itself, and tells what it saw last.
		port, tell = "8080", watch(containers)
	}
	server := &http.Server{Addr: ":" + port, ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var text strings.Builder
		if err := tell(r.Context(), &text); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = io.WriteString(w, text.String()) // The client has gone; there is nobody to tell.
	})}
	fmt.Fprintln(os.Stderr, "exporter:", server.ListenAndServe())
	os.Exit(1)
}
