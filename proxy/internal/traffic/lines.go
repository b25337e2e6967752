package traffic

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/render"
)

// sample is one measured request.
type sample struct {
	backend, server string
	// counts is for how many requests it stands.
	counts int
	// seconds is how long its answer took to begin; none says that it never did.
	seconds float64
	none    bool
}

// parse reads a line of render.MeasuredFormat. ok is false for what has no latency: a request
// that no task was asked, one whose client went, or a task that refused.
func parse(line string) (s sample, ok bool) {
	f := strings.Fields(line)
	if len(f) != 7 {
		return sample{}, false
	}
	var n [5]int
	for i, text := range []string{f[0], f[3], f[4], f[5], f[6]} {
		var err error
		if n[i], err = strconv.Atoi(text); err != nil {
			return sample{}, false
		}
	}
	counts, queue, connect, response, status := n[0], n[1], n[2], n[3], n[4]
	s = sample{backend: f[1], server: f[2], counts: counts}
	if counts < 1 || counts > render.LargestShare || queue < 0 || strings.HasPrefix(s.server, "<") {
		return sample{}, false
	}
	if response < 0 || connect < 0 {
		// Nobody has been waited for longer than a task that lets a timeout pass.
		s.none = true
		return s, status == http.StatusGatewayTimeout
	}
	s.seconds = float64(queue+connect+response) / 1000
	return s, true
}

// never is how long counts what was given up: longer than all bounds.
const never = 20

// again is when a socket that could not be made is tried once more.
const again = time.Second

// Listen takes lines of the log until the context ends. HAProxy waits for nobody: what is
// not taken in time it throws away, and counts. Without the socket, whose folder may not be
// there yet, nothing is measured, and all else goes on.
func (m *Meter) Listen(ctx context.Context) error {
	if m.o.Socket == "" {
		<-ctx.Done()
		return nil
	}
	told := ""
	for ctx.Err() == nil {
		if err := m.listen(ctx); err != nil && err.Error() != told {
			told = err.Error()
			m.o.Log.Warn("requests are not measured", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(again):
		}
	}
	return nil
}

func (m *Meter) listen(ctx context.Context) error {
	if err := os.Remove(m.o.Socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("socket of measured requests: %w", err)
	}
	conn, err := (&net.ListenConfig{}).ListenPacket(ctx, "unixgram", m.o.Socket)
	if err != nil {
		return fmt.Errorf("socket of measured requests: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	// HAProxy is of the controller's group.
	if err := os.Chmod(m.o.Socket, 0o660); err != nil {
		return errors.Join(err, conn.Close())
	}
	buffer := make([]byte, 4096)
	for {
		n, _, err := conn.ReadFrom(buffer)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("socket of measured requests: %w", err)
		}
		m.take(string(buffer[:n]))
	}
}

// take counts one line.
func (m *Meter) take(line string) {
	s, ok := parse(line)
	// Of a service that goes nothing is counted once its series are taken away.
	m.services.mu.Lock()
	defer m.services.mu.Unlock()
	owners := m.o.Owners()
	if !ok || owners == nil {
		return
	}
	service, ok := owners.of(s.backend, s.server)
	if !ok {
		return
	}
	seconds := s.seconds
	if s.none {
		seconds = never
	}
	m.services.of(owners, service).took(seconds, s.counts)
}
