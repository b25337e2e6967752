// Command echo answers every request with the headers that it came with, in the body and, on
// one line, in the header X-Seen.
package main

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"
)

func main() {
	server := &http.Server{Addr: ":8080", ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var seen []string
		for name, values := range r.Header {
			seen = append(seen, name+"="+strings.Join(values, ","))
		}
		w.Header().Set("X-Seen", strings.Join(seen, "; "))
		fmt.Fprintln(w, strings.Join(seen, "\n"))
	})}
	fmt.Fprintln(os.Stderr, "echo:", server.ListenAndServe())
	os.Exit(1)
}
