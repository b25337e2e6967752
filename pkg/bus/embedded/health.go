package embedded

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	// watchEvery is how often the server is asked whether it can write.
	watchEvery = time.Second
	// illFor is how long something must be wrong before it is believed.
	illFor = 500 * time.Millisecond
	// roomNeeded is what must fit on the disk before the server is started again: a
	// server that stops at once once more would cost everybody's connection each time.
	roomNeeded = 4 << 20
)

// Healthy returns nil while the server can write. After a write that failed, as on a
// full disk, a server of NATS refuses all others; it is started again as soon as there
// is room.
func (s *Server) Healthy() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.health
}

// watch asks the server how it is, until the end, and starts it again when that helps.
func (s *Server) watch() {
	defer close(s.done)
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		s.look()
	}
}

func (s *Server) look() {
	before := s.Healthy()
	err := stillIll(s.present())
	full := hasRoom(s.o.Dir)
	switch {
	case err == nil && full == nil:
		s.becomes(nil)
		if before != nil {
			s.o.Log.Info("the bus can write again")
		}
		return
	case err == nil:
		err = full
	case full != nil:
		err = fmt.Errorf("%w; %w", err, full)
	}
	s.becomes(fmt.Errorf("the bus cannot write: %w", err))
	if before == nil {
		s.o.Log.Error("the bus cannot write", "folder", s.o.Dir, "error", err)
	}
	if full != nil {
		return
	}
	s.o.Log.Warn("the bus starts again, since there is room", "error", err)
	end(s.present())
	next, err := startWhole(s.o)
	if err != nil {
		s.becomes(fmt.Errorf("the bus does not start again: %w", err))
		return
	}
	s.mu.Lock()
	s.s, s.health = next, nil
	s.mu.Unlock()
}

func (s *Server) becomes(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.health = err
}

// hasRoom says how much of the disk is left, if that is too little.
func hasRoom(dir string) error {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		return fmt.Errorf("folder %s: %w", dir, err)
	}
	if left := disk.Bavail * uint64(disk.Bsize); left < roomNeeded {
		return fmt.Errorf("the disk of %s is full: %d kB are left, and %d are needed", dir, left>>10, roomNeeded>>10)
	}
	return nil
}

// stillIll is ill, of what lasts: a stream that is being made looks like a broken one.
func stillIll(s *server.Server) error {
	tick := time.NewTicker(illFor / 10)
	defer tick.Stop()
	for since := time.Now(); ; <-tick.C {
		if err := ill(s); err == nil || time.Since(since) > illFor {
			return err
		}
	}
}

// ill returns what the server itself says of its streams: one that could not be read
// from the disk, or that cannot be written.
func ill(s *server.Server) error {
	a := healthz(s, "")
	if a.status == http.StatusOK || a.status == 0 {
		return nil
	}
	return errors.New(strings.TrimSpace(a.text.String()))
}

// unread returns the folders, in the store, of the streams that the server could not read.
func unread(s *server.Server) []string {
	var said server.HealthStatus
	if err := json.Unmarshal([]byte(healthz(s, "details=true").text.String()), &said); err != nil {
		return nil
	}
	var out []string
	for _, e := range said.Errors {
		if e.Type == server.HealthzErrorStream && e.Account != "" && e.Stream != "" {
			out = append(out, filepath.Join(e.Account, "streams", e.Stream))
		}
	}
	return out
}

// healthz asks the server how it is.
func healthz(s *server.Server, query string) *answer {
	a := &answer{}
	s.HandleHealthz(a, &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/healthz", RawQuery: query}})
	return a
}

// answer takes what an HTTP handler says.
type answer struct {
	header http.Header
	status int
	text   strings.Builder
}

// Header, WriteHeader and Write make it an http.ResponseWriter.
func (a *answer) Header() http.Header {
	if a.header == nil {
		a.header = http.Header{}
	}
	return a.header
}

func (a *answer) WriteHeader(status int) { a.status = status }

func (a *answer) Write(p []byte) (int, error) { return a.text.Write(p) }
