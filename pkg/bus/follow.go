package bus

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// sink takes what follow reads. All calls come from one goroutine.
type sink interface {
	// open announces a session: own writes that are noted from here on are newer than
	// what its replay tells.
	open()
	// begin starts the session: all keys are going to be told again.
	begin(store)
	put(key string, v Value)
	remove(key string, revision uint64, at time.Time)
	// synced says that everything the stream holds has been told; what the
	// session did not tell does not exist.
	synced()
}

// How a reader asks for messages: the server says every heartbeat that it has nothing to tell,
// and is asked anew every expiry. Who hears nothing for two heartbeats begins anew.
const (
	// Of several servers one may go, such as the leader of a stream, while the connection,
	// which leads to another, stands.
	heartbeat = time.Second
	expiry    = 10 * time.Second
	// What becomes of the very server to which the connection leads the connection tells, so
	// that a heartbeat says next to nothing, and it wakes both sides.
	seldomHeartbeat = 20 * time.Second
	seldomExpiry    = time.Minute
)

// pull returns how to ask for the messages of a stream.
func (b *Bus) pull(info *jetstream.StreamInfo) (every, until time.Duration) {
	// A server that is alone says that it is one of a cluster without a name.
	if b.direct && (info.Cluster == nil || info.Cluster.Name == "") {
		return seldomHeartbeat, seldomExpiry
	}
	return heartbeat, expiry
}

// sessionLimit is how long one session reads before the next begins with a sweep.
const sessionLimit = 10 * time.Minute

// readerGone is when a server forgets a reader that does not ask any longer.
const readerGone = 30 * time.Second

// follow tells the sink the last value of every key of a bucket, then every
// change, until the context ends. It starts anew on every connect: a consumer
// that lived through an interruption may be blind for seconds and never learns of
// a key that was deleted and purged meanwhile.
func (b *Bus) follow(ctx context.Context, bucket, filter string, to sink) {
	connects, end := b.onConnect()
	defer end()
	retry := 20 * time.Millisecond
	for ctx.Err() == nil {
		limited, stop := context.WithTimeout(ctx, sessionLimit)
		session, cancel := until(limited, connects)
		wasSynced, err := b.session(session, bucket, filter, to)
		cut := session.Err() != nil
		cancel()
		stop()
		if wasSynced {
			retry = 20 * time.Millisecond
		}
		if cut || ctx.Err() != nil {
			continue
		}
		b.log.Debug("bus reader begins anew", "bucket", bucket, "error", err)
		select {
		case <-ctx.Done():
		case <-connects:
		case <-time.After(retry):
		}
		retry = min(2*retry, time.Second)
	}
}

// session reads until the context ends or something fails.
func (b *Bus) session(ctx context.Context, bucket, filter string, to sink) (wasSynced bool, err error) {
	to.open()
	opening, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	stream, err := b.js.Stream(opening, kvStream(bucket))
	if err != nil {
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			b.missing.ring()
		}
		return false, fmt.Errorf("stream: %w", err)
	}
	info := stream.CachedInfo()
	to.begin(store{created: info.Created, last: info.State.LastSeq})
	prefix := kvSubject(bucket, "")
	// No ordered consumer of the library's: that one begins anew within a session, which
	// would tell nothing of what was removed meanwhile, and takes its time. With exactly
	// one filter, which then is in the subject that the server's walls compare.
	consumer, err := stream.CreateConsumer(opening, jetstream.ConsumerConfig{
		Name: readerName(), FilterSubject: prefix + filter, DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy, AckPolicy: jetstream.AckNonePolicy,
		MemoryStorage: true, Replicas: 1, InactiveThreshold: readerGone,
	})
	if err != nil {
		return false, fmt.Errorf("consumer: %w", err)
	}
	if info := consumer.CachedInfo(); info != nil && info.NumPending == 0 && info.Delivered.Consumer == 0 {
		wasSynced = true
		to.synced()
	}
	every, until := b.pull(info)
	messages, err := b.pulls(consumer, every, until)
	if err != nil {
		return wasSynced, fmt.Errorf("messages: %w", err)
	}
	defer messages.stop()
	fading := fading{to: to}
	for next := uint64(1); ; next++ {
		msg, err := fading.next(ctx, messages)
		if err != nil {
			return wasSynced, fmt.Errorf("next: %w", err)
		}
		meta := msg.meta
		if meta.Sequence.Consumer != next {
			return wasSynced, fmt.Errorf("message %d came instead of %d", meta.Sequence.Consumer, next)
		}
		key := strings.TrimPrefix(msg.Subject, prefix)
		if gone(msg.Header) {
			to.remove(key, meta.Sequence.Stream, meta.Timestamp)
			fading.forget(key)
		} else {
			to.put(key, Value{Data: msg.Data, Revision: meta.Sequence.Stream, Index: indexOf(msg.Header), Time: meta.Timestamp})
			fading.note(key, msg.Header, meta.Sequence.Stream)
		}
		if !wasSynced && meta.NumPending == 0 {
			wasSynced = true
			to.synced()
		}
	}
}

// readerName is one that nobody guesses. Whoever may read a part of a stream may ask any
// reader of it for its messages, by name, and so read what that one may.
func readerName() string { return rand.Text() }

// indexHeader carries Swarm's version of what an entry tells.
const indexHeader = "Waggle-Swarm-Version"

// WithIndex adds Swarm's version of what the value tells; 0 adds nothing.
func WithIndex(index uint64) PutOption {
	if index == 0 {
		return func(*nats.Msg, *[]jetstream.PublishOpt) {}
	}
	return WithHeader(indexHeader, strconv.FormatUint(index, 10))
}

func indexOf(h nats.Header) uint64 {
	index, err := strconv.ParseUint(h.Get(indexHeader), 10, 64)
	if err != nil {
		return 0
	}
	return index
}
