// Package console is a page about how all is, for people: written on the server, of what the
// listener tells and the judges say of it, and changed while it is open. It changes nothing.
package console

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/wagglehq/waggle/compose/waggle/internal/plain"
)

//go:embed assets
var assetFiles embed.FS

// Console answers for one swarm.
type Console struct {
	world *world
	log   *slog.Logger
	guard guard
	shelf shelf

	// mu guards what was made, which requests share.
	mu     sync.Mutex
	turn   int
	made   map[string]made
	traces map[string]trace
	marks  []string
}

// made is a page that was made of what is known now.
type made struct {
	sheet *sheet
	mark  string
	at    time.Time
}

// Options are what a console is made with.
type Options struct {
	Listener Listener
	// From says who may look: ProxyOnly or Anybody.
	From string
	Log  *slog.Logger
}

// New returns a console. It answers while Follow runs.
func New(o Options) (*Console, error) {
	if o.From != ProxyOnly && o.From != Anybody {
		return nil, fmt.Errorf("from %q: want %s or %s", o.From, ProxyOnly, Anybody)
	}
	c := &Console{world: newWorld(o.Listener), log: o.Log, made: map[string]made{}, traces: map[string]trace{}}
	c.guard = guard{from: o.From, world: c.world}
	return c, nil
}

// Follow keeps what is shown up to date until the context ends.
func (c *Console) Follow(ctx context.Context) { c.world.follow(ctx) }

// Handler answers GET, and nothing else.
func (c *Console) Handler() http.Handler {
	r := chi.NewRouter()
	r.Use(middleware.Recoverer, c.guard.admit, secure)
	r.Get("/healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) }) // the client has gone
	r.Get("/assets/{name}", asset)
	r.Get("/live", c.live)
	r.Group(func(r chi.Router) {
		r.Use(middleware.Compress(5))
		for _, pattern := range []string{"/", "/services/{name}", "/routes", "/nodes", "/decisions", "/replicas", "/search"} {
			r.Get(pattern, c.page)
		}
		r.NotFound(c.page)
	})
	return r
}

// secure says what a browser may do with an answer: nothing that does not come from here.
func secure(next http.Handler) http.Handler {
	headers := map[string]string{
		"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; " +
			"base-uri 'none'; frame-ancestors 'none'",
		"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
		"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
		"Permissions-Policy": "camera=(), geolocation=(), microphone=()",
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, text := range headers {
			w.Header().Set(name, text)
		}
		next.ServeHTTP(w, r)
	})
}

// asset is a file that is built in; its address changes with it.
func asset(w http.ResponseWriter, r *http.Request) {
	name := chi.URLParam(r, "name")
	content, err := assetFiles.ReadFile(path.Join("assets", path.Base(name)))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
}

