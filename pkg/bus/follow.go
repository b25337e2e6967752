package bus

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// sink takes what follow reads. All calls come from one goroutine.
type sink interface {
	// begin starts a session on the stream created at that time: all keys are
	// going to be told again.
	begin(created time.Time)
	put(key string, value []byte, sequence uint64)
	remove(key string, sequence uint64)
	// synced says that everything the stream holds has been told; what the
	// session did not tell does not exist.
	synced()
}

// sessionLimit is how long one session reads before the next begins with a sweep.
const sessionLimit = 10 * time.Minute

// follow tells the sink the last value of every key of a bucket, then every
// change, until the context ends. It starts anew on every connect: a consumer
// that lived through an interruption may be blind for seconds and never learns of
// a key that was deleted and purged meanwhile.
func (b *Bus) follow(ctx context.Context, bucket, filter string, to sink) {
	connects, end := b.onConnect()
	defer end()
	retry := 20 * time.Millisecond
	for ctx.Err() == nil {
		session, cancel := context.WithTimeout(ctx, sessionLimit)
		go func() {
			select {
			case <-connects:
				cancel()
			case <-session.Done():
			}
		}()
		wasSynced, err := b.session(session, bucket, filter, to)
		cut := session.Err() != nil
		cancel()
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
	stream, err := b.js.Stream(ctx, kvStream(bucket))
	if err != nil {
		return false, fmt.Errorf("stream: %w", err)
	}
	prefix := kvSubject(bucket, "")
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{prefix + filter},
		DeliverPolicy:  jetstream.DeliverLastPerSubjectPolicy,
		// A replay that resets within a session would tell nothing of what was
		// removed meanwhile; a new session does.
		MaxResetAttempts: 1,
	})
	if err != nil {
		return false, fmt.Errorf("consumer: %w", err)
	}
	to.begin(stream.CachedInfo().Created)
	if info := consumer.CachedInfo(); info != nil && info.NumPending == 0 && info.Delivered.Consumer == 0 {
		wasSynced = true
		to.synced()
	}
	messages, err := consumer.Messages(jetstream.PullHeartbeat(2*time.Second), jetstream.PullExpiry(10*time.Second))
	if err != nil {
		return wasSynced, fmt.Errorf("messages: %w", err)
	}
	// The iterator begins anew by itself after a reconnect, and forgets that it was
	// stopped if both happen at once. So it is stopped from here alone, and what
	// ends the waiting is the context.
	defer messages.Stop()
	fading := fading{to: to}
	for {
		msg, err := fading.next(ctx, messages)
		if err != nil {
			return wasSynced, fmt.Errorf("next: %w", err)
		}
		meta, err := msg.Metadata()
		if err != nil {
			return wasSynced, fmt.Errorf("metadata: %w", err)
		}
		key := strings.TrimPrefix(msg.Subject(), prefix)
		if gone(msg.Headers()) {
			to.remove(key, meta.Sequence.Stream)
			fading.forget(key)
		} else {
			to.put(key, msg.Data(), meta.Sequence.Stream)
			fading.note(key, msg.Headers(), meta.Sequence.Stream)
		}
		if !wasSynced && meta.NumPending == 0 {
			wasSynced = true
			to.synced()
		}
	}
}
