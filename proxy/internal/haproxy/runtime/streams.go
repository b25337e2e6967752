package runtime

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// EndUnrepeatable ends what goes on with a server, but for requests that HAProxy sends to
// another server by itself when their connection breaks: those that change nothing, as
// long as nothing was answered. HAProxy 3.4.
func (c *Client) EndUnrepeatable(ctx context.Context, backend, server string) error {
	text, err := c.one(ctx, show("show sess all server", servername(backend, server)))
	if err != nil {
		return err
	}
	streams, err := parseStreams(text)
	if err != nil {
		return err
	}
	var ends []Command
	for _, s := range streams {
		if !s.repeats {
			ends = append(ends, EndStream(s.id))
		}
	}
	var left []error
	for _, err := range c.Batch(ctx, ends...) {
		if !errors.Is(err, ErrNotFound) { // It ended by itself meanwhile.
			left = append(left, err)
		}
	}
	return errors.Join(left...)
}

// stream is one request, or a connection that carries something else.
type stream struct {
	id      string
	repeats bool
}

var (
	streamHead = regexp.MustCompile(`^0x[0-9a-f]+: `)
	// The methods are HAProxy's numbers of OPTIONS, GET and HEAD, and the state of the
	// answer is that before its first byte.
	repeatable = regexp.MustCompile(`^  txn=0x[0-9a-f]+ .* meth=[012] .* rsp\.st=MSG_RPBEFORE `)
)

// parseStreams reads what "show sess all" prints: for each stream a line that begins with
// its number, and lines with two or more spaces before them.
func parseStreams(text string) ([]stream, error) {
	var streams []stream
	for line := range strings.Lines(text) {
		switch {
		case streamHead.MatchString(line):
			id, _, _ := strings.Cut(line, ":")
			streams = append(streams, stream{id: id})
		case strings.TrimSpace(line) == "":
		case len(streams) == 0 || !strings.HasPrefix(line, "  "):
			return nil, fmt.Errorf("haproxy: show sess all: unknown line %q", line)
		case repeatable.MatchString(line):
			streams[len(streams)-1].repeats = true
		}
	}
	return streams, nil
}