// assets is a hash of all of them.
var assets = sync.OnceValue(func() string { //nolint:gochecknoglobals // a constant that Go cannot have
	h := sha256.New()
	files, _ := assetFiles.ReadDir("assets") // they are built in
	for _, f := range files {
		content, _ := assetFiles.ReadFile(path.Join("assets", f.Name()))
		_, _ = h.Write(content)
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
})

// layout is what the template around all pages is given.
type layout struct {
	*sheet
	Assets, Mark, Query string
}

func (c *Console) page(w http.ResponseWriter, r *http.Request) {
	m, err := c.make(r.Context(), c.world.fresh(r.Context()), r.URL, false)
	var out bytes.Buffer
	if err == nil {
		err = pages.ExecuteTemplate(&out, "layout", layout{m.sheet, assets(), m.mark, r.URL.Query().Get("q")})
	}
	if err != nil {
		c.failed(r, r.URL.Path, err)
		http.Error(w, "this page cannot be made; the log says why", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(m.sheet.status)
	_, _ = io.WriteString(w, plain.Text(out.String())) // the client has gone
}

// failed tells the operator of a page that could not be made, unless whoever asked has gone.
func (c *Console) failed(r *http.Request, path string, err error) {
	if r.Context().Err() == nil {
		c.log.Error("a page cannot be made", "path", path, "error", err)
	}
}

// mostTraces is how many pages are remembered that somebody may still have open.
const mostTraces = 64

// make returns the page of an address, which those who have it open share. anew asks for what
// may have changed beside the picture.
func (c *Console) make(ctx context.Context, st state, u *url.URL, anew bool) (made, error) {
	key := u.EscapedPath() + "?" + u.Query().Encode()
	c.mu.Lock()
	if c.turn != st.turn {
		clear(c.made)
		c.turn = st.turn
	}
	m, ok := c.made[key]
	c.mu.Unlock()
	if age := c.world.now().Sub(m.at); ok && (!m.sheet.ages || age < fresh || !anew && age < agesEvery) {
		return m, nil
	}
	s, err := c.sheet(ctx, st, u)
	if err == nil {
		err = ctx.Err() // what was asked for meanwhile is missing
	}
	if err != nil {
		return made{}, err
	}
	m = made{s, s.mark(), c.world.now()}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.turn == st.turn && len(c.made) < mostTraces {
		c.made[key] = m
	}
	if _, ok := c.traces[m.mark]; !ok {
		c.traces[m.mark] = s.trace()
		if c.marks = append(c.marks, m.mark); len(c.marks) > mostTraces {
			delete(c.traces, c.marks[0])
			c.marks = c.marks[1:]
		}
	}
	return m, nil
}

// The times of telling what has changed.
const (
	// agesEvery is how often pages are made anew that tell of more than the picture.
	agesEvery = 3 * time.Second
	// beat is how often something is sent, so that nobody on the way ends the connection.
	beat = 10 * time.Second
	// writing is how long a reader may take for what is sent.
	writing = 10 * time.Second
)

// live tells those who have a page open how it changes.
func (c *Console) live(w http.ResponseWriter, r *http.Request) {
	of, err := url.Parse(r.URL.Query().Get("of"))
	if err != nil || of.Path == "" {
		http.Error(w, "want of=PATH of a page", http.StatusBadRequest)
		return
	}
	at := r.Header.Get("Last-Event-ID")
	if at == "" {
		at = r.URL.Query().Get("at")
	}
	c.mu.Lock()
	had := c.traces[at]
	c.mu.Unlock()
	done, ok := c.world.watch()
	if !ok {
		http.Error(w, "too many pages are open", http.StatusServiceUnavailable)
		return
	}
	defer done()
	w.Header().Set("Content-Type", "text/event-stream")
	s := stream{w, http.NewResponseController(w)}
	ages, beats := time.NewTicker(agesEvery), time.NewTicker(beat)
	defer ages.Stop()
	defer beats.Stop()
	anew := false
	for {
		st := c.world.state()
		m, err := c.make(r.Context(), st, of, anew)
		switch {
		case err != nil:
			c.failed(r, of.Path, err)
		case m.mark != at:
			var patches []patch
			if patches, err = m.sheet.diff(had); err == nil {
				err = s.tell(m.mark, patches)
			}
			at, had = m.mark, m.sheet.trace()
		}
		if err == nil {
			err = s.beat() // the first of them says that the page is live
		}
		if err != nil {
			return
		}
		anew = false
		select {
		case <-r.Context().Done():
			return
		case <-st.changed:
		case <-ages.C:
			anew = true
		case <-beats.C:
		}
	}
}

// stream writes server-sent events (the HTML standard, section 9.2).
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func (s stream) tell(id string, patches []patch) error {
	data, err := json.Marshal(patches)
	if err != nil {
		return err
	}
	return s.send(fmt.Sprintf("id: %s\nevent: patch\ndata: %s\n\n", id, data))
}

func (s stream) beat() error { return s.send(": still here\n\n") }

func (s stream) send(text string) error {
	// Without a server that has them there is no deadline, as in a test of the handler alone.
	_ = s.control.SetWriteDeadline(time.Now().Add(writing))
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	return s.control.Flush()
}
