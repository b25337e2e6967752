package listenercase

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/acceptance/swarmcase"
)

// want is what a request is compared with.
type want struct {
	Path   string         `json:"path"`
	Method string         `json:"method"`
	Query  map[string]any `json:"query"`
	Exact  bool           `json:"exact"`
	Within float64        `json:"within"`
	For    float64        `json:"for"`
}

// request is one that was recorded.
type request struct {
	path, method string
	query        map[string]string
	// taken is set by a step that found it, counted taken away by forget.
	taken, forgotten bool
}

// about is the name that it tells of.
func (r request) about() string {
	if strings.Contains(r.path, "/node/") {
		return r.query["id"]
	}
	return r.query["serviceName"]
}

func (r request) String() string { return fmt.Sprintf("%s %s %v", r.method, r.path, r.query) }

// fits returns why a request does not fit.
func (w want) fits(r request) error {
	if w.Path != "" && w.Path != r.path {
		return fmt.Errorf("the path is %s", r.path)
	}
	if w.Method != "" && w.Method != r.method {
		return fmt.Errorf("the method is %s", r.method)
	}
	return fitsQuery(w.Query, w.Exact, r.query)
}

func fitsQuery(want map[string]any, exact bool, query map[string]string) error {
	got := map[string]any{}
	for name, text := range query {
		got[name] = text
		if _, known := want[name]; exact && !known {
			return fmt.Errorf("there is %s=%s, too", name, text)
		}
		if _, isList := want[name].([]any); isList {
			var list any
			if err := json.Unmarshal([]byte(text), &list); err != nil {
				return fmt.Errorf("%s=%s is no JSON", name, text)
			}
			got[name] = list
		}
	}
	return swarmcase.Fits(want, got)
}

// manners are how a receiver answers.
type manners struct {
	Down    bool    `json:"down"`
	Slow    float64 `json:"slow"`
	Answers []int   `json:"answers"`
	Only    *want   `json:"only"`
}

// receiver records what it is asked.
type receiver struct {
	address string

	mu       sync.Mutex // the steps and the server's goroutines share the rest
	server   *http.Server
	manners  manners
	answered int
	requests []*request
	believes map[string]map[string]string
}

func newReceiver(address string) (*receiver, error) {
	r := &receiver{address: address, believes: map[string]map[string]string{}}
	return r, r.listen()
}

func (r *receiver) listen() error {
	ln, err := net.Listen("tcp", r.address) //nolint:noctx // it is open or not at once
	if err != nil {
		return err
	}
	r.server = &http.Server{Handler: r, ReadHeaderTimeout: 5 * time.Second}
	go func(server *http.Server) { _ = server.Serve(ln) }(r.server) // it ends with the step that says so
	return nil
}

// behave makes it answer otherwise.
func (r *receiver) behave(m manners) error {
	r.mu.Lock()
	r.manners, r.answered = m, 0
	server, isDown := r.server, m.Down && m.Only == nil
	r.mu.Unlock()
	switch {
	case isDown && server != nil:
		r.server = nil
		return server.Close()
	case !isDown && server == nil:
		return r.listen()
	}
	return nil
}

// ServeHTTP records a request and answers it.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	one := &request{path: req.URL.Path, method: req.Method, query: map[string]string{}}
	for name, texts := range req.URL.Query() {
		one.query[name] = texts[0]
	}
	status, slow := http.StatusOK, 0.0
	r.mu.Lock()
	if r.manners.Only == nil || r.manners.Only.fits(*one) == nil {
		if r.manners.Down {
			r.mu.Unlock()
			panic(http.ErrAbortHandler) // the connection ends without an answer
		}
		slow = r.manners.Slow
		if n := len(r.manners.Answers); n > 0 {
			status = r.manners.Answers[min(r.answered, n-1)]
			r.answered++
		}
	}
	r.requests = append(r.requests, one)
	r.mu.Unlock()
	<-time.After(time.Duration(slow * float64(time.Second))) // it works on, whether anybody waits or not
	if status/100 == 2 || status == http.StatusConflict {
		r.mu.Lock()
		switch {
		case strings.HasSuffix(one.path, "/create"):
			r.believes[one.about()] = one.query
		case strings.HasSuffix(one.path, "/remove"):
			delete(r.believes, one.about())
		}
		r.mu.Unlock()
	}
	w.WriteHeader(status)
}

// notified takes a request that fits, and earlier ones about the same name.
func (r *receiver) notified(w want) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, one := range r.requests {
		if one.taken || w.fits(*one) != nil {
			continue
		}
		for _, earlier := range r.requests[:i+1] {
			if earlier.about() == one.about() {
				earlier.taken = true
			}
		}
		return nil
	}
	return fmt.Errorf("no request fits: %s", r.story())
}

func (r *receiver) notNotified(w want) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, one := range r.requests {
		if !one.taken && w.fits(*one) == nil {
			return fmt.Errorf("there was %v", *one)
		}
	}
	return nil
}

func (r *receiver) count(w want, least, most int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, one := range r.requests {
		if !one.forgotten && w.fits(*one) == nil {
			n++
		}
	}
	if n < least || n > most {
		return fmt.Errorf("%d requests fit, want %d to %d: %s", n, least, most, r.story())
	}
	return nil
}

func (r *receiver) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, one := range r.requests {
		one.taken, one.forgotten = true, true
	}
}

func (r *receiver) last(name string, w want) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, one := range slices.Backward(r.requests) {
		if one.about() == name {
			if err := w.fits(*one); err != nil {
				return fmt.Errorf("the last one is %v: %w", *one, err)
			}
			return nil
		}
	}
	return fmt.Errorf("there is no request about %s", name)
}

func (r *receiver) believe(all map[string]map[string]any) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	names, wanted := slices.Sorted(maps.Keys(r.believes)), slices.Sorted(maps.Keys(all))
	if !slices.Equal(names, wanted) {
		return fmt.Errorf("it believes in %v, want %v: %s", names, wanted, r.story())
	}
	for _, name := range names {
		if err := fitsQuery(all[name], false, r.believes[name]); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// story are the last requests; mu is held.
func (r *receiver) story() string {
	var out []string
	for _, one := range r.requests[max(0, len(r.requests)-5):] {
		out = append(out, one.String())
	}
	if len(out) == 0 {
		return "there was none"
	}
	return "the last ones are " + strings.Join(out, "; ")
}
