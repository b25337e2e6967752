// Hello answers with the name of its container, and under /peers with the names
// of all tasks of its service, asked over the overlay.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"
)

func main() {
	name, err := os.Hostname()
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, name) })
	http.HandleFunc("/peers", func(w http.ResponseWriter, r *http.Request) {
		addrs, err := net.DefaultResolver.LookupHost(r.Context(), "tasks."+r.FormValue("of")+".")
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		for _, addr := range addrs {
			if err := ask(w, r, addr); err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
		}
	})
	server := http.Server{Addr: ":8080", ReadHeaderTimeout: time.Second}
	log.Fatal(server.ListenAndServe())
}

func ask(w io.Writer, r *http.Request, addr string) error {
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, "http://"+addr+":8080/", nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(w, res.Body)
	return err
}
