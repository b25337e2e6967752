package api

import (
	"context"
	"crypto/rand"
	"fmt"
	"hash/fnv"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/wagglehq/waggle/pkg/app"
)

// Turns counts what may have changed the picture, so that whoever looks need not ask again and
// again: an answer has a tag, and a question with that tag can wait for another one.
type Turns struct {
	// epoch tells the tags of this process from those of the one before.
	epoch string

	// making has one picture made for all who ask for that of the same tag: those who wait are
	// woken at once, and each picture costs the bus and Docker some questions.
	making singleflight.Group

	// mu guards the rest: all who learn something tell it, and requests wait.
	mu      sync.Mutex
	n       uint64
	changed chan struct{}
}

// NewTurns returns a counter.
func NewTurns() *Turns { return &Turns{epoch: rand.Text()[:10], changed: make(chan struct{})} }

// Next says that the picture may be another one. It may be called by any goroutine.
func (t *Turns) Next() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n++
	close(t.changed)
	t.changed = make(chan struct{})
}

// now is the present turn, and what ends with it.
func (t *Turns) now() (n uint64, changed <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n, t.changed
}

const (
	// mostWait is how long a question may wait, which is less than a server's time for an answer.
	mostWait = 30 * time.Second
	// lookAgain is how often is looked for what nobody tells: that the bus or Docker is away.
	lookAgain = 500 * time.Millisecond
)

// tag names the picture as it is now. What changes by itself, as the time does, is no part of it.
func (p Pictures) tag(n uint64) string {
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, p.Connected(), p.blind()) // it never fails
	return fmt.Sprintf(`"%s-%d-%x"`, p.Turns.epoch, n, h.Sum64())
}

// serve answers with the picture. Whoever names one by its tag gets it only if it is another one,
// and may wait for that (RFC 9110, section 13.1.2, and RFC 7240).
func (p Pictures) serve(w http.ResponseWriter, r *http.Request) {
	ends := time.NewTimer(asksToWait(r))
	defer ends.Stop()
	look := time.NewTicker(lookAgain)
	defer look.Stop()
	for {
		n, changed := p.Turns.now()
		tag := p.tag(n)
		if r.Header.Get("If-None-Match") != tag {
			w.Header().Set("ETag", tag)
			app.WriteJSON(w, http.StatusOK, p.shared(r.Context(), tag))
			return
		}
		select {
		case <-ends.C:
			w.WriteHeader(http.StatusNotModified)
			return
		case <-r.Context().Done():
			return
		case <-p.Ended:
			w.WriteHeader(http.StatusNotModified)
			return
		case <-changed:
		case <-look.C:
		}
	}
}

// shared is the picture, made once for all who ask for that of this tag now. It is not to be
// changed. Who leaves does not end what others wait for; its parts have times of their own.
func (p Pictures) shared(ctx context.Context, tag string) any {
	made, _, _ := p.Turns.making.Do(tag, func() (any, error) { return p.picture(context.WithoutCancel(ctx)), nil })
	return made
}

// asksToWait is for how long whoever asks prefers to wait.
func asksToWait(r *http.Request) time.Duration {
	for one := range strings.SplitSeq(strings.Join(r.Header.Values("Prefer"), ","), ",") {
		if text, ok := strings.CutPrefix(strings.TrimSpace(one), "wait="); ok {
			if n, err := strconv.ParseUint(text, 10, 16); err == nil {
				return min(time.Duration(n)*time.Second, mostWait)
			}
		}
	}
	return 0
}
