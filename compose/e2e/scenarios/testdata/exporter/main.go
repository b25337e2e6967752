// Command exporter stands in for node_exporter and cAdvisor, neither of which can be had
// everywhere that tests run. It takes their arguments, by which it knows whom it stands in
// for, and tells the truth about the node or its containers in the metrics that alerts ask.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
)

func main() {
	port, tell := "9100", node
	if slices.Contains(os.Args[1:], "--docker_only=true") {
		port, tell = "8080", containers
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
