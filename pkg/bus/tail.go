package bus

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// TailMessage is one write to a bucket, as its stream keeps it.
type TailMessage struct {
	// Store is another one when the stream was made anew or has lost messages, so that
	// its sequences begin anew.
	Store    string
	Sequence uint64
	Key      string
	// Value is empty and Deleted set for the mark of a deletion.
	Value   []byte
	Deleted bool
	Header  map[string][]string
	Time    time.Time
}

// tailHeartbeat is how soon a reader whose server has gone begins anew.
const tailHeartbeat = time.Second

// Tail tells each write to a bucket in turn, those that it still holds and all that
// follow, until the context ends: what an audit needs, where a Mirror tells only
// what there is. A bucket keeps the last value of a key, so a write that was
// replaced before it was read is missing, which the sequences show. A stream that was made anew, or
// that has lost its last messages, is told from its beginning.
func (b *Bus) Tail(ctx context.Context, bucket string, tell func(TailMessage)) error {
	return b.tail(ctx, tail{stream: kvStream(bucket), prefix: kvSubject(bucket, ""), tell: tell})
}

// News says which part of what is written is told.
type News struct {
	// After is the moment, by the server's clock, after which it begins; zero: with what is
	// written from now on.
	After time.Time
	// Ready is called once, as soon as nothing that is written is missed any more.
	Ready func()
}

// TailBucket is Tail for what is written to a bucket after a moment.
func (b *Bus) TailBucket(ctx context.Context, bucket string, n News, tell func(TailMessage)) error {
	return b.tail(ctx, tail{stream: kvStream(bucket), prefix: kvSubject(bucket, ""), news: &n, tell: tell})
}

// TailStream is TailBucket for a stream, whose messages have their tokens as keys.
func (b *Bus) TailStream(ctx context.Context, stream string, n News, tell func(TailMessage)) error {
	return b.tail(ctx, tail{stream: stream, prefix: streamSubject(stream), news: &n, tell: tell})
}

func (b *Bus) tail(ctx context.Context, t tail) error {
	t.b = b
	for ctx.Err() == nil {
		if err := t.session(ctx); ctx.Err() == nil {
			b.log.Debug("tail begins anew", "stream", t.stream, "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	return ctx.Err()
}

// tail knows how far it has come.
type tail struct {
	b              *Bus
	stream, prefix string
	// news is nil if all that there is is told.
	news    *News
	tell    func(TailMessage)
	created time.Time
	losses  int
	last    uint64
}

func (t *tail) session(ctx context.Context) error {
	// What was asked for on another connection is not answered on this one.
	connects, forget := t.b.onConnect()
	defer forget()
	ctx, end := until(ctx, connects)
	defer end()
	starting, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	stream, err := t.b.js.Stream(starting, t.stream)
	if err != nil {
		return fmt.Errorf("stream: %w", err)
	}
	info := stream.CachedInfo()
	if !info.Created.Equal(t.created) {
		isFirst := t.created.IsZero()
		t.created, t.losses, t.last = info.Created, 0, 0
		if isFirst && t.news != nil && t.news.After.IsZero() {
			t.last = info.State.LastSeq
		}
	}
	if info.State.LastSeq < t.last {
		t.losses, t.last = t.losses+1, 0
	}
	store := fmt.Sprintf("%s-%d", t.created.UTC().Format(time.RFC3339Nano), t.losses)
	consumer, err := t.consumer(starting, stream)
	if err != nil {
		return fmt.Errorf("consumer: %w", err)
	}
	messages, err := t.b.pulls(consumer, tailHeartbeat, expiry)
	if err != nil {
		return fmt.Errorf("messages: %w", err)
	}
	defer messages.stop()
	if t.news != nil && t.news.Ready != nil {
		t.news.Ready()
		t.news.Ready = nil
	}
	for {
		msg, err := messages.next(ctx)
		if err != nil {
			return fmt.Errorf("next: %w", err)
		}
		t.last = msg.meta.Sequence.Stream
		t.tell(TailMessage{
			Store: store, Sequence: t.last, Key: strings.TrimPrefix(msg.Subject, t.prefix),
			Value: msg.Data, Deleted: gone(msg.Header), Header: msg.Header, Time: msg.meta.Timestamp,
		})
	}
}

// tries is how often a consumer is made until one is where it is wanted; the servers put
// each on any of them.
const tries = 20

// consumer makes one on the server to which the connection leads, so that the failure of
// no other one interrupts the reading: one that lives on several servers waits until they
// have agreed on who leads it, while a bucket forgets what is replaced meanwhile.
func (t *tail) consumer(ctx context.Context, stream jetstream.Stream) (jetstream.Consumer, error) {
	config := jetstream.ConsumerConfig{
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: 10 * time.Second,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: t.last + 1,
	}
	if t.last == 0 && t.news != nil && !t.news.After.IsZero() {
		after := t.news.After.Add(time.Nanosecond)
		config.DeliverPolicy, config.OptStartSeq, config.OptStartTime = jetstream.DeliverByStartTimePolicy, 0, &after
	}
	for try := 1; ; try++ {
		config.Name = readerName()
		consumer, err := stream.CreateConsumer(ctx, config)
		if err != nil {
			return nil, err
		}
		info := consumer.CachedInfo()
		if info.Cluster == nil || info.Cluster.Leader == t.b.nc.ConnectedServerName() || try == tries {
			return consumer, nil
		}
		if err := stream.DeleteConsumer(ctx, info.Name); err != nil {
			return nil, err
		}
	}
}
