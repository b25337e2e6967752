package bus

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/wagglehq/waggle/pkg/catalog"
)

// kvStream is the stream of a bucket, and kvSubject where a key of it lies.
func kvStream(bucket string) string       { return "KV_" + bucket }
func kvSubject(bucket, key string) string { return "$KV." + bucket + "." + key }

// What a stream's metadata say of it.
const (
	markOwner  = "waggle"
	markSchema = "waggle.schema"
)

// ErrForeign says that a stream of a name of ours belongs to somebody else.
var ErrForeign = errors.New("bus: it was not made by Waggle")

// StoreSize is the room that all buckets and streams together may take, in bytes.
const StoreSize = 2 << 30

// Prepare creates the buckets and streams that are missing and brings the settings
// of its own ones up to date. replicas is the number of servers that keep each. The
// error is ErrForeign, and nothing is changed, for one that somebody else made.
func (b *Bus) Prepare(ctx context.Context, replicas int) error {
	for _, cfg := range streams(max(replicas, 1)) {
		if err := b.prepare(ctx, cfg); err != nil {
			return fmt.Errorf("bus: stream %s: %w", cfg.Name, err)
		}
	}
	return nil
}

// makeTimeout is how long the servers may take to make a stream or to change it: they
// agree on it and write it to their disks first.
const makeTimeout = 5 * time.Second

func (b *Bus) prepare(ctx context.Context, cfg jetstream.StreamConfig) error {
	s, err := b.js.Stream(ctx, cfg.Name)
	ctx, cancel := context.WithTimeout(ctx, makeTimeout)
	defer cancel()
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		// Of another listener that makes it at this moment the next pass hears.
		return b.setPrepared(cfg)(b.js.CreateStream(ctx, cfg))
	}
	if err != nil {
		return err
	}
	have := s.CachedInfo().Config
	if have.Metadata[markOwner] == "" {
		return ErrForeign
	}
	cfg = asClosedAs(cfg, have)
	if b.isPrepared(cfg, have) {
		return nil
	}
	return b.setPrepared(cfg)(b.js.UpdateStream(ctx, cfg))
}

// asClosedAs keeps what a listener of a later version has forbidden, since servers let nobody
// permit it again: whoever goes back to this version goes on with a stream that is closed further.
func asClosedAs(want, have jetstream.StreamConfig) jetstream.StreamConfig {
	want.DenyDelete = want.DenyDelete || have.DenyDelete
	want.AllowMsgTTL = want.AllowMsgTTL || have.AllowMsgTTL
	if have.DenyPurge && !want.DenyPurge {
		// Marks ask for roll-ups, which purge.
		want.DenyPurge, want.AllowRollup, want.SubjectDeleteMarkerTTL = true, false, 0
	}
	return want
}

// prepared is what a server made of the settings of a stream: it adds its own to ours.
type prepared struct{ want, have jetstream.StreamConfig }

// isPrepared reports whether a stream is as the server left it after the last update to what is
// wanted. Another one would change nothing, and costs the server a write to its disk.
func (b *Bus) isPrepared(want, have jetstream.StreamConfig) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	last, ok := b.prepared[want.Name]
	return ok && reflect.DeepEqual(last, prepared{want, have})
}

// setPrepared returns what remembers a stream that was brought to what is wanted, if it was.
func (b *Bus) setPrepared(want jetstream.StreamConfig) func(jetstream.Stream, error) error {
	return func(s jetstream.Stream, err error) error {
		if err != nil {
			return err
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.prepared[want.Name] = prepared{want, s.CachedInfo().Config}
		return nil
	}
}

// streams are the settings of all buckets and streams.
func streams(replicas int) []jetstream.StreamConfig {
	const mib = 1 << 20
	var out []jetstream.StreamConfig
	for _, bucket := range []struct {
		name string
		size int64
		// marks leaves a mark of what vanishes by its time to live, for whoever waits
		// for that. The server asks for roll-ups then, by which whoever may write one
		// key may erase all: only for a bucket with a single writer.
		marks bool
	}{
		{name: CatalogBucket, size: 256 * mib},
		{name: SecretsBucket, size: 64 * mib},
		{name: LeaseBucket, size: mib, marks: true},
		{name: AcceptedBucket, size: 256 * mib},
		{name: StatusBucket, size: 256 * mib},
		{name: SignalsBucket, size: 16 * mib},
		{name: WakesBucket, size: 16 * mib},
		{name: ManualBucket, size: 64 * mib},
		{name: NotifiedBucket, size: 128 * mib},
	} {
		cfg := stream(kvStream(bucket.name), kvSubject(bucket.name, ">"), bucket.size, replicas)
		cfg.MaxMsgsPerSubject, cfg.Discard, cfg.AllowMsgTTL = 1, jetstream.DiscardNew, true
		if bucket.marks {
			cfg.SubjectDeleteMarkerTTL, cfg.AllowRollup, cfg.DenyPurge = markerTTL, true, false
		}
		out = append(out, cfg)
	}
	for _, name := range []string{EventsStream, DecisionsStream} {
		cfg := stream(name, streamSubject(name)+">", 64*mib, replicas)
		cfg.MaxAge, cfg.Discard = 7*24*time.Hour, jetstream.DiscardOld
		out = append(out, cfg)
	}
	// What was noted stays, whoever would rather not have it.
	// Each component has one subject, and so a share of its own: one that has gone bad makes its
	// own old entries go, and nobody else's.
	audit := stream(AuditStream, streamSubject(AuditStream)+">", auditComponents*auditEntries*auditEntry, replicas)
	audit.MaxAge, audit.Discard = auditAge, jetstream.DiscardOld
	audit.MaxMsgSize, audit.MaxMsgsPerSubject = auditEntry, auditEntries
	return append(out, audit)
}

// auditAge is how long an audit keeps what was done, auditEntries how many entries of each of
// auditComponents, and auditEntry is how long one may be.
const (
	auditAge        = 90 * 24 * time.Hour
	auditEntries    = 4000
	auditComponents = 4
	auditEntry      = 16 << 10
)

// stream is what all have in common.
func stream(name, subject string, size int64, replicas int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: name, Subjects: []string{subject}, Replicas: replicas, MaxBytes: size, MaxMsgSize: 512 << 10,
		AllowDirect: true, DenyDelete: true, DenyPurge: true,
		Metadata: map[string]string{markOwner: "yes", markSchema: strconv.Itoa(catalog.Schema)},
	}
}
