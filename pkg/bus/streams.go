package bus

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// streamSubject is what the subjects of a stream's messages begin with.
func streamSubject(stream string) string { return strings.Replace(stream, "_", ".", 1) + "." }

// Tokens are those under which a message of a stream with this subject was published.
func Tokens(stream, subject string) string { return strings.TrimPrefix(subject, streamSubject(stream)) }

// Publish adds a message to a stream under the given tokens.
func (b *Bus) Publish(ctx context.Context, stream, tokens string, value []byte, options ...PutOption) error {
	msg := &nats.Msg{Subject: streamSubject(stream) + tokens, Data: value, Header: nats.Header{}}
	var opts []jetstream.PublishOpt
	for _, o := range options {
		o(msg, &opts)
	}
	if _, err := b.js.PublishMsg(ctx, msg, opts...); err != nil {
		return fmt.Errorf("bus: publish %s: %w", stream, err)
	}
	return nil
}

// Message is one message of a stream.
type Message struct {
	Subject string
	Value   []byte
	Time    time.Time
}

// Last returns the newest messages of a stream, oldest first, at most n.
func (b *Bus) Last(ctx context.Context, stream string, n int) ([]Message, error) {
	s, err := b.js.Stream(ctx, stream)
	if err != nil {
		return nil, wrap("read", stream, "", err)
	}
	info := s.CachedInfo().State
	first := info.FirstSeq
	if info.LastSeq >= uint64(n) {
		first = max(first, info.LastSeq-uint64(n)+1)
	}
	if info.Msgs == 0 {
		return nil, nil
	}
	var out []Message
	err = b.read(ctx, stream, "", first, func(m Message, sequence uint64) bool {
		if sequence <= info.LastSeq {
			out = append(out, m)
		}
		return sequence < info.LastSeq
	})
	return out, err
}

// LastOf returns the newest messages of a stream that were published under the given
// tokens, oldest first, at most n, however many others lie between them.
func (b *Bus) LastOf(ctx context.Context, stream, tokens string, n int) ([]Message, error) {
	s, err := b.js.Stream(ctx, stream)
	if err != nil {
		return nil, wrap("read", stream, "", err)
	}
	info := s.CachedInfo().State
	var out []Message
	// A server finds the next message of a subject, and not the one before; so what is
	// read goes back by windows, each as long as all after it.
	end, window := info.LastSeq+1, uint64(n)
	for end > info.FirstSeq && len(out) < n && info.Msgs > 0 {
		begin := info.FirstSeq
		if end-begin > window {
			begin = end - window
		}
		var found []Message
		err := b.read(ctx, stream, streamSubject(stream)+tokens, begin, func(m Message, sequence uint64) bool {
			if sequence < end {
				found = append(found, m)
			}
			return sequence+1 < end
		})
		if err != nil {
			return nil, err
		}
		out = append(found, out...)
		end, window = begin, 2*window
	}
	return out[max(0, len(out)-n):], nil
}
