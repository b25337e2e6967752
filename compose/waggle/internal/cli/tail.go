package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/wagglehq/waggle/pkg/picture"
)

type tailCommand struct {
	output
	Service string        `help:"Only what is about the service of this full name." placeholder:"NAME"`
	Since   time.Duration `help:"Begin with what happened this long ago, such as 1h." placeholder:"TIME"`
}

// eventsPath is where the listener tells what happens.
const eventsPath = "/v1/events"

const (
	// quietFor is after how long without a word the listener counts as gone; it says
	// something every 15 s.
	quietFor = 40 * time.Second
	// firstPause and longestPause stand between attempts to reach a listener that was there.
	firstPause, longestPause = 500 * time.Millisecond, 5 * time.Second
)

// Run tells what happens until it is interrupted. A listener that goes away is waited for,
// and what happened meanwhile is told then.
func (c *tailCommand) Run(r *run) error {
	t := tail{run: r, asJSON: c.Output == "json", service: c.Service}
	if c.Since > 0 {
		t.last = time.Now().Add(-c.Since)
	}
	if begun, err := t.read(); !begun && r.ctx.Err() == nil {
		return err
	}
	for pause := firstPause; r.ctx.Err() == nil; pause = min(2*pause, longestPause) {
		if pause == firstPause {
			fmt.Fprintln(r.Err, "waggle: the listener has gone; waiting for it")
		}
		select {
		case <-r.ctx.Done():
			return nil
		case <-time.After(pause):
		}
		if begun, _ := t.read(); begun {
			pause = firstPause / 2
		}
	}
	return nil
}

// tail is how far it has come.
type tail struct {
	*run
	asJSON  bool
	service string
	// last is when what was told last happened, by the bus' clock.
	last time.Time
}

// read follows until the stream breaks, and reports whether it ever began.
func (t *tail) read() (begun bool, err error) {
	ctx, cancel := context.WithCancel(t.ctx)
	defer cancel()
	query := url.Values{}
	if t.service != "" {
		query.Set("service", t.service)
	}
	if !t.last.IsZero() {
		query.Set("since", t.last.UTC().Format(time.RFC3339Nano))
	}
	gone := time.AfterFunc(patience, cancel)
	defer gone.Stop()
	resp, err := t.request(ctx, eventsPath+"?"+query.Encode(), "text/event-stream")
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil && t.last.IsZero() {
		t.last = at
	}
	for lines := bufio.NewReader(resp.Body); ; {
		gone.Reset(quietFor)
		line, err := lines.ReadString('\n')
		if data, ok := strings.CutPrefix(line, "data: "); ok && err == nil {
			err = t.tell([]byte(strings.TrimSuffix(data, "\n")))
		}
		if err != nil {
			return true, err
		}
	}
}

// tell writes one event.
func (t *tail) tell(data []byte) error {
	var e picture.Event
	if err := json.Unmarshal(data, &e); err != nil {
		return fmt.Errorf("an event of the listener cannot be read: %w", err)
	}
	if e.Time.After(t.last) {
		t.last = e.Time
	}
	if t.asJSON {
		_, err := fmt.Fprintf(t.Out, "%s\n", data)
		return err
	}
	t.line("%s  %-8s  %-24s  %s", e.Time.Local().Format("15:04:05.000"), e.Kind, e.Service, e.Text)
	return nil
}
