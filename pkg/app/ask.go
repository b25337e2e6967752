package app

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// askLimit is as long as an admin server may take for an answer.
const askLimit = 60 * time.Second

// question is a request to the running service on this machine, which the command
// line asks for in place of a service.
type question struct {
	method, path string
	// paths are the texts of the flags by method.
	paths map[string]*string
}

// methods are those that a question may have, in the order in which they are told.
func methods() []string {
	return []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete}
}

// flagOf is the flag that asks by a method.
func flagOf(method string) string { return strings.ToLower(method) }

// flags declares one flag for each method.
func (q *question) flags(fs *flag.FlagSet) {
	q.paths = map[string]*string{}
	does := map[string]string{
		http.MethodGet: "print", http.MethodPost: "post to",
		http.MethodPut: "put the standard input at", http.MethodDelete: "delete",
	}
	for _, method := range methods() {
		q.paths[method] = fs.String(flagOf(method), "", does[method]+" this path of the running service at -admin, with its token, and exit")
	}
}

// read finds out what is asked. Two questions at once, and what is no path, are errors.
func (q *question) read() error {
	for _, method := range methods() {
		path := *q.paths[method]
		switch {
		case path == "":
		case q.method != "":
			return fmt.Errorf("-%s and -%s at once: one is enough", flagOf(q.method), flagOf(method))
		case !strings.HasPrefix(path, "/"):
			return fmt.Errorf("-%s %q: want a path that begins with /", flagOf(method), path)
		default:
			q.method, q.path = method, path
		}
	}
	return nil
}

// ask copies the answer's body to out. An answer other than 2xx is an error with the
// status and the beginning of the body.
func (q *question) ask(ctx context.Context, addr, token string, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	var body io.Reader
	if q.method == http.MethodPut {
		body = in
	}
	req, err := http.NewRequestWithContext(ctx, q.method, "http://"+local(addr)+q.path, body)
	if err != nil {
		return err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode < 200 || res.StatusCode > 299 {
		said, err := io.ReadAll(io.LimitReader(res.Body, 4096))
		if err != nil {
			return err
		}
		return fmt.Errorf("%s: %s", res.Status, strings.TrimSpace(string(said)))
	}
	_, err = io.Copy(out, res.Body)
	return err
}

// tokenOf is the first one of the setting of that name, empty if the service has none.
func tokenOf(fs *flag.FlagSet, name string) string {
	if f := fs.Lookup(name); f != nil {
		return secretOf(f).First()
	}
	return ""
}

// secretOf is the text of a flag that is a secret, empty if it is none.
func secretOf(f *flag.Flag) Secret {
	switch text := f.Value.(type) {
	case *Token:
		return Secret(*text)
	case *Secret:
		return *text
	}
	return ""
}

// local is where this machine reaches an address that a server listens at: one
// without a host means all of the machine's, and Control has its loopback.
func local(addr string) string {
	if strings.HasPrefix(addr, Control+":") || strings.HasPrefix(addr, ":") || strings.HasPrefix(addr, "0.0.0.0:") || strings.HasPrefix(addr, "[::]:") {
		return "127.0.0.1" + addr[strings.LastIndexByte(addr, ':'):]
	}
	return addr
}
