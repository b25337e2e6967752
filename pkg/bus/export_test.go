package bus

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Readers counts the readers of a stream that the server knows.
func (b *Bus) Readers(ctx context.Context, stream string) (int, error) {
	s, err := b.js.Stream(ctx, stream)
	if err != nil {
		return 0, err
	}
	return s.CachedInfo().State.Consumers, nil
}

// Remove removes a bucket, as a person would.
func (b *Bus) Remove(ctx context.Context, bucket string) error {
	return b.js.DeleteStream(ctx, "KV_"+bucket)
}

// Fill lets a bucket take no more bytes than it holds.
func (b *Bus) Fill(ctx context.Context, bucket string) error {
	s, err := b.js.Stream(ctx, "KV_"+bucket)
	if err != nil {
		return err
	}
	config := s.CachedInfo().Config
	config.MaxBytes = int64(s.CachedInfo().State.Bytes) + 200
	_, err = b.js.UpdateStream(ctx, config)
	return err
}

// At sets the clock of a publisher of statuses.
func (s *Statuses) At(now func() time.Time) { s.now = now }

// At sets the clock of the accepted label sets.
func (a *Accepted) At(now func() time.Time) { a.now = now }

// Raw is the connection itself, for a test that does what this package does not.
func (b *Bus) Raw() *nats.Conn { return b.nc }

// Purge removes a key without a mark, as a person would.
func (b *Bus) Purge(ctx context.Context, bucket, key string) error {
	s, err := b.js.Stream(ctx, kvStream(bucket))
	if err != nil {
		return err
	}
	return s.Purge(ctx, jetstream.WithPurgeSubject(kvSubject(bucket, key)))
}

// Heartbeat is how often the server is to say that it has nothing to tell of a bucket, and
// HeartbeatOfCluster what it would be if the bucket were one of a cluster.
func (b *Bus) Heartbeat(ctx context.Context, bucket string) (time.Duration, error) {
	s, err := b.js.Stream(ctx, kvStream(bucket))
	if err != nil {
		return 0, err
	}
	every, _ := b.pull(s.CachedInfo())
	return every, nil
}

func (b *Bus) HeartbeatOfCluster(name string) time.Duration {
	every, _ := b.pull(&jetstream.StreamInfo{Cluster: &jetstream.ClusterInfo{Name: name}})
	return every
}
